//! What may go wrong in the model.

/// What may go wrong, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    /// A run dies.
    pub(super) crashes: u8,
    /// A run dies, and what it was writing to a sink arrives later.
    pub(super) late: u8,
    /// A run stands still while time passes.
    pub(super) stalls: u8,
    /// A server restarts although nobody asked it to.
    pub(super) restarts: u8,
    /// The public URL shows an old copy.
    pub(super) lags: bool,
    /// The next key is declared compromised.
    pub(super) compromises: u8,
    /// The ring is lost.
    pub(super) amnesia: u8,
    /// A node's manifest is written anew, with the first key's files.
    pub(super) anew: u8,
    /// A node joins with the first key's files.
    pub(super) joins: u8,
}

pub(super) const CALM: Faults = Faults {
    crashes: 0,
    late: 0,
    stalls: 0,
    restarts: 0,
    lags: false,
    compromises: 0,
    amnesia: 0,
    anew: 0,
    joins: 0,
};
