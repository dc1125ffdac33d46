//! The IAM sidecar: OIDC provider, roles and their trust policies, web identity probes.
//!
//! What is to be changed is decided in `irsa-core`; here it is observed and done, or printed for other tools.

pub mod caller;
pub mod error;
pub mod format;
pub mod observe_exchange;
pub mod observe_role;
pub mod permissions;
pub mod provider;
pub mod role;
