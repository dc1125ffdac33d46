//! Why a person is needed.

use std::time::Duration;

use jiff::Timestamp;

use crate::explain::Explain;
use crate::kid::Kid;
use crate::policy::spell;

/// Why a person is needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Block {
    /// The JWKS holds a key that this ring has never seen.
    #[error("the JWKS in {place} holds the key \"{kid}\", which is not in the key ring")]
    UnknownPublished {
        /// Its key ID.
        kid: String,
        /// The sink, or the issuer URL.
        place: String,
    },
    /// An API server trusts a key that this ring has never seen.
    #[error("API server \"{server}\" trusts the key \"{kid}\", which is not in the key ring")]
    UnknownTrusted {
        /// Its key ID.
        kid: Kid,
        /// Which API server.
        server: String,
    },
    /// An API server signs with a key that this ring has never seen.
    #[error("API server \"{server}\" signs with the key \"{kid}\", which is not in the key ring")]
    UnknownSigner {
        /// Its key ID.
        kid: Kid,
        /// Which API server.
        server: String,
    },
    /// An API server signs with a key that is retired: others refuse its tokens.
    #[error("API server \"{server}\" signs with the retired key \"{kid}\": its tokens are refused")]
    SpentSigner {
        /// Which API server.
        server: String,
        /// The retired key.
        kid: Kid,
        /// The key that it shall sign with.
        current: Kid,
        /// The other API servers that do not trust that key yet.
        lacking: Vec<String>,
    },
    /// This run's place of private keys is not that of the runs before.
    #[error(
        "the place of private keys has the name \"{found}\", expected \"{expected}\", which earlier runs have used"
    )]
    OtherKeyPlace {
        /// The name that the ring knows.
        expected: String,
        /// The name that was found.
        found: String,
    },
    /// The key that shall sign is nowhere.
    #[error(
        "the key ring says that \"{kid}\" signs, and no JWKS, no API server and no place of private keys has it"
    )]
    RingOutdated {
        /// Which key.
        kid: Kid,
    },
    /// An API server that took part has disappeared.
    #[error("API server \"{server}\" was seen before and is no longer in the list of API servers")]
    ServerLeft {
        /// Which one.
        server: String,
    },
    /// The cluster has more control-plane nodes than API servers were asked.
    #[error(
        "there are {} control-plane nodes ({}) and {servers} API servers in the list",
        .nodes.len(), .nodes.join(", ")
    )]
    ServerUnlisted {
        /// The nodes, by name.
        nodes: Vec<String>,
        /// How many API servers are in the list.
        servers: usize,
    },
    /// There is no API server at all.
    #[error("no API server was seen")]
    NoServers,
    /// The clock went back.
    #[error("it is {now} by this clock, and the key ring was written at {written}")]
    ClockWentBack {
        /// This run's time.
        now: Timestamp,
        /// The time of the last save.
        written: Timestamp,
    },
    /// The clocks of this host and of another one differ by more than is assumed.
    #[error(
        "the clock of \"{server}\" is {} s {} this host's, expected at most {skew} s of difference",
        .ahead.unsigned_abs(), if *.ahead < 0 { "behind" } else { "ahead of" }
    )]
    ClocksApart {
        /// Which one: an API server, or the issuer URL.
        server: String,
        /// By how many seconds it is ahead.
        ahead: i64,
        /// How many are assumed.
        skew: u64,
    },
    /// Caches may keep the JWKS for longer than a key signs.
    #[error(
        "the JWKS at {place} is served with a max-age of {}, expected at most {}: every later key would wait for that",
        spell(*max_age), spell(*limit)
    )]
    ServedTooLong {
        /// Who says so.
        place: String,
        /// For how long a copy may be kept.
        max_age: Duration,
        /// The period without the clock skew.
        limit: Duration,
    },
    /// A key that servers must be switched to is nowhere.
    #[error(
        "the private half of key \"{kid}\" is not where keys rest, and API server \"{server}\" must be switched to it"
    )]
    PrivateLost {
        /// Which key.
        kid: Kid,
        /// The first server that needs it.
        server: String,
    },
    /// No more keys fit into the JWKS.
    #[error("the key ring holds {count} keys, expected fewer than {limit}")]
    TooManyKeys {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
}

impl Explain for Block {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::UnknownPublished { kid, .. } => format!(
                "find out who put it there. If it was this cluster's, take it over with irsa rotate --adopt {kid}: it drains \
                 and goes. If it is another cluster's, give each cluster an issuer of its own"
            ),
            Self::UnknownTrusted { kid, .. } | Self::UnknownSigner { kid, .. } => {
                format!(
                    "find out who put it there; then irsa rotate --adopt {kid} takes it over: it drains and goes"
                )
            }
            Self::SpentSigner {
                server,
                current,
                lacking,
                ..
            } => switch(server, current, lacking),
            Self::ServerLeft { server } => {
                format!(
                    "if it is gone for good, and nothing can start it again: irsa rotate --forget-server {server}"
                )
            }
            Self::ServerUnlisted { .. } => {
                "name each API server at its own address with --server; or, if a node is gone for good, kubectl delete node NAME"
                    .into()
            }
            Self::ClocksApart { .. } => {
                "let NTP set both clocks; or, if they cannot agree better, give a longer --skew".into()
            }
            Self::ServedTooLong { max_age, .. } => format!(
                "mend the Cache-Control there; nothing of it was remembered. If it is meant, and caches may keep a copy for so long: \
                 --cache {}s, and a --period that is longer",
                max_age.as_secs()
            ),
            Self::NoServers => "name the API servers with --server".into(),
            Self::ClockWentBack { .. } => {
                "set the clock of this host. If it is right, the one that wrote the key ring was ahead: move the key ring away, and \
                 the next run makes another from what it sees"
                    .into()
            }
            Self::OtherKeyPlace { expected, .. } => format!(
                "give each node the same --private-keys, and one that all of them reach. If the keys were moved, move the file \
                 \"place\" (of a Secret: the annotation irsa/place) with them. If that place is lost for good, write {expected} into \
                 that file of a new directory, mode 0700 (into that annotation of a new Secret): keys that are not there are then \
                 given up, and irsa rotate --now replaces the one that signs"
            ),
            Self::RingOutdated { .. } => {
                "the key ring is older than the world, as one from a backup: move it away, and the next run makes another from \
                 what it sees"
                    .into()
            }
            Self::PrivateLost { kid, .. } => {
                format!(
                    "put {kid} back where private keys rest; API servers that sign with it have a copy in their key directory. Or \
                     have it replaced, with all waits: irsa rotate --now"
                )
            }
            Self::TooManyKeys { .. } => "irsa rotate status shows what keeps the old keys".into(),
        })
    }
}

/// How a server comes to sign with the current key, when these servers do not trust that yet.
fn switch(server: &str, current: &Kid, lacking: &[String]) -> String {
    if lacking.is_empty() {
        return format!(
            "run irsa rotate on the node of {server}: it switches it to {current} at once"
        );
    }
    format!(
        "run irsa rotate on the nodes of {}, which do not trust {current} either, and then on the node of {server}",
        lacking.join(", ")
    )
}
