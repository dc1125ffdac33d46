//! The pod identity webhook: what makes an IAM role useful to a pod.
//!
//! Pure, from bytes to bytes: [`review`] reads an admission review, [`decision`] says which role the pod gets,
//! [`injection`] builds the patch.

pub mod accounts;
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
