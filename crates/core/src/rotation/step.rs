//! What a decision can be, and how it reads.

use std::fmt;

use jiff::Timestamp;

use super::block::Block;
use crate::kid::Kid;
use crate::observation::Hold;
use crate::proof::Promotion;
use crate::ring::{Event, KeyRing, What};

/// The answer of [`super::next_step`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Save this ring over the one that was given, and ask again.
    Save(Box<KeyRing>),
    /// Do this one thing, and ask again with a new observation.
    Act(Action),
    /// Nothing can be done now.
    Wait(Vec<Wait>),
    /// A person is needed.
    Blocked(Block),
}

/// One change of the outside world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a key, save the ring that [`KeyRing::created`] gives, then store the private half.
    Create {
        /// Why now.
        why: String,
    },
    /// Add a key to the JWKS in one sink.
    Publish {
        /// Which key.
        kid: Kid,
        /// Where.
        sink: String,
    },
    /// Make an API server accept a key: its files and its process.
    Trust {
        /// Which key.
        kid: Kid,
        /// Where.
        server: String,
    },
    /// Make an API server, and the controller-manager beside it, sign with a key.
    Promote(Promotion),
    /// Take a key out of the JWKS in one sink.
    Withdraw {
        /// Which key.
        kid: Kid,
        /// Where.
        sink: String,
    },
    /// Make an API server refuse a key: its files and its process.
    Distrust {
        /// Which key.
        kid: Kid,
        /// Where.
        server: String,
    },
    /// Destroy the private half of a key.
    Erase {
        /// Which key.
        kid: Kid,
    },
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// From when on it can be otherwise, if a clock tells.
    pub until: Option<Timestamp>,
    /// What it is.
    pub reason: Reason,
}

/// What is waited for; each prints as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Caches of relying parties must have had time to see the key.
    Aging(Kid),
    /// A sink has the key, and the public URL does not show it yet.
    NotPublic(Kid),
    /// The public URL still shows the key.
    StillPublic(Kid),
    /// Only a run on that node can do it, or report that it is so.
    Node {
        /// Which API server.
        server: String,
        /// Which key.
        kid: Kid,
        /// What is to be done there.
        what: What,
    },
    /// An API server does not answer.
    Unreachable {
        /// Which one.
        server: String,
        /// Why.
        why: String,
    },
    /// An API server refuses a fresh token of another one.
    Refuses {
        /// Which one.
        server: String,
        /// Whose token.
        of: String,
    },
    /// A server may still sign with the key.
    StillSigns {
        /// Which key.
        kid: Kid,
        /// Which servers.
        servers: Vec<String>,
    },
    /// External tokens of the key may be alive.
    PublicDrain(Kid),
    /// Tokens for the API servers may be alive.
    ClusterDrain(Kid),
    /// Something holds the key.
    Held {
        /// Which key.
        kid: Kid,
        /// What holds it.
        hold: Hold,
    },
    /// The next rotation is not due.
    Calendar,
}

impl Step {
    /// Whether the same run may get further soon, with nothing changed by hand.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Save(_) | Self::Act(_) | Self::Blocked(_) => false,
            Self::Wait(waits) => waits.iter().any(|wait| match wait.reason {
                Reason::Unreachable { .. } | Reason::Refuses { .. } => true,
                Reason::Aging(_)
                | Reason::NotPublic(_)
                | Reason::StillPublic(_)
                | Reason::Node { .. }
                | Reason::StillSigns { .. }
                | Reason::PublicDrain(_)
                | Reason::ClusterDrain(_)
                | Reason::Held { .. }
                | Reason::Calendar => false,
            }),
        }
    }
}

impl Action {
    /// What it is called in the history.
    pub const fn what(&self) -> What {
        match self {
            Self::Create { .. } => What::Created,
            Self::Publish { .. } => What::Published,
            Self::Trust { .. } => What::Trusted,
            Self::Promote(_) => What::Promoted,
            Self::Withdraw { .. } => What::Withdrawn,
            Self::Distrust { .. } => What::Distrusted,
            Self::Erase { .. } => What::Erased,
        }
    }

