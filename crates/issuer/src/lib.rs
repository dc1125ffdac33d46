//! The acting half of the issuer: key files, publishing, serving, and the issuer as a relying party sees it.
//!
//! ```text
//!   keyfile, keygen, sign ── private keys: made, read, used        keyset ── public ones, from files and directories
//!   publish ── a place of documents, written only if unchanged: directory, S3, CloudFront in front of it
//!   source ── documents from files or a store, the last good ones kept ──► serve ── HTTP, status page, metrics
//!   relying_party ── the issuer as STS fetches it                  state ── where key ring and private keys rest
//! ```

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
