//! The only place that decides about keys: given what is remembered and what is seen, the next step of a rotation.
//!
//! ```text
//!  create   publish and trust      wait         promote          wait               retire        erase
//!    │      every sink, server    for caches   each server   for the last token   both tracks       │
//!  ──●──────────●───────────────────────────────●────────────────────────────────────●──────────────●──►
//!    the private half is durable first          old signs no more                    intent, then deed
//! ```
//!
//! Additions go to the documents and the API servers first and to the signing path last; removals go the other way
//! round. Between two steps the world is looked at again: that something was done is never taken for granted.
//!
//! # Guarantees
//!
//! At every instant, whenever a run crashes, is repeated, stalls or meets another one, for every API server *a*, *b*:
//!
//! 1. **No API server refuses another's token.** *a* signs with a key only if every *b* trusted it, in its process and
//!    in its files, at the moment of the promotion ([`TrustedProof`]), and *b* goes on trusting it: trust is narrowed
//!    only after no server signs with the key, in process or files, and the last token has expired.
//! 2. **No relying party meets a key that it could not have fetched.** A promotion demands a [`PublishedProof`]: the key
//!    was seen in the public JWKS and in every sink at each look of the last [`RotationPolicy::publish_wait`], and is
//!    now; a gap sets the clock to zero.
//! 3. **No living token loses its key.** The drain clocks start when *no server is seen or reported to sign* with the key,
//!    and run for the longest token that was asked for while it signed. The public and the cluster track have a clock
//!    each, because tokens for AWS live for a day and those for the API server for up to a year.
//! 4. **The JWKS is never empty, never foreign, never too large.** A key leaves only when another one signs everywhere;
//!    an unknown kid stops everything; creation stops at [`MOST_KEYS`](crate::policy::MOST_KEYS).
//! 5. **The JWKS changes by one key at a time.** A step names one kid and one sink; the adapter writes only over the bytes
//!    that it computed the change from.
//! 6. **A private key is durable before its public half appears, and destroyed after that has disappeared.** A key whose
//!    private half cannot be read back is given up; erasing demands that both tracks were seen to be gone.
//! 7. **One run acts, and a late write is harmless.** A decision is saved over the generation that it was made from before
//!    it is acted upon, so of two runs one is refused. What an overtaken run still does late is right (a removal: decisions
//!    to remove are irrevocable), or undone (an addition: kids are never used twice, and a spent one is removed wherever it
//!    is seen), or prevented (a node's files change under that node's lock).
//! 8. **What lies on disk counts as loaded.** Each question about a server is asked of its process and of its files, and a
//!    node's report counts only if it was made after the decision that it answers.
//!
//! From every state that a crash leaves, repeated runs end with one fresh signing key and no leftover.
//!
//! # Assumptions
//!
//! The durations of the policy's [`Assumptions`](crate::policy::Assumptions) hold; the store refuses a save over another
//! generation; a write to a sink without a lock cannot arrive after the lease of its run; key material for joining
//! nodes is that of the servers seen.
//!
//! # Caveats
//!
//! A server that signs with a retired key, because its manifest was made anew or its node joined with old key material, is
//! switched as soon as every server trusts the key that signs: its tokens are refused until then, and no wait saves one.
//! Where that cannot be done here the run stops; but nothing is held up for a key whose private half is lost, or that is
//! compromised: the next one is made, and that server waits for it.
//!
//! A compromised key ([`KeyRing::compromised`]) is not waited for: the new key signs before caches may have seen it, and
//! the old one goes before its tokens expire. Guarantees 2 and 3 do not hold for these two keys; all others do.
//!
//! [`TrustedProof`]: crate::proof::TrustedProof
//! [`PublishedProof`]: crate::proof::PublishedProof

mod block;
pub(crate) mod guard;
mod holds;
mod learn;
#[cfg(test)]
mod model;
mod questions;
pub mod rebuild;
pub(crate) mod scene;
pub mod simulation;
mod step;
mod stranger;
mod suspects;
pub mod timeline;
mod waits;

use jiff::Timestamp;

pub use self::block::Block;
use self::guard::Guards;
use self::scene::Scene;
pub use self::step::{Action, Reason, Step, Wait};
pub use self::suspects::Suspects;
use crate::observation::Observation;
use crate::policy::RotationPolicy;
use crate::ring::KeyRing;

/// The next step, decided from what is remembered, what is seen and what time it is.
///
/// A caller saves what [`Step::Save`] asks it to save, or does the one thing that [`Step::Act`] asks for, and asks
/// again with a new observation; it stops at any other step. Asking twice gives the same answer. It cannot fail.
pub fn next_step(
    ring: &KeyRing,
    policy: &RotationPolicy,
    observed: &Observation,
    now: Timestamp,
) -> Step {
    decide(&Scene {
        ring,
        policy,
        observed,
        now,
        guards: Guards::ALL,
    })
}

/// What stands between now and the end of the rotation, each with the instant at which it opens, the nearest first.
pub fn waits(
    ring: &KeyRing,
    policy: &RotationPolicy,
    observed: &Observation,
    now: Timestamp,
) -> Vec<Wait> {
    waits::waits(&Scene {
        ring,
        policy,
        observed,
        now,
        guards: Guards::ALL,
    })
}

/// Asks the questions in the order of their weight; the first that has an answer decides.
pub(crate) fn decide(scene: &Scene<'_>) -> Step {
    use questions as q;
    let questions: [fn(&Scene<'_>) -> Option<Step>; 13] = [
        // Never act on a world that is not understood or not seen.
        stranger::stranger,
        q::blind,
        |scene| learn::learn(scene).map(|ring| Step::Save(Box::new(ring))),
        // What cannot be finished is given up.
        q::give_up,
        // Additions before promotions before removals.
        q::publish,
        q::trust,
        q::promote,
        q::spent,
        q::choose,
        q::withdraw,
        q::distrust,
        q::retire,
        q::create,
    ];
    let answer = questions.iter().find_map(|question| question(scene));
    answer.unwrap_or_else(|| waits::wait(scene))
}

#[cfg(test)]
#[path = "rotation/backup_tests.rs"]
mod backup_tests;
#[cfg(test)]
#[path = "rotation/foreign_tests.rs"]
mod foreign_tests;
#[cfg(test)]
#[path = "rotation/gate_tests.rs"]
mod gate_tests;
#[cfg(test)]
#[path = "rotation/spent_tests.rs"]
mod spent_tests;
#[cfg(test)]
#[path = "rotation/tests.rs"]
mod tests;
