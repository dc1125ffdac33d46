//! The pod identity webhook: what makes an IAM role useful to a pod.
//!
//! ```text
//!   admission review ──► review ──► decision ──► injection ──► JSON Patch          pure, from bytes to bytes
//!                          │           ▲ identity, mapping, association, skip
//!                        serve         │
//!   API server ──► watch, live ──► identities (accounts)                          what is known of service accounts
//!                  certificate ──► serve, and the caBundle of the registration
//!   manifest ──► install                audit, probe ── what pods have, looked at from outside
//!   annotate ──► a service account gets its role
//! ```
//!
//! [`review`] reads an admission review, [`decision`] says which role the pod gets, [`injection`] builds the patch;
//! [`watch`] keeps what they need to know, and [`live`] asks for what is not known yet.

pub mod accounts;
pub mod annotate;
pub mod association;
pub mod audit;
pub mod certificate;
pub mod decision;
pub mod event;
pub mod identities;
pub mod identity;
pub mod injection;
pub mod install;
pub mod live;
pub mod manifest;
pub mod mapping;
pub mod metrics;
pub mod note;
mod places;
pub mod pod;
pub mod probe;
pub mod review;
pub mod role;
pub mod serve;
pub mod settings;
pub mod skip;
pub mod unquoted;
pub mod watch;