    /// The key that it is about, unless it is still to be made.
    pub const fn kid(&self) -> Option<&Kid> {
        match self {
            Self::Create { .. } => None,
            Self::Promote(promotion) => Some(promotion.kid()),
            Self::Publish { kid, .. }
            | Self::Trust { kid, .. }
            | Self::Withdraw { kid, .. }
            | Self::Distrust { kid, .. }
            | Self::Erase { kid } => Some(kid),
        }
    }

    /// Where it is done, unless that is where keys rest.
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::Create { .. } | Self::Erase { .. } => None,
            Self::Publish { sink, .. } | Self::Withdraw { sink, .. } => Some(sink),
            Self::Trust { server, .. } | Self::Distrust { server, .. } => Some(server),
            Self::Promote(promotion) => Some(promotion.server()),
        }
    }

    /// Why it is done.
    pub fn why(&self) -> String {
        match self {
            Self::Create { why } => why.clone(),
            Self::Publish { .. } => {
                "it must be there before it signs, and as long as its tokens live".into()
            }
            Self::Trust { .. } => {
                "it must be trusted before it signs, and as long as its tokens live".into()
            }
            Self::Promote(promotion) => format!(
                "it has been published since {} and trusted by {} since {}",
                promotion.published().since(),
                promotion.trusted().servers().join(", "),
                promotion.trusted().since()
            ),
            Self::Withdraw { .. } => "no token for an external audience needs it".into(),
            Self::Distrust { .. } => "no token for the API server needs it".into(),
            Self::Erase { .. } => "it is neither published nor trusted".into(),
        }
    }

    /// The entry of the history that is saved before it is done.
    pub fn event(&self, by: &str, at: Timestamp) -> Event {
        Event {
            at,
            by: by.to_owned(),
            what: self.what(),
            kid: self.kid().cloned(),
            place: self.place().map(str::to_owned),
            why: self.why(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { why } => write!(f, "create a key: {why}"),
            Self::Publish { kid, sink } => write!(f, "publish {kid} in {sink}"),
            Self::Trust { kid, server } => write!(f, "trust {kid} on {server}"),
            Self::Promote(promotion) => {
                write!(f, "sign with {} on {}", promotion.kid(), promotion.server())
            }
            Self::Withdraw { kid, sink } => write!(f, "withdraw {kid} from {sink}"),
            Self::Distrust { kid, server } => write!(f, "distrust {kid} on {server}"),
            Self::Erase { kid } => write!(f, "erase the private half of {kid}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aging(kid) => write!(
                f,
                "{kid} signs when the caches of relying parties have had time to see it"
            ),
            Self::NotPublic(kid) => write!(
                f,
                "{kid} is written, and the issuer URL does not show it yet"
            ),
            Self::StillPublic(kid) => {
                write!(f, "{kid} is withdrawn, and the issuer URL still shows it")
            }
            Self::Node { server, kid, what } => {
                write!(
                    f,
                    "irsa rotate must run on the node of {server}, where {kid} is to be {what}"
                )
            }
            Self::Unreachable { server, why } => {
                write!(f, "API server {server} does not answer: {why}")
            }
            Self::Refuses { server, of } => {
                write!(f, "API server {server} refuses a fresh token of {of}")
            }
            Self::StillSigns { kid, servers } => {
                write!(f, "{} may still sign with {kid}", servers.join(", "))
            }
            Self::PublicDrain(kid) => write!(
                f,
                "tokens of {kid} for AWS and other relying parties may be alive"
            ),
            Self::ClusterDrain(kid) => write!(f, "tokens of {kid} for the API server may be alive"),
            Self::Held { kid, hold } => write!(f, "{kid} is kept: {hold}"),
            Self::Calendar => f.write_str("the next rotation is not due"),
        }
    }
}
