//! The pod identity webhook: what makes an IAM role useful to a pod.
//!
//! Pure, from bytes to bytes: [`review`] reads an admission review, [`decision`] says which role the pod gets,
//! [`injection`] builds the patch.

pub mod association;
pub mod decision;
pub mod identity;
pub mod injection;
pub mod mapping;
pub mod note;
pub mod pod;
pub mod review;
pub mod role;
pub mod settings;
pub mod skip;
