//! The acting half of the issuer: key files, publishing, serving, and the issuer as a relying party sees it.

pub mod answer;
pub mod chain_probe;
pub mod fetch_probe;
pub mod keyfile;
pub mod keygen;
pub mod keyset;
pub mod publish;
pub mod relying_party;
pub mod serve;
pub mod sign;
pub mod source;
pub mod state;
pub mod store;
