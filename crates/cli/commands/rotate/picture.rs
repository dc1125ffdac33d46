//! The timeline of a ring, drawn: instants stand beside each other in their order, not to scale, because a day of one key
//! and the year of another would not fit into one picture.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use irsa_core::rotation::timeline::{KeyState, Lane, Span, Timeline};
use jiff::{SignedDuration, Timestamp, Unit};

/// Signs of a kid that tell it from the others.
const SHORT: usize = 8;
/// Columns of text between two instants.
const STEP: usize = 8;

/// Every instant of a timeline, and now.
fn instants(timeline: &Timeline, now: Timestamp) -> Vec<Timestamp> {
    let spans = timeline.lanes.iter().flat_map(|lane| &lane.spans);
    let ends = spans.flat_map(|span| [Some(span.from), span.to]);
    let gates = timeline.gates.iter().map(|gate| Some(gate.at));
    let all: BTreeSet<Timestamp> = ends.chain(gates).flatten().chain([now]).collect();
    all.into_iter().collect()
}

/// Where an instant stands; after the last one where no clock tells.
fn place(instants: &[Timestamp], at: Option<Timestamp>) -> usize {
    let found = at.and_then(|at| instants.iter().position(|each| *each == at));
    found.unwrap_or(instants.len())
}

fn short(lane: &Lane) -> String {
    lane.kid.as_str().chars().take(SHORT).collect()
}

const fn sign(state: KeyState) -> char {
    match state {
        KeyState::Next => '.',
        KeyState::Current => '#',
        KeyState::Previous => '=',
        KeyState::Withdrawn => '-',
        KeyState::Leaving => '~',
    }
}

/// A small timeline for a terminal: a line for each key, and under it what each instant is.
pub(super) fn text(timeline: &Timeline, now: Timestamp) -> String {
    let instants = instants(timeline, now);
    let mut text = String::new();
    for lane in &timeline.lanes {
        let mut line: Vec<char> = vec![' '; STEP * (instants.len() + 1)];
        for span in &lane.spans {
            let (from, to) = bounds(&instants, span, now);
            for column in line.iter_mut().take(to * STEP).skip(from * STEP) {
                *column = sign(span.state);
            }
        }
        let line: String = line.into_iter().collect();
        let _ = writeln!(text, "{:SHORT$}  {}", short(lane), line.trim_end());
    }
    let mut marks = String::new();
    for at in 1..=instants.len() {
        let _ = write!(marks, "|{at:<7}");
    }
    let _ = writeln!(text, "{:SHORT$}  {}", "", marks.trim_end());
    text.push_str(". next   # current   = previous   - withdrawn   ~ leaving\n");
    for (at, instant) in instants.iter().enumerate() {
        let _ = write!(
            text,
            "\n{:>3}  {instant}  {}",
            at + 1,
            told(timeline, *instant, now)
        );
    }
    text
}

/// A span that no clock ends goes on at least until now.
fn bounds(instants: &[Timestamp], span: &Span, now: Timestamp) -> (usize, usize) {
    let from = place(instants, Some(span.from));
    let to = match span.to {
        Some(to) => place(instants, Some(to.max(span.from))),
        None => place(instants, Some(now.max(span.from))) + 1,
    };
    (from, to.max(from))
}

/// What happened or may happen at an instant.
fn told(timeline: &Timeline, at: Timestamp, now: Timestamp) -> String {
    let mut words = Vec::new();
    if at == now {
        words.push("now".to_owned());
    }
    for lane in &timeline.lanes {
        let begun = lane
            .spans
            .iter()
            .filter(|span| span.from == at && at <= now);
        words.extend(begun.map(|span| format!("{}… is {}", short(lane), span.state.as_str())));
    }
    for gate in timeline.gates.iter().filter(|gate| gate.at == at) {
        let kid: String = gate.kid.as_str().chars().take(SHORT).collect();
        words.push(format!("{kid}… {}", gate.opens));
    }
    let left = at.duration_since(now);
    if at > now && !words.is_empty() {
        words.push(format!("in {}", spell(left)));
    }
    words.join("; ")
}

fn spell(left: SignedDuration) -> String {
    let hours = left.round(Unit::Hour).map_or(0, |left| left.as_hours());
    match hours {
        0 => format!("{:#}", SignedDuration::from_secs(left.as_secs())),
        1..48 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

const ROW: usize = 34;
const LEFT: usize = 110;
const WIDTH: usize = 120;
const TOP: usize = 44;

/// The same as a picture that any browser shows.
pub(super) fn svg(timeline: &Timeline, issuer: &str, now: Timestamp) -> String {
    let instants = instants(timeline, now);
    let bottom = TOP + ROW * timeline.lanes.len();
    let (width, height) = (
        LEFT + WIDTH * (instants.len() + 1),
        bottom + 20 * (instants.len() + 2),
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>signing keys of {issuer}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">{issuer}</text>\n",
        issuer = escaped(issuer)
    );
    for (at, instant) in instants.iter().enumerate() {
        let x = LEFT + WIDTH * at;
        let (colour, thick) = if *instant == now {
            ("#c00", 2)
        } else {
            ("#bbb", 1)
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"{colour}\" stroke-width=\"{thick}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            TOP - 6,
            TOP - 10,
            at + 1
        );
    }
    for (row, lane) in timeline.lanes.iter().enumerate() {
        draw(&mut svg, lane, &instants, TOP + ROW * row, now);
    }
    for (at, instant) in instants.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\">{}  {instant}  {}</text>",
            bottom + 24 + 20 * at,
            at + 1,
            escaped(&told(timeline, *instant, now))
        );
    }
    svg.push_str("</svg>");
    svg
}

fn draw(svg: &mut String, lane: &Lane, instants: &[Timestamp], y: usize, now: Timestamp) {
    let colour = if lane.compromised { "#c00" } else { "#000" };
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{}\" font-family=\"monospace\" fill=\"{colour}\">{}…</text>",
        y + 20,
        short(lane)
    );
    for span in &lane.spans {
        let (from, to) = bounds(instants, span, now);
        let fill = match span.state {
            KeyState::Next => "#cfe3ff",
            KeyState::Current => "#7fd08a",
            KeyState::Previous => "#ffd98a",
            KeyState::Withdrawn => "#e5e5e5",
            KeyState::Leaving => "#f3b3b3",
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"22\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            LEFT + WIDTH * from,
            y + 5,
            WIDTH * (to - from),
            LEFT + WIDTH * from + 6,
            y + 20,
            span.state.as_str()
        );
    }
}

fn escaped(text: &str) -> String {
    let text = crate::visible::visible(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
