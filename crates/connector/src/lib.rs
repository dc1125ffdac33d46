//! The EKS Connector sidecar: a cluster anywhere is registered with EKS, so that the EKS console shows it.
//!
//! Pure modules decide: [`name`], [`provider`], [`region`], [`principal`], [`grant`], [`image`], [`role`], [`policy`],
//! [`manifest`], [`plan`], [`undo`] and [`doctor`]. Adapters act, one change at a time: [`aws`], [`cluster`], [`journal`] and
//! [`export`]. [`connect`] is a registration from the first look to the connected cluster, on top of [`register`] and
//! [`install`]; [`deregister`] takes it back.
//!
//! The activation code lives in [`activation::ActivationCode`], and leaves it for two places only: the journal and the
//! activation Secret.

pub mod activation;
pub mod aws;
pub mod call;
pub mod cluster;
pub mod connect;
pub mod deregister;
pub mod doctor;
pub mod examine;
pub mod export;
pub mod grant;
pub mod image;
pub mod install;
pub mod journal;
mod json;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod policy;
pub mod principal;
pub mod provider;
pub mod region;
pub mod register;
pub mod role;
pub mod undo;
