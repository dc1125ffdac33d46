//! Proofs: values that exist only if a run has seen what they say.
//!
//! A server is switched to a key with a [`Promotion`], and there is no other way to make one than to show, in one
//! observation, that the key is where it must be. Their fields are private and their constructors belong to this crate:
//! no command, no adapter and no record on disk can forge one.

use jiff::Timestamp;

use crate::kid::Kid;
use crate::ring::Seen;
use crate::rotation::guard::Guard;
use crate::rotation::scene::Scene;

/// A key was read back from the public issuer URL and from every sink, now, and has been there long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedProof {
    kid: Kid,
    since: Timestamp,
}

/// A key is trusted by every API server, by its process and by its files, now, and has been for long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProof {
    kid: Kid,
    since: Timestamp,
    servers: Vec<String>,
}

/// One API server may be switched to sign with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    server: String,
    published: PublishedProof,
    trusted: TrustedProof,
}

impl PublishedProof {
    /// The proof, if the scene shows it. With `at_once` the key need not have been there for long.
    pub(crate) fn of(scene: &Scene<'_>, kid: &Kid, seen: &Seen, at_once: bool) -> Option<Self> {
        let since = seen.published;
        let seen = scene.holds(Guard::Published, since.is_some() && scene.is_published(kid));
        let aged = at_once || since.is_none_or(|since| scene.now >= scene.aged_at(since));
        let aged = scene.holds(Guard::Aged, aged);
        let since = since.unwrap_or(scene.now);
        (seen && aged).then(|| Self {
            kid: kid.clone(),
            since,
        })
    }

    /// Since when it has been published.
    pub const fn since(&self) -> Timestamp {
        self.since
    }
}

impl TrustedProof {
    /// The proof, if the scene shows it. With `at_once` the key need not have been there for long.
    pub(crate) fn of(scene: &Scene<'_>, kid: &Kid, seen: &Seen, at_once: bool) -> Option<Self> {
        let since = seen.trusted;
        let seen = scene.holds(
            Guard::Trusted,
            since.is_some() && scene.is_trusted_everywhere(kid),
        );
        let aged = at_once || since.is_none_or(|since| scene.now >= scene.aged_at(since));
        let aged = scene.holds(Guard::Aged, aged);
        let since = since.unwrap_or(scene.now);
        (seen && aged).then(|| Self {
            kid: kid.clone(),
            since,
            servers: scene
                .observed
                .servers
                .iter()
                .map(|server| server.name.clone())
                .collect(),
        })
    }

    /// Since when every API server has trusted it.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// The API servers that do.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }
}

impl Promotion {
    /// A promotion of the key that both proofs are about.
    pub(crate) fn new(
        server: &str,
        published: PublishedProof,
        trusted: TrustedProof,
    ) -> Option<Self> {
        let of_one_key = published.kid == trusted.kid;
        of_one_key.then(|| Self {
            server: server.to_owned(),
            published,
            trusted,
        })
    }

    /// Which key.
    pub const fn kid(&self) -> &Kid {
        &self.published.kid
    }

    /// Which API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// That the key is published.
    pub const fn published(&self) -> &PublishedProof {
        &self.published
    }

    /// That the key is trusted.
    pub const fn trusted(&self) -> &TrustedProof {
        &self.trusted
    }
}
