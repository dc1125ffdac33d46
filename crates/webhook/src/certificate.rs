//! The webhook's own certificate authority, so that a cluster needs no other.
//!
//! The CA stands in a Secret and lives for years; each replica makes a leaf for itself and renews it in memory, which
//! the API server does not notice, because it trusts the CA. The CA changes in steps, with both trusted in between:
//!
//! ```text
//! Secret     current            current+next                 next becomes current, old stays as previous    current
//! caBundle   current            current+next                 both                                           current
//! leaves     signed by current  signed by current            signed by the new current                      the same
//!            |<-- most of its life -->|<-- overlap, and seen in the bundle -->|<-- overlap -->|
//! ```
//!
//! **Guarantees.** No leaf is served whose CA is not in every caBundle of ours. Two replicas that act at once do not
//! undo each other: every write names the version that it read. A Secret that was deleted is written again as it was.
//! **Assumption.** Replicas look at the Secret several times within the overlap.

mod bundle;
mod error;
mod examine;
mod keeper;
mod make;
mod plan;
mod record;
mod secret;

pub(crate) use bundle::injector;
pub use error::CertificateError;
pub use examine::{CertificateState, examine};
pub use keeper::{Keeper, KeeperConfig};
pub use plan::{Policy, Step, next_step};
pub use record::{Authority, Record, RecordError, Trusted};
