//! The IAM sidecar: OIDC provider, roles and their trust policies, web identity probes.

pub mod caller;
pub mod error;
