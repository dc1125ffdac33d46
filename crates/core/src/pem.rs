//! PEM framing, block for block as Go's `encoding/pem` finds it.
//!
//! kube-apiserver reads its key files with Go's `pem.Decode`, which skips text between blocks and blocks that are
//! damaged. Whether a key is published must not depend on whose PEM reader looked, so this is that function
//! (Go 1.25.2 and later, which finds the END line first), plus the line number at which each block begins. The
//! general-purpose PEM crates either refuse the whole file at the first damaged block or drop the position.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
const MAX_DAMAGED: usize = 100;

/// Go's `base64.StdEncoding`: padding is needed, stray bits after the last byte are not looked at.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// One PEM block that Go's reader accepts.
pub struct PemBlock {
    /// The text between `BEGIN` and the dashes, such as `PUBLIC KEY`.
    pub label: String,
    /// The line of the `BEGIN` marker, counted from 1.
    pub line: usize,
    /// Whether the block carries a `Proc-Type: 4,ENCRYPTED` header (RFC 1421), as old OpenSSL keys do.
    pub encrypted: bool,
    /// The decoded bytes; they may be a private key, so they are wiped on drop.
    pub der: Zeroizing<Vec<u8>>,
}

impl PemBlock {
    /// Whether its bytes are behind a passphrase: by a header, as of old OpenSSL, or by its label (RFC 7468, section 11).
    pub fn is_encrypted(&self) -> bool {
        self.encrypted || self.label == "ENCRYPTED PRIVATE KEY"
    }
}

impl std::fmt::Debug for PemBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemBlock")
            .field("label", &self.label)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// A `BEGIN` line at which Go's reader finds no block: a bad END line, broken base64, or a missing END.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedBlock {
    /// The label as far as it could be read.
    pub label: String,
    /// The line of the `BEGIN` marker, counted from 1.
    pub line: usize,
}

/// Everything PEM-like in a text.
#[derive(Debug)]
pub struct PemText {
    /// The blocks that kube-apiserver sees, in order.
    pub blocks: Vec<PemBlock>,
    /// The blocks that it silently passes over.
    pub damaged: Vec<DamagedBlock>,
}

/// Finds the PEM blocks of `text`, in time that grows with its length alone.
pub fn scan(text: &[u8]) -> PemText {
    let mut blocks = Vec::new();
    let mut damaged = Vec::new();
    let mut begins = begin_lines(text).peekable();
    let mut lines = LineCounter {
        text,
        at: 0,
        line: 1,
    };
    let mut at = 0;
    loop {
        let found = next_block(text, at);
        let begin = found.as_ref().map_or(text.len(), |found| found.begin);
        while let Some((position, line)) = begins.next_if(|(position, _)| *position <= begin) {
            // Enough to tell; a hostile file has thousands.
            if position < begin && damaged.len() < MAX_DAMAGED {
                damaged.push(DamagedBlock {
                    label: label_at(text, position),
                    line,
                });
            }
        }
        let Some(found) = found else {
            return PemText { blocks, damaged };
        };
        at = found.after;
        blocks.push(PemBlock {
            line: lines.advance(found.begin),
            label: found.label,
            encrypted: found.encrypted,
            der: found.der,
        });
    }
}

/// The label of the `BEGIN` line at `position`, as far as it can be read.
fn label_at(text: &[u8], position: usize) -> String {
    let (line, _) = line_at(text, position + BEGIN.len());
    let label = line.strip_suffix(DASHES).unwrap_or(line);
    String::from_utf8_lossy(label.get(..40).unwrap_or(label)).into_owned()
}

/// Counts lines up to positions that only grow.
struct LineCounter<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn advance(&mut self, to: usize) -> usize {
        let between = self.text.get(self.at..to).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count();
        self.at = to.max(self.at);
        self.line
    }
}

/// A block found in a text: positions rather than copies, so that the search is testable by itself.
struct Found {
    begin: usize,
    after: usize,
    label: String,
    encrypted: bool,
    der: Zeroizing<Vec<u8>>,
}

/// Go's `pem.Decode`, with positions in `text` in place of re-sliced buffers.
fn next_block(text: &[u8], start: usize) -> Option<Found> {
    let mut rest = start;
    // Past the END marker that was tried last: each turn of the loop starts behind it.
    let mut trailer = start;
    loop {
        if trailer < rest || trailer > text.len() {
            return None;
        }
        rest = trailer;
        let end = rest + memmem::find(text.get(rest..)?, END)?;
        trailer = end + END.len();

        let Some(begin) = memmem::rfind(text.get(rest..end)?, BEGIN).map(|i| rest + i) else {
            continue;
        };
        // At the very start of what is left Go accepts a BEGIN that no newline precedes.
        if begin > rest && text.get(begin - 1) != Some(&b'\n') {
            continue;
        }
        let (type_line, after_type) = line_at(text, begin + BEGIN.len());
        rest = after_type;
        let Some(label) = type_line.strip_suffix(DASHES) else {
            continue;
        };

        let headers = headers_at(text, rest)?;
        let any = headers.after > rest;
        rest = headers.after;
        if any && end < rest {
            continue;
        }
        if !ends_with_label(text, trailer, label) {
            continue;
        }
        let body = text.get(rest..end).unwrap_or_default();
        let Some(der) = decode_base64(body) else {
            continue;
        };
        let (_, after) = line_at(text, end + END.len() - 1);
        let label = String::from_utf8_lossy(label).into_owned();
        return Some(Found {
            begin,
            after,
            label,
            encrypted: headers.encrypted,
            der,
        });
    }
}

/// The headers of a block, as far as they matter here.
struct Headers {
    encrypted: bool,
    after: usize,
}

