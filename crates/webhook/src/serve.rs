//! The webhook as a server: HTTPS for the API server, plain HTTP for metrics.
//!
//! [`Server::bind`] listens, [`Server::run`] serves until told to stop, then answers what is in flight. The
//! certificate comes from a [`Served`] that somebody else fills and refills: files or the webhook's own CA.

mod body;
mod cipher;
mod clients;
mod error;
mod files;
mod mutate;
mod pace;
mod room;
mod routes;
mod server;
mod tls;

pub use cipher::{TlsPolicy, TlsPolicyError, parse_ciphers, parse_min_version};
pub use error::ServeError;
pub use files::follow as follow_files;
pub use irsa_endpoint::tls::{PairFiles, Served};
pub use routes::{State, Webhook};
pub use server::{ListenConfig, Server, everywhere, limits};
pub(crate) use tls::take;
