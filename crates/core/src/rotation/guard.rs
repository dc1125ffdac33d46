//! The guards of the machine by name, so that tests can take one away and see the proof fail.

/// A condition that a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// A key is published only once its private half has been read back.
    PrivateDurable,
    /// A key signs only when it is seen in the public JWKS and in every sink.
    Published,
    /// A key signs only when every API server is seen to trust it.
    Trusted,
    /// What lies on disk counts as loaded.
    Disk,
    /// A key signs only when caches have had time to see it.
    Aged,
    /// The decision to promote is saved before the first server is switched.
    ChosenFirst,
    /// Draining begins when no server signs with the key.
    Quiet,
    /// A node's report answers a decision only if it was made after it.
    FreshReport,
    /// A key leaves the JWKS when the last external token of it has expired.
    PublicDrain,
    /// A key leaves the API servers when the last token for them has expired.
    ClusterDrain,
    /// A key leaves only when nothing holds it.
    Holds,
    /// The private half is destroyed only when the public half is gone.
    GoneFirst,
    /// A spent key that reappears is taken out again.
    Tombstone,
}

/// Which guards stand: in the product, all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Guards {
    removed: Option<Guard>,
}

impl Guards {
    /// All of them.
    pub(crate) const ALL: Self = Self { removed: None };

    /// All but one.
    #[cfg(test)]
    pub(crate) const fn without(guard: Guard) -> Self {
        Self {
            removed: Some(guard),
        }
    }

    /// Whether the guard lets pass, given whether its condition is met.
    pub(crate) fn hold(self, guard: Guard, condition: bool) -> bool {
        condition || self.removed == Some(guard)
    }
}