/// Reads header lines from `at` on; none when the text ends before the first line that is not one.
fn headers_at(text: &[u8], at: usize) -> Option<Headers> {
    let mut headers = Headers {
        encrypted: false,
        after: at,
    };
    while headers.after < text.len() {
        let (line, next) = line_at(text, headers.after);
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            return Some(headers);
        };
        let (name, value) = line.split_at(colon);
        headers.encrypted |=
            name.trim_ascii() == b"Proc-Type" && memmem::find(value, b"ENCRYPTED").is_some();
        headers.after = next;
    }
    None
}

/// Whether the END line whose label begins at `trailer` names `label` and holds nothing but blanks after it.
fn ends_with_label(text: &[u8], trailer: usize, label: &[u8]) -> bool {
    text.get(trailer..)
        .and_then(|tail| tail.strip_prefix(label))
        .and_then(|tail| tail.strip_prefix(DASHES))
        .is_some_and(|tail| line_at(tail, 0).0.is_empty())
}

fn decode_base64(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Of the full size at once: a growing buffer would leave unwiped copies of a private key behind.
    let mut compact = Zeroizing::new(Vec::with_capacity(body.len()));
    compact.extend(
        body.iter()
            .filter(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')),
    );
    STANDARD.decode(compact.as_slice()).ok().map(Zeroizing::new)
}

/// The line that begins at `at`, without trailing blanks and line end, and where the next one begins.
fn line_at(text: &[u8], at: usize) -> (&[u8], usize) {
    let tail = text.get(at..).unwrap_or_default();
    let (mut line, next) = match memchr::memchr(b'\n', tail) {
        Some(i) => {
            let line = tail.get(..i).unwrap_or_default();
            (line.strip_suffix(b"\r").unwrap_or(line), at + i + 1)
        }
        None => (tail, text.len().max(at)),
    };
    while let [head @ .., b' ' | b'\t'] = line {
        line = head;
    }
    (line, next)
}

/// Where `BEGIN` markers stand at the beginning of a line, with the numbers of their lines.
fn begin_lines(text: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text).map(|end| end + 1));
    starts.zip(1..).filter(|(start, _)| {
        text.get(*start..)
            .is_some_and(|tail| tail.starts_with(BEGIN))
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ONE: &str = "-----BEGIN A-----\nAAEC\n-----END A-----\n";

    fn labels(text: &str) -> Vec<(String, usize)> {
        scan(text.as_bytes())
            .blocks
            .into_iter()
            .map(|b| (b.label, b.line))
            .collect()
    }

    #[test]
    fn text_between_blocks_is_passed_over() {
        let text = format!(
            "# the old key\n{ONE}junk: yes\n\n{}",
            ONE.replace(" A", " B")
        );
        assert_eq!(labels(&text), [("A".to_owned(), 2), ("B".to_owned(), 7)]);
    }

    #[test]
    fn carriage_returns_blanks_and_a_missing_final_newline_do_not_matter() {
        let text = "-----BEGIN A----- \t\r\n AA EC \r\n-----END A-----";
        assert_eq!(scan(text.as_bytes()).blocks[0].der.as_slice(), [0, 1, 2]);
    }

    #[test]
    fn a_damaged_block_is_reported_and_the_next_one_found() {
        let text = format!("-----BEGIN A-----\nAAE!\n-----END A-----\n{ONE}");
        let pem = scan(text.as_bytes());
        assert_eq!((pem.blocks.len(), pem.blocks[0].line), (1, 4));
        assert_eq!(
            pem.damaged,
            [DamagedBlock {
                label: "A".to_owned(),
                line: 1
            }]
        );
    }

    #[test]
    fn labels_must_agree_and_a_begin_must_start_its_line() {
        assert!(labels("-----BEGIN A-----\nAAEC\n-----END B-----\n").is_empty());
        assert!(labels("x-----BEGIN A-----\nAAEC\n-----END A-----\n").is_empty());
        assert!(labels("-----BEGIN A-----\nAAEC\n-----END A----- x\n").is_empty());
    }

    #[test]
    fn an_empty_block_and_a_repeated_begin_are_read_as_go_does() {
        assert!(
            scan(b"-----BEGIN A-----\n-----END A-----\n").blocks[0]
                .der
                .is_empty()
        );
        let text = format!("-----BEGIN A-----\n{ONE}");
        let pem = scan(text.as_bytes());
        assert_eq!((pem.blocks[0].line, pem.damaged[0].line), (2, 1));
    }

    #[test]
    fn headers_are_read_and_encryption_noticed() {
        let text =
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAEC\n-----END A-----\n";
        assert!(scan(text.as_bytes()).blocks[0].encrypted);
    }

    fn time_to_scan(text: &str) -> Duration {
        let start = Instant::now();
        drop(scan(text.as_bytes()));
        start.elapsed()
    }

    #[test]
    fn time_grows_with_the_length_and_not_with_its_square() {
        // Each of these took seconds for a mebibyte once.
        for pattern in [
            "-----BEGIN A\n",
            "-----BEGIN A-----\n-----END A-----\n",
            "-----BEGIN A:-----\n-----END :\n",
            "-----BEGIN A-----\nx: y\n-----END B-----\n",
        ] {
            let text = |bytes: usize| pattern.repeat(bytes / pattern.len());
            let (short, long) = (text(1 << 13), text(1 << 18));
            // What else the machine does makes a scan longer and never shorter: each is as long as its best, and both
            // are short enough to be left alone now and then.
            let best = (0..20).map(|_| time_to_scan(&short)).min().unwrap();
            // 32 times the length: linear is 32, quadratic 1024.
            let is_linear = |_| time_to_scan(&long) < best * 200;
            assert!((0..20).any(is_linear), "{pattern:?}");
        }
    }
}
