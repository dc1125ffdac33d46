//! One control-plane node brought into a phase: what must hold before, what must be seen afterwards.
//!
//! The order on one node: the other API servers are healthy and accept what this one is going to sign; key files are
//! placed; the manifest is replaced; the new process is seen and serves the new state. When it is not seen in time the
//! old manifest is put back. Decisions are here; `live` asks and `file` writes.

mod process;

use std::collections::BTreeSet;
use std::fmt;

use irsa_core::discovery;
use irsa_core::explain::Explain;
use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::JwkSet;
use irsa_core::kid::Kid;
use irsa_core::token::Token;

use self::process::same;
pub use self::process::{Asked, Back, Process, Used, back, distinct};
use crate::live::Review;
use crate::plan::Phase;

/// How many other API servers must be healthy while one restarts.
pub const OTHERS: usize = 2;

/// What a server must show once it runs with the new flags.
#[derive(Debug, Clone)]
pub struct Goal {
    /// The phase.
    pub phase: Phase,
    /// The issuer.
    pub issuer: IssuerUrl,
    /// Keys that it must serve.
    pub kids: BTreeSet<Kid>,
    /// Keys that it must not serve any more.
    pub gone: BTreeSet<Kid>,
    /// The key that must sign, in [`Phase::Sign`].
    pub signing: Option<Kid>,
    /// When the other API servers started: an address that answers with one of these instants is not this node's.
    pub elsewhere: Vec<f64>,
}

/// What was seen of a server, as far as it was asked.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When its process started.
    pub started: Option<f64>,
    /// Whether it is ready.
    pub ready: bool,
    /// Its discovery document.
    pub discovery: Option<String>,
    /// Its JWKS.
    pub jwks: Option<String>,
    /// A token that it signed.
    pub token: Option<String>,
    /// What it says of a token as it will be signed: of the wanted issuer, by the wanted key.
    pub canary: Option<Review>,
}

/// What is still missing before a server has reached its goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The old process still runs.
    Restart,
    /// Another node's API server answers at this address.
    Elsewhere,
    /// It is not ready.
    Ready,
    /// It does not serve a JWKS.
    Documents,
    /// A key is not served.
    Key(Kid),
    /// A key is served still.
    StillServed(Kid),
    /// The issuer of its documents is another one.
    Issuer {
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// Tokens are signed with another key or issuer.
    Signer {
        /// What signs.
        found: String,
        /// What should.
        expected: String,
    },
    /// It refuses a token as it will be signed.
    Canary(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart => f.write_str("the old process still runs"),
            Self::Elsewhere => f.write_str("another API server answers at its address"),
            Self::Ready => f.write_str("it is not ready"),
            Self::Documents => f.write_str("it serves no JWKS"),
            Self::Key(kid) => write!(f, "its JWKS does not have key {kid}"),
            Self::StillServed(kid) => write!(f, "its JWKS still has key {kid}"),
            Self::Issuer { found, expected } => {
                write!(
                    f,
                    "its discovery document says \"{found}\", expected \"{expected}\""
                )
            }
            Self::Signer { found, expected } => {
                write!(f, "it signs with {found}, expected {expected}")
            }
            Self::Canary(why) => write!(f, "it refuses a token of the new issuer and key: {why}"),
        }
    }
}

/// What a server still lacks; nothing when it runs with the new flags. `before` is when the old process started, if
/// the flags were changed at all.
pub fn missing(goal: &Goal, seen: &Seen, before: Option<f64>) -> Option<Missing> {
    let elsewhere = |started| goal.elsewhere.iter().any(|other| same(*other, started));
    if seen.started.is_some_and(elsewhere) {
        return Some(Missing::Elsewhere);
    }
    if let Some(before) = before
        && seen.started.is_none_or(|started| started <= before)
    {
        return Some(Missing::Restart);
    }
    if !seen.ready {
        return Some(Missing::Ready);
    }
    served(goal, seen)
        .or_else(|| refused(seen))
        .or_else(|| signs(goal, seen))
}

fn served(goal: &Goal, seen: &Seen) -> Option<Missing> {
    if goal.kids.is_empty() && goal.gone.is_empty() {
        return None;
    }
    let Some(set) = seen
        .jwks
        .as_ref()
        .and_then(|text| JwkSet::parse(text.as_bytes()).ok())
    else {
        return Some(Missing::Documents);
    };
    let lacks = goal.kids.iter().find(|kid| !set.contains(kid.as_str()));
    let keeps = goal.gone.iter().find(|kid| set.contains(kid.as_str()));
    lacks
        .map(|kid| Missing::Key(kid.clone()))
        .or_else(|| keeps.map(|kid| Missing::StillServed(kid.clone())))
}

