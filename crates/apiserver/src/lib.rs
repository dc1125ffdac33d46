//! kube-apiserver's token flags on any distribution: read, planned, edited in place, checked, rolled out.
//!
//! ```text
//!   file ──► yaml ──► distro, shape, component ──► flags ──► plan (wanted, phase) ──► edit ──► patch ──► diff, file
//!                                                    └──► findings (is it right?)
//!   live (one server, asked) ──► matrix (do all agree?)
//!                           └──► rollout (may it begin? is it through?)         alone, turn: one run at a time
//! ```
//!
//! A file is read into values ([`yaml`]); its distribution says where the flags stand and in which form ([`distro`],
//! [`shape`]), and what other files say to that ([`layers`]); what they must become is decided from values alone ([`plan`]); the edits that lead there are data
//! ([`edit`]), made in the text by one YAML library and checked by another.

pub mod alone;
pub mod component;
pub mod diff;
pub mod distro;
pub mod edit;
pub mod environment;
pub mod file;
pub mod findings;
pub mod flags;
pub mod layers;
pub mod live;
pub mod matrix;
pub mod mounts;
pub mod patch;
pub mod place;
pub mod plan;
pub mod rollout;
pub mod shape;
pub mod turn;
pub mod yaml;
