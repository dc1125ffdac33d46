//! The page with everything, for whoever may reach the admin port.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_core::documents::DocumentName;
use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::words::{count, date, distance, time};
use super::{Agreement, Board, Problem, Rotation, SinkLook, timeline};
use crate::serve::site::{Issuer, Site};

/// Everything that the page shows, at one instant.
pub(in crate::serve) struct View<'a> {
    pub(in crate::serve) now: Timestamp,
    pub(in crate::serve) site: &'a Site,
    pub(in crate::serve) board: &'a Board,
    pub(in crate::serve) draining: bool,
    /// When the served certificate expires, if there is one.
    pub(in crate::serve) certificate: Option<Timestamp>,
    /// Issuers with the last look that found their documents in the shared store, if they come from one.
    pub(in crate::serve) looks: Vec<(String, SystemTime)>,
}

/// Nothing is loaded, nothing runs, nobody frames it; the one style sheet is named by its hash.
pub(in crate::serve) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Renders the page.
pub(in crate::serve) fn render(view: &View<'_>) -> String {
    let (up, all) = view.site.up();
    let rotations = view.board.rotations();
    let sinks = view.board.sinks();
    let findings = findings(view, &rotations, &sinks);
    let body = html! {
        h1 { "irsa: issuer endpoint" }
        p .soft { "version " (env!("CARGO_PKG_VERSION")) ", " (time(view.now)) }
        (verdict(&findings))
        h2 { "Issuers: " (up) " of " (all) " served" }
        @for issuer in shown(view.site) { (one_issuer(view, issuer, &rotations)) }
        @if all > MAX_ISSUERS {
            p .soft { (all - MAX_ISSUERS) " more; /metrics has all of them" }
        }
        @for rotation in rotations.iter().take(MAX_ROTATIONS) { (one_rotation(view, rotation)) }
        (sinks_part(view, &sinks))
        (certificate_part(view))
        (problems_part(view, &view.board.problems()))
        footer {
            p { a href="/metrics" { "metrics" } " · " a href="/readyz" { "readyz" } " · " a href="/livez" { "livez" } }
        }
    };
    document("irsa: issuer endpoint", &body)
}

/// A page of ours around this body; it asks again every half minute.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content="30";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// What a person should know first: what is not as it should be.
fn findings(view: &View<'_>, rotations: &[Rotation], sinks: &[SinkLook]) -> Vec<String> {
    let (up, all) = view.site.up();
    let mut found = Vec::new();
    if view.draining {
        found.push("this endpoint is shutting down".to_owned());
    }
    if up < all {
        found.push(format!("{} not served", count(all - up, "issuer")));
    }
    let differs = |look: &&SinkLook| matches!(look.found, Agreement::Differs { .. });
    for look in sinks.iter().filter(differs).take(MAX_FINDINGS) {
        found.push(format!("{} of {} holds other keys", look.sink, look.issuer));
    }
    let unreadable = |look: &&SinkLook| matches!(look.found, Agreement::Unreadable(_));
    for look in sinks.iter().filter(unreadable).take(MAX_FINDINGS) {
        found.push(format!("{} of {} cannot be read", look.sink, look.issuer));
    }
    for rotation in rotations.iter().take(MAX_FINDINGS) {
        for key in &rotation.keys {
            let late = key
                .opens
                .filter(|opens| view.now.duration_since(*opens) > GATE_PATIENCE);
            if let Some(opens) = late {
                let since = distance(opens, view.now);
                found.push(format!(
                    "the rotation of {} is late: \"{}\" was possible {since} ago",
                    rotation.issuer, key.next
                ));
                break;
            }
        }
    }
    if let Some(expiry) = view.certificate {
        if expiry <= view.now {
            found.push("the TLS certificate has expired".to_owned());
        } else if expiry.duration_since(view.now) < CERTIFICATE_PATIENCE {
            found.push(format!(
                "the TLS certificate expires in {}",
                distance(view.now, expiry)
            ));
        }
    }
    found
}

fn verdict(findings: &[String]) -> Markup {
    html! {
        @if findings.is_empty() {
            div .verdict.good { "All is well." }
        } @else {
            div .verdict.bad {
                "Needs a person:"
                ul { @for finding in findings { li { (finding) } } }
            }
        }
    }
}

/// Those with a problem first.
fn shown(site: &Site) -> impl Iterator<Item = &Issuer> {
    let (bad, good): (Vec<_>, Vec<_>) = site
        .issuers()
        .iter()
        .partition(|issuer| issuer.problem.is_some());
    bad.into_iter().chain(good).take(MAX_ISSUERS)
}