fn refused(seen: &Seen) -> Option<Missing> {
    let review = seen
        .canary
        .as_ref()
        .filter(|review| !review.authenticated)?;
    Some(Missing::Canary(
        review
            .error
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned()),
    ))
}

fn signs(goal: &Goal, seen: &Seen) -> Option<Missing> {
    if goal.phase != Phase::Sign {
        return None;
    }
    let expected = goal.issuer.as_str();
    let document = seen.discovery.as_deref().unwrap_or_default();
    if let Err(error) = discovery::parse(document.as_bytes(), &goal.issuer) {
        return Some(Missing::Issuer {
            found: error.to_string(),
            expected: expected.to_owned(),
        });
    }
    let token = seen
        .token
        .as_deref()
        .and_then(|text| Token::parse(text).ok());
    let found = token.as_ref().map_or(("nothing", "no key"), |token| {
        (
            token.text_claim("iss").unwrap_or("no issuer"),
            token.kid().unwrap_or("no key"),
        )
    });
    let kid = goal.signing.as_ref().map_or(found.1, Kid::as_str);
    (found != (expected, kid)).then(|| Missing::Signer {
        found: format!("issuer \"{}\" and key {}", found.0, found.1),
        expected: format!("issuer \"{expected}\" and key {kid}"),
    })
}

/// Why a rollout does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// Too few others.
    #[error("{healthy} other API servers are healthy, {OTHERS} are needed while this one restarts{}", unwell(.ill))]
    Others {
        /// How many are.
        healthy: usize,
        /// Which are not, and why.
        ill: Vec<String>,
    },
    /// Another server would refuse what this one is going to sign.
    #[error("{server} does not accept tokens of the new issuer and key yet: {why}")]
    NotAccepted {
        /// Which server.
        server: String,
        /// What it says.
        why: String,
    },
    /// A server signs with what is to be retired.
    #[error("{server} signs with {what}, which is to be retired")]
    StillSigns {
        /// Which server.
        server: String,
        /// The issuer or key.
        what: String,
    },
    /// The phase needs a private key to prove that the others accept it.
    #[error("there is no signing key at hand to prove that the other API servers accept it")]
    NoProof,
}

fn unwell(ill: &[String]) -> String {
    let mut text = String::new();
    for one in ill {
        text.push_str("; ");
        text.push_str(one);
    }
    text
}

impl Explain for Hold {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Others { .. } => {
                "mend them first, or name them with --peer; on a cluster that has fewer, --allow-single accepts that the API is away \
                 for some seconds"
                    .into()
            }
            Self::NotAccepted { server, .. } => {
                format!("run irsa apiserver rollout --phase accept on the node of {server} first; nothing was changed")
            }
            Self::StillSigns { .. } => "bring every API server to phase sign first; nothing was changed".into(),
            Self::NoProof => "add --signing-key-file with the key that signs, on this host".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Others { .. })
    }
}

/// Whether this node may restart its API server now.
pub fn may_begin(health: &[(String, Result<(), String>)], allow_single: bool) -> Result<(), Hold> {
    let healthy = health.iter().filter(|(_, health)| health.is_ok()).count();
    if healthy >= OTHERS || allow_single {
        return Ok(());
    }
    let ill = health
        .iter()
        .filter_map(|(url, health)| Some(format!("{url}: {}", health.as_ref().err()?)));
    Err(Hold::Others {
        healthy,
        ill: ill.collect(),
    })
}

/// Whether a server accepts what is going to be signed.
pub fn accepts(server: &str, review: &Review) -> Result<(), Hold> {
    if review.authenticated {
        return Ok(());
    }
    Err(Hold::NotAccepted {
        server: server.to_owned(),
        why: review
            .error
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned()),
    })
}

/// Whether a server has stopped signing with what is to be retired.
pub fn has_stopped_signing(
    server: &str,
    token: &str,
    issuers: &[String],
    gone: &BTreeSet<Kid>,
) -> Result<(), Hold> {
    let Ok(token) = Token::parse(token) else {
        return Err(Hold::StillSigns {
            server: server.to_owned(),
            what: "something that is no token".to_owned(),
        });
    };
    let issuer = token.text_claim("iss").unwrap_or_default();
    let kid = token.kid().unwrap_or_default();
    let what = if issuers.iter().any(|gone| gone == issuer) {
        format!("issuer \"{issuer}\"")
    } else if gone.iter().any(|gone| gone.as_str() == kid) {
        format!("key {kid}")
    } else {
        return Ok(());
    };
    Err(Hold::StillSigns {
        server: server.to_owned(),
        what,
    })
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
