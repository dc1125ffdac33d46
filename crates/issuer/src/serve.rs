//! The long-running issuer endpoint: the two public documents of one or many issuers over HTTP/1.1 and HTTP/2,
//! plain or TLS, until told to stop.
//!
//! A [`Site`] is everything that is served, made once and swapped whole through a [`SiteHandle`]. [`Server::bind`]
//! listens, [`Bound::run`] serves and drains, [`Metrics`] counts.
//!
//! ```text
//! irsa-endpoint: accept, TLS, HTTP, four timeouts, eviction at the cap -> route (routes) -> document (site)
//! ```
//!
//! [`status`] is what people see of it.
//!
//! **Guarantees.** A client sees whole documents of one [`Site`]. A bad certificate or an issuer without documents
//! disturbs no other. Every connection is under exactly one timeout at any time, and no number of silent connections
//! keeps a client out that asks. Nothing in a response comes from the request.
//!
//! **Assumptions.** Documents are small (kilobytes) and fit in memory. Which keys are in them was decided elsewhere.

mod admin;
mod document;
mod error;
mod metrics;
mod observer;
mod routes;
mod server;
mod site;
pub mod status;
mod tls;

pub use document::Document;
pub use error::ServeError;
pub use irsa_endpoint::Limits;
pub use irsa_endpoint::tls::PairFiles;
pub use metrics::Metrics;
pub use server::{Bound, CertificateReloader, Server, ServerConfig};
pub use site::{ServedIssuer, ServedKey, Site, SiteHandle};
pub use tls::validate_tls;