fn one_issuer(view: &View<'_>, issuer: &Issuer, rotations: &[Rotation]) -> Markup {
    let requests: u64 = DocumentName::ALL
        .iter()
        .flat_map(|kind| issuer.requests.of(*kind))
        .map(|one| one.load(Ordering::Relaxed))
        .sum();
    let rotation = rotations
        .iter()
        .find(|rotation| *rotation.issuer == *issuer.url);
    let phase = |kid: &str| {
        let key = rotation.and_then(|rotation| rotation.keys.iter().find(|key| key.kid == kid));
        key.map_or_else(|| "published".to_owned(), |key| key.state.clone())
    };
    let seen = view.looks.iter().find(|(url, _)| **url == *issuer.url);
    html! {
        article {
            h3 { (issuer.url) }
            @if let Some(problem) = &issuer.problem {
                p .bad { "Not served: " (problem) }
            }
            dl {
                dt { "keys" } dd { (issuer.keys.len()) }
                @for key in issuer.keys.iter().take(MAX_KEYS) {
                    dt { (phase(&key.kid)) }
                    dd { code { (key.kid) } ", " (age(key.since, view.now)) " old" }
                }
                @if issuer.keys.len() > MAX_KEYS { dt {} dd { (issuer.keys.len() - MAX_KEYS) " more" } }
                @if let Some((_, seen)) = seen { dt { "store seen" } dd { (age(*seen, view.now)) " ago" } }
                dt { "requests" } dd { (requests) }
            }
        }
    }
}

fn one_rotation(view: &View<'_>, rotation: &Rotation) -> Markup {
    html! {
        h2 { "Rotation" }
        article {
            h3 { (rotation.issuer) }
            (timeline::draw(rotation, view.now))
            (timeline::tell(rotation))
            p .soft { "key ring saved " (distance(rotation.written, view.now)) " ago" }
        }
    }
}

fn sinks_part(view: &View<'_>, sinks: &[SinkLook]) -> Markup {
    html! {
        h2 { "Other places of these documents" }
        @if sinks.is_empty() {
            p .soft { "None is compared: irsa serve --compare public, dir:PATH or s3://BUCKET." }
        }
        @for look in sinks.iter().take(MAX_ISSUERS) {
            article {
                h3 { (look.sink) }
                p .soft { (look.issuer) ", seen " (distance(look.at, view.now)) " ago" }
                @match &look.found {
                    Agreement::Agrees => p .good { "The same keys." },
                    Agreement::Differs { missing, foreign } => {
                        p .bad { "Other keys." }
                        dl {
                            @for kid in missing.iter().take(MAX_KEYS) { dt { "only here" } dd { code { (kid) } } }
                            @for kid in foreign.iter().take(MAX_KEYS) { dt { "only there" } dd { code { (kid) } } }
                        }
                    },
                    Agreement::Unreadable(why) => p .bad { "Cannot be read: " (why) },
                }
            }
        }
    }
}

fn certificate_part(view: &View<'_>) -> Markup {
    html! {
        h2 { "TLS certificate" }
        @match view.certificate {
            None => p .soft { "None: plain HTTP, for a proxy that ends TLS." },
            Some(expiry) if expiry <= view.now => {
                p .bad { "Expired on " (date(expiry)) ", " (distance(expiry, view.now)) " ago." }
            },
            Some(expiry) => p { "Expires on " (date(expiry)) ", in " (distance(view.now, expiry)) "." },
        }
    }
}

fn problems_part(view: &View<'_>, problems: &[Problem]) -> Markup {
    html! {
        h2 { "Last errors" }
        @if problems.is_empty() { p .soft { "None since the start." } }
        @for problem in problems {
            article {
                h3 { (problem.subject) }
                p { (problem.what) }
                p .soft {
                    (time(problem.at)) ", " (distance(problem.at, view.now)) " ago"
                    @if problem.times > 1 { ", " (problem.times) " times" }
                }
            }
        }
    }
}

fn age(since: SystemTime, now: Timestamp) -> String {
    Timestamp::try_from(since).map_or_else(
        |_| "of unknown age,".to_owned(),
        |since| distance(since, now),
    )
}

/// The site's view at this moment, from what the endpoint has.
impl<'a> View<'a> {
    pub(in crate::serve) fn of(site: &'a Arc<Site>, metrics: &'a crate::serve::Metrics) -> Self {
        Self {
            now: Timestamp::now(),
            site,
            board: metrics.board(),
            draining: metrics.is_draining(),
            certificate: metrics.certificate_expiry(),
            looks: metrics.source_looks(),
        }
    }
}

const STYLE: &str = include_str!("style.css");
const MAX_ISSUERS: usize = 100;
const MAX_KEYS: usize = 20;
const MAX_ROTATIONS: usize = 20;
const MAX_FINDINGS: usize = 5;
/// A cron job that runs every hour needs a few hours for what has become possible; a day is too long.
const GATE_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// ACME clients renew with a month to go: with two weeks left something is wrong.
const CERTIFICATE_PATIENCE: SignedDuration = SignedDuration::from_hours(14 * 24);
