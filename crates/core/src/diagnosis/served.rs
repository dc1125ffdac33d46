//! How the documents are served: speed, headers, and the clock of the host.

use std::time::Duration;

use super::facts::{Answer, Unseen};
use super::{Check, Diagnosis, Facts, Verdict};
use crate::cache_control::CacheControl;
use crate::token::verify::SKEW_SECONDS;

/// STS gives up after about five seconds; half of that leaves no room for a bad day.
const SLOW_MILLIS: u64 = 2500;
/// A new key must be published at least as long before it signs.
const LONG_CACHE: Duration = Duration::from_hours(24);

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    speed(diagnosis);
    headers(diagnosis);
    clock(diagnosis);
}

fn looks(diagnosis: &Diagnosis<'_>) -> Vec<(String, u64, Answer)> {
    let facts = diagnosis.facts;
    std::iter::once(&facts.discovery)
        .chain(&facts.jwks)
        .filter_map(|look| {
            let answer = look.outcome.as_ref().ok()?;
            let head = Answer {
                body: Vec::new(),
                ..answer.clone()
            };
            Some((look.url.clone(), look.millis, head))
        })
        .collect()
}

fn speed(diagnosis: &mut Diagnosis<'_>) {
    for (url, millis, _) in looks(diagnosis) {
        let check = if millis > SLOW_MILLIS {
            Check::warning("latency", url, format!("{millis} ms"))
                .why("STS gives up after about 5 s, and then refuses the token (InvalidIdentityToken or IDPCommunicationError)")
                .help("find out what is slow: the server, or the way to it")
        } else {
            Check::ok(
                "latency",
                url,
                format!("{millis} ms of the 5000 that STS waits"),
            )
        };
        diagnosis.push(check);
    }
}

fn headers(diagnosis: &mut Diagnosis<'_>) {
    for (url, _, answer) in looks(diagnosis) {
        if answer.status != 200 {
            continue;
        }
        let kind = answer.content_type.unwrap_or_default().to_ascii_lowercase();
        // A page instead of the document is told with the document.
        let told = |check: &Check| check.subject == url && check.verdict == Verdict::Failure;
        if kind.starts_with("text/html") && !diagnosis.checks.iter().any(told) {
            diagnosis.push(
                Check::warning(
                    "content-type",
                    &url,
                    format!("Content-Type is \"{kind}\", expected JSON"),
                )
                .why("strict relying parties refuse it")
                .help("irsa publish and irsa serve set it right"),
            );
        }
        diagnosis.push(cache(&url, answer.cache_control.as_deref()));
    }
}

fn cache(url: &str, header: Option<&str>) -> Check {
    let header = header.unwrap_or_default().to_ascii_lowercase();
    let CacheControl {
        kept_for,
        always_asked,
    } = CacheControl::parse([header.as_str()]);
    let never = always_asked || kept_for == Some(Duration::ZERO);
    let shown = if header.is_empty() { "none" } else { &header };
    let id = "cache";
    if never {
        Check::warning(id, url, format!("Cache-Control is \"{shown}\""))
            .why("AWS then fetches the documents at every exchange, and refuses tokens when that is too often")
            .help("let it be kept for some minutes: Cache-Control: public, max-age=300")
    } else if kept_for.is_some_and(|kept| kept > LONG_CACHE) {
        Check::warning(id, url, format!("Cache-Control is \"{shown}\""))
            .why("a new key must be published for longer than that before it signs")
            .help("let it be kept for some minutes: Cache-Control: public, max-age=300")
    } else {
        Check::ok(id, url, format!("Cache-Control: {shown}"))
    }
}

/// This machine's clock against that of the issuer's host.
fn clock(diagnosis: &mut Diagnosis<'_>) {
    let now = diagnosis.facts.now.as_second();
    let seen = looks(diagnosis)
        .into_iter()
        .find_map(|(url, _, answer)| Some((url, answer.date?)));
    let check = match seen {
        None => Check::unseen(
            "clock",
            &Unseen {
                why: "no answer had a Date header to compare this machine's clock with".to_owned(),
                help: None,
                retryable: false,
            },
        ),
        Some((url, date)) if date.abs_diff(now) > SKEW_SECONDS.unsigned_abs() => {
            let off = date.abs_diff(now);
            let side = if date > now { "ahead of" } else { "behind" };
            let message = format!("the issuer's host is {off} s {side} this machine");
            Check::warning("clock", url, message)
                .why("tokens are judged by clocks: one of the two is wrong, and so may be what is said here of times")
                .help("compare both with a third: timedatectl, chronyc tracking")
        }
        Some((url, date)) => {
            let off = date.abs_diff(now);
            Check::ok(
                "clock",
                url,
                format!("within {} s of this machine's", off.max(1)),
            )
        }
    };
    diagnosis.push(check);
}

/// The time of this machine, and that of the issuer's host: a token that one of them accepts is not called bad.
pub(super) fn clocks(facts: &Facts) -> [i64; 2] {
    let now = facts.now.as_second();
    let date = facts
        .discovery
        .outcome
        .as_ref()
        .ok()
        .and_then(|answer| answer.date);
    [now, date.unwrap_or(now)]
}
