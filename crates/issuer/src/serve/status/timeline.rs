//! A rotation as a picture: one bar for each key, from the beginning of its state to the earliest time of the next one,
//! and a line for now. Inline SVG without script, style attribute or link.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::words::{date, time};
use super::{RotatingKey, Rotation};

/// Draws the keys of a rotation.
pub(super) fn draw(rotation: &Rotation, now: Timestamp) -> Markup {
    let scale = Scale::of(rotation, now);
    let height = TOP + ROW * rows(rotation) + BOTTOM;
    let label = format!("Rotation of the signing key of {}", rotation.issuer);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(label) {
            title { (label) }
            @for (at, key) in (0i64..).zip(rotation.keys.iter().take(MAX_KEYS)) {
                (bar(key, TOP + ROW * at, &scale))
            }
            line .now x1=(scale.x(now)) y1="8" x2=(scale.x(now)) y2=(height - BOTTOM) {}
            text .axis x=(scale.x(now)) y=(height - 4) text-anchor=(anchor(scale.x(now))) { "now" }
            text .axis x="0" y=(height - 4) { (date(scale.start)) }
            text .axis x=(WIDTH) y=(height - 4) text-anchor="end" { (date(scale.end)) }
        }
    }
}

fn bar(key: &RotatingKey, y: i64, scale: &Scale) -> Markup {
    let start = scale.x(key.since.unwrap_or(scale.start));
    let open = key.opens.is_none();
    let end = key
        .opens
        .map_or(WIDTH, |opens| scale.x(opens))
        .max(start + 3);
    let label = label(key);
    html! {
        g {
            title { (label) }
            text x="0" y=(y + 12) { (label) }
            rect .bar .(class(key)) .open[open] x=(start) y=(y + 18) width=(end - start) height="12" rx="3" {}
        }
    }
}

/// The beginning of the kid, and the state: what fits on a phone.
fn label(key: &RotatingKey) -> String {
    let shorten = |text: &str, length| text.chars().take(length).collect::<String>();
    format!(
        "{}… {}",
        shorten(&key.kid, KID_SHOWN),
        shorten(&key.state, STATE_SHOWN)
    )
}

/// What happens to each key next, in words, for those who do not see the picture.
pub(super) fn tell(rotation: &Rotation) -> Markup {
    html! {
        dl {
            @for key in rotation.keys.iter().take(MAX_KEYS) {
                dt { (label(key)) }
                dd {
                    (key.next)
                    @if let Some(opens) = key.opens { ", not before " (time(opens)) }
                    @if key.compromised { strong .bad { " in foreign hands" } }
                }
            }
        }
    }
}

/// Names come from a closed set, whatever the file said.
fn class(key: &RotatingKey) -> &'static str {
    if key.compromised {
        return "compromised";
    }
    match key.state.as_str() {
        "next" => "next",
        "current" => "current",
        "previous" => "previous",
        _ => "withdrawn",
    }
}

fn rows(rotation: &Rotation) -> i64 {
    i64::try_from(rotation.keys.len().min(MAX_KEYS)).unwrap_or(0)
}

/// Keeps the word "now" inside the picture, and off the dates at both ends.
const fn anchor(x: i64) -> &'static str {
    if x < WIDTH / 2 { "start" } else { "end" }
}

/// From time to pixels.
struct Scale {
    start: Timestamp,
    end: Timestamp,
}

impl Scale {
    fn of(rotation: &Rotation, now: Timestamp) -> Self {
        let times = || {
            let ends = rotation.keys.iter().take(MAX_KEYS);
            ends.flat_map(|key| [key.since, key.opens])
                .flatten()
                .chain([now])
        };
        let (start, end) = (times().min().unwrap_or(now), times().max().unwrap_or(now));
        // A margin on each side, and never a width of nothing.
        let margin = (end.duration_since(start) / 12).max(SignedDuration::from_hours(1));
        Self {
            start: start.saturating_sub(margin).unwrap_or(start),
            end: end.saturating_add(margin).unwrap_or(end),
        }
    }

    fn x(&self, at: Timestamp) -> i64 {
        let whole = i128::from(self.end.duration_since(self.start).as_secs().max(1));
        let part = i128::from(at.duration_since(self.start).as_secs());
        let x = (part * i128::from(WIDTH) / whole).clamp(0, i128::from(WIDTH));
        i64::try_from(x).unwrap_or(0)
    }
}

const WIDTH: i64 = 720;
const TOP: i64 = 6;
const ROW: i64 = 40;
const BOTTOM: i64 = 22;
/// A ring has a few keys; a file that claims thousands gets no picture of a mile.
const MAX_KEYS: usize = 12;
const KID_SHOWN: usize = 12;
const STATE_SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn rotation(keys: Vec<RotatingKey>) -> Rotation {
        Rotation {
            issuer: "https://h/<a>".into(),
            written: at("2026-11-01T00:00:00Z"),
            keys,
        }
    }

    fn key(state: &str, since: Option<&str>, opens: Option<&str>) -> RotatingKey {
        RotatingKey {
            kid: "<script>alert(1)</script>".into(),
            state: state.into(),
            since: since.map(at),
            next: "signs".into(),
            opens: opens.map(at),
            compromised: false,
        }
    }

    #[test]
    fn bars_lie_between_their_times_and_now_among_them() {
        let keys = vec![
            key(
                "next",
                Some("2026-11-21T00:00:00Z"),
                Some("2026-11-23T00:00:00Z"),
            ),
            key("current", Some("2026-08-25T00:00:00Z"), None),
        ];
        let now = at("2026-11-22T00:00:00Z");
        let rotation = rotation(keys);
        let scale = Scale::of(&rotation, now);
        let ends = [
            scale.x(at("2026-08-25T00:00:00Z")),
            scale.x(at("2026-11-21T00:00:00Z")),
            scale.x(now),
            scale.x(at("2026-11-23T00:00:00Z")),
        ];
        assert!(ends.is_sorted(), "{ends:?}");
        assert!(ends[0] > 0 && ends[3] < WIDTH, "{ends:?}");
        let drawn = draw(&rotation, now).into_string();
        assert!(
            tell(&rotation)
                .into_string()
                .contains("not before 2026-11-23 00:00 UTC"),
            "{drawn}"
        );
        assert_eq!(drawn.matches("<rect").count(), 2);
    }

    #[test]
    fn foreign_text_is_text() {
        let mut odd = key("<b>", None, None);
        odd.next = "\"><script>".into();
        let rotation = rotation(vec![odd]);
        let drawn = draw(&rotation, at("2026-11-22T00:00:00Z")).into_string()
            + &tell(&rotation).into_string();
        assert!(
            !drawn.contains("<script") && !drawn.contains("<b>") && !drawn.contains("<a>"),
            "{drawn}"
        );
        assert!(drawn.contains("class=\"bar withdrawn open\""), "{drawn}");
    }

    #[test]
    fn extreme_times_and_many_keys_make_a_bounded_picture() {
        let wide = key(
            "current",
            Some("-009999-01-02T01:59:59Z"),
            Some("9999-12-30T22:00:00Z"),
        );
        let drawn = draw(&rotation(vec![wide; 5_000]), Timestamp::UNIX_EPOCH).into_string();
        assert_eq!(drawn.matches("<rect").count(), MAX_KEYS);
        let empty = draw(&rotation(Vec::new()), Timestamp::MAX).into_string();
        assert!(empty.contains("now"), "{empty}");
    }
}
