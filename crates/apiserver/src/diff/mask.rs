//! The lines of a YAML text with everything hidden that is not known to be no secret.
//!
//! It reads lines, not trees, so that texts inside the file (kind's patches, files of Cluster API) are read like the rest.
//! What it misreads it hides: only punctuation, short keys and known values come through.

use super::HIDDEN;
use crate::flags::Flag;

/// Fields that stand for a token flag in a cluster specification.
const FIELDS: [&str; 9] = [
    "serviceAccountIssuer",
    "additionalServiceAccountIssuers",
    "serviceAccountKeyFile",
    "serviceAccountSigningKeyFile",
    "serviceAccountJWKSURI",
    "apiAudiences",
    "issuerURL",
    "issuers",
    "audiences",
];
/// Keys of mounts and of objects: values that are names and paths.
const PLAIN: [&str; 11] = [
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "mountPath",
    "hostPath",
    "path",
    "pathType",
    "type",
    "readOnly",
    "readonly",
];
const PROGRAMS: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];

/// The lines as they may be shown, without their ends.
pub(super) fn masked(lines: &[&str]) -> Vec<String> {
    let mut reader = Reader::default();
    lines
        .iter()
        .map(|line| reader.line(line.trim_end_matches(['\r', '\n'])))
        .collect()
}

/// What the lines before say of the next one.
#[derive(Default)]
struct Reader {
    /// How many brackets are open.
    depth: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// The indentation of a key whose list may be shown.
    list: Option<usize>,
    /// Whether the brackets that are open hold the values of such a key.
    flow_list: bool,
    /// Whether the item before was a flag of ours, whose value comes next.
    flag: bool,
    /// Whether the name of this entry is a flag of ours.
    named: bool,
}

/// A scalar of a line, and where the line goes on.
struct Scalar<'a> {
    text: &'a str,
    quote: Option<char>,
    closed: bool,
    rest: &'a str,
}

impl Reader {
    fn line(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        if let Some(quote) = self.quote {
            let inside = scan_quoted(rest, quote);
            out.push_str(HIDDEN);
            if !inside.closed {
                return out;
            }
            self.quote = None;
            out.push(quote);
            rest = inside.rest;
        } else {
            rest = self.start(rest, &mut out);
        }
        let mut key: Option<String> = None;
        while let Some(first) = rest.chars().next() {
            let comment = first == '#' && (out.is_empty() || out.ends_with([' ', '\t']));
            if comment {
                out.push('#');
                if !rest.trim_start_matches('#').trim().is_empty() {
                    out.push(' ');
                    out.push_str(HIDDEN);
                }
                break;
            }
            if self.punctuation(first, key.as_deref()) {
                out.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
                if first == ',' {
                    key = None;
                }
                continue;
            }
            let scalar = scan(rest, self.depth > 0);
            rest = scalar.rest;
            if let Some(after) = colon(&scalar, self.depth > 0) {
                out.push_str(&quoted(key_text(scalar.text), &scalar));
                out.push(':');
                rest = after;
                key = Some(scalar.text.to_owned());
                continue;
            }
            let shown = self.value(key.as_deref(), scalar.text);
            out.push_str(&quoted(&shown, &scalar));
            if !scalar.closed {
                self.quote = scalar.quote;
            }
            key = key.filter(|_| self.depth == 0);
        }
        self.end(line, key.as_deref(), &out);
        out
    }

    /// The indentation, the marks of documents and of items.
    fn start<'a>(&mut self, line: &'a str, out: &mut String) -> &'a str {
        let mut rest = line;
        if line == "---" || line == "..." || line.starts_with("--- ") {
            *self = Self::default();
            let (mark, after) = line.split_at(3);
            out.push_str(mark);
            rest = after;
        }
        let mut dash = false;
        loop {
            let trimmed = rest.trim_start_matches([' ', '\t']);
            out.push_str(rest.get(..rest.len() - trimmed.len()).unwrap_or_default());
            rest = trimmed;
            let Some(after) = rest.strip_prefix('-') else {
                break;
            };
            if !after.is_empty() && !after.starts_with([' ', '\t']) {
                break;
            }
            // No list in brackets has items with a dash: what looked like a bracket was none.
            self.depth = 0;
            self.named = false;
            dash = true;
            out.push('-');
            rest = after;
        }
        let nothing = rest.is_empty() || rest.starts_with('#');
        if self.depth == 0 && !dash && !nothing {
            self.list = None;
            self.flag = false;
        }
        rest
    }

    /// What remains known at the end of a line: the list of a key that has no value beside it.
    fn end(&mut self, line: &str, key: Option<&str>, out: &str) {
        let bare = out.split(" #").next().unwrap_or_default().trim_end();
        if self.depth == 0 && bare.ends_with(':') {
            let indent = line.len() - line.trim_start_matches([' ', '-']).len();
            self.list = key.filter(|key| is_ours(key)).map(|_| indent);
        }
    }

    fn punctuation(&mut self, first: char, key: Option<&str>) -> bool {
        match first {
            ' ' | '\t' => true,
            '[' | '{' => {
                if self.depth == 0 || first == '{' {
                    self.named = false;
                }
                self.flow_list = first == '[' && key.is_some_and(is_ours);
                self.depth += 1;
                true
            }
            ']' | '}' if self.depth > 0 => {
                self.depth -= 1;
                self.flow_list = false;
                true
            }
            ',' => self.depth > 0,
            _ => false,
        }
    }

    /// A value as it may be shown.
    fn value(&mut self, key: Option<&str>, text: &str) -> String {
        let follows = std::mem::take(&mut self.flag);
        let single = !text.contains([' ', '\t']);
        if key == Some("name") {
            self.named = Flag::named(text).is_some();
        }
        let ours = match key {
            Some("value") => self.named,
            Some(key) => is_ours(key),
            None => follows || self.flow_list || self.list.is_some(),
        };
        if single && (ours || PROGRAMS.contains(&text) || is_block(key, text)) {
            return text.to_owned();
        }
        if key.is_some_and(|key| PLAIN.contains(&key)) && is_plain(text) {
            return text.to_owned();
        }
        self.argument(text, single)
    }

    /// `--flag=value`, `flag=value` or `--flag`: the names of other flags are shown, and not their values.
    fn argument(&mut self, text: &str, single: bool) -> String {
        let bare = text.strip_prefix("--");
        let (name, value) = match bare.unwrap_or(text).split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare.unwrap_or_default(), None),
        };
        let known = Flag::named(name).is_some();
        let is_name =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        match value {
            Some(_) if known && single => text.to_owned(),
            None if known => {
                self.flag = true;
                text.to_owned()
            }
            Some(_) if bare.is_some() && name.len() <= NAME && name.chars().all(is_name) => {
                format!("--{name}={HIDDEN}")
            }
            _ => HIDDEN.to_owned(),
        }
    }
}

/// No key and no name of a flag is longer.
const NAME: usize = 63;

/// Whether a key stands for a token flag.
fn is_ours(key: &str) -> bool {
    Flag::named(key).is_some() || FIELDS.contains(&key)
}

/// A name, a path or a switch: no URL with a password in it, and no key in base64.
fn is_plain(text: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c);
    let camel = |c: char| c.is_ascii_alphabetic();
    let path = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    text.len() <= NAME && (text.chars().all(lower) || text.chars().all(camel))
        || text.starts_with('/') && text.chars().all(path)
}

/// The mark of a text on the lines below.
fn is_block(key: Option<&str>, text: &str) -> bool {
    let mark = text.strip_prefix(['|', '>']);
    key.is_some() && mark.is_some_and(|rest| rest.chars().all(|c| "+-0123456789".contains(c)))
}

fn key_text(text: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.len() <= NAME && text.chars().all(plain) {
        text
    } else {
        HIDDEN
    }
}

fn quoted(shown: &str, scalar: &Scalar<'_>) -> String {
    match scalar.quote {
        None => shown.to_owned(),
        Some(quote) if scalar.closed => format!("{quote}{shown}{quote}"),
        Some(quote) => format!("{quote}{HIDDEN}"),
    }
}

/// The text behind the colon, when a scalar is a key.
fn colon<'a>(scalar: &Scalar<'a>, flow: bool) -> Option<&'a str> {
    if !scalar.closed {
        return None;
    }
    let rest = scalar.rest.trim_start_matches(' ').strip_prefix(':')?;
    let apart = rest.is_empty() || rest.starts_with([' ', '\t']);
    // JSON needs no blank behind the colon of a quoted key.
    (apart || (flow && scalar.quote.is_some())).then_some(rest)
}

fn scan(rest: &str, flow: bool) -> Scalar<'_> {
    match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = rest.get(1..).unwrap_or_default();
            Scalar {
                quote: Some(quote),
                ..scan_quoted(inside, quote)
            }
        }
        _ => scan_plain(rest, flow),
    }
}

fn scan_quoted(inside: &str, quote: char) -> Scalar<'_> {
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') {
                chars.next();
                continue;
            }
            let (text, rest) = inside.split_at(at);
            return Scalar {
                text,
                quote: Some(quote),
                closed: true,
                rest: rest.get(1..).unwrap_or_default(),
            };
        }
    }
    Scalar {
        text: inside,
        quote: Some(quote),
        closed: false,
        rest: "",
    }
}

fn scan_plain(rest: &str, flow: bool) -> Scalar<'_> {
    let ends = |at: usize, c: char| {
        let after = rest.get(at + c.len_utf8()..).unwrap_or_default();
        let blank = after.is_empty() || after.starts_with([' ', '\t']);
        match c {
            ':' => blank || (flow && after.starts_with([',', '[', ']', '{', '}'])),
            ' ' | '\t' => after.starts_with('#'),
            ',' | '[' | ']' | '{' | '}' => flow,
            _ => false,
        }
    };
    let end = rest.char_indices().find(|(at, c)| ends(*at, *c));
    let (text, rest) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
    let trimmed = text.trim_end_matches([' ', '\t']);
    // A bracket where none belongs must not stop the reading.
    if trimmed.is_empty() {
        return Scalar {
            text: rest,
            quote: None,
            closed: true,
            rest: "",
        };
    }
    Scalar {
        text: trimmed,
        quote: None,
        closed: true,
        rest,
    }
}
