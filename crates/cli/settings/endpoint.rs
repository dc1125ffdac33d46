//! The endpoint's own settings: where it listens, and what it allows a client.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use irsa_issuer::serve::{Limits, PairFiles};

use super::{Row, row, seconds, some, time};
use crate::args::{LimitArgs, ListenArgs};
use crate::config::ServeSection;
use crate::context::{Context, Setting};
use crate::report::Failure;

/// Where the endpoint listens, and how it is protected there.
#[derive(Debug)]
pub struct ListenSettings {
    /// Addresses.
    pub listen: Setting<Vec<SocketAddr>>,
    /// Certificate chain.
    pub tls_cert: Setting<Option<PathBuf>>,
    /// Its key.
    pub tls_key: Setting<Option<PathBuf>>,
    /// Plain HTTP on other than loopback addresses.
    pub behind_proxy: Setting<bool>,
    /// The admin port.
    pub admin_listen: Setting<Option<SocketAddr>>,
}

impl ListenSettings {
    pub(super) fn resolve(args: ListenArgs, file: &ServeSection, context: &Context) -> Self {
        let ListenArgs {
            listen,
            tls_cert,
            tls_key,
            behind_proxy,
            admin_listen,
        } = args;
        let path = |id, given: Option<PathBuf>, file: &Option<PathBuf>| {
            context.setting(id, given.map(Some), file.clone().map(Some), None)
        };
        Self {
            listen: context.setting(
                "listen",
                some(&listen),
                some(&file.listen),
                vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            ),
            tls_cert: path("tls_cert", tls_cert, &file.tls_cert),
            tls_key: path("tls_key", tls_key, &file.tls_key),
            behind_proxy: context.flag("behind_proxy", behind_proxy, file.behind_proxy),
            admin_listen: context.setting(
                "admin_listen",
                admin_listen.map(Some),
                file.admin_listen.map(Some),
                None,
            ),
        }
    }

    /// Where to listen; refused when two are the same, as the second would find the first in its place.
    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let all = &self.listen.value;
        let twice = all.iter().enumerate().find(|(at, address)| {
            // Port 0 is another one each time.
            address.port() != 0 && all.iter().take(*at).any(|before| before == *address)
        });
        match twice {
            Some((_, address)) => Err(Failure::usage(
                format!("{address} is to be listened on twice"),
                "give each address once",
            )),
            None => Ok(all.clone()),
        }
    }

    /// The certificate's files, both or neither; refused when documents would leave this host unprotected.
    pub(super) fn tls(&self) -> Result<Option<PairFiles>, Failure> {
        let tls = match (&self.tls_cert.value, &self.tls_key.value) {
            (Some(cert), Some(key)) => Some(PairFiles {
                cert: cert.clone(),
                key: key.clone(),
            }),
            (None, None) => None,
            _ => {
                return Err(Failure::usage(
                    "TLS needs both a certificate and its key",
                    "give --tls-cert FILE and --tls-key FILE, or neither",
                ));
            }
        };
        let exposed = self
            .listen
            .value
            .iter()
            .find(|address| !address.ip().is_loopback());
        if let (None, false, Some(address)) = (&tls, self.behind_proxy.value, exposed) {
            return Err(Failure::usage(
                format!("plain HTTP on {address}: relying parties fetch over https only"),
                "add --tls-cert FILE --tls-key FILE; or --behind-proxy if a proxy in front ends TLS",
            ));
        }
        Ok(tls)
    }

    pub(super) fn rows(&self) -> [Row; 5] {
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map_or_else(String::new, |path| path.display().to_string())
        };
        let addresses = |all: &Vec<SocketAddr>| {
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            all.join(",")
        };
        [
            row("serve.listen", &self.listen, addresses),
            row("serve.tls_cert", &self.tls_cert, path),
            row("serve.tls_key", &self.tls_key, path),
            row("serve.behind_proxy", &self.behind_proxy, bool::to_string),
            row("serve.admin_listen", &self.admin_listen, |address| {
                address.map_or_else(String::new, |address| address.to_string())
            }),
        ]
    }
}

/// How many clients at once, and how long each may take.
#[derive(Debug)]
pub struct LimitSettings {
    /// Connections at once.
    pub max_connections: Setting<usize>,
    /// Time for a handshake and for a header.
    pub header_timeout: Setting<Duration>,
    /// Time between two requests.
    pub idle_timeout: Setting<Duration>,
    /// Time to drain.
    pub drain_timeout: Setting<Duration>,
}

impl LimitSettings {
    pub(super) fn resolve(args: LimitArgs, file: &ServeSection, context: &Context) -> Self {
        let LimitArgs {
            max_connections,
            header_timeout,
            idle_timeout,
            drain_timeout,
        } = args;
        let limits = Limits::default();
        let time = |id, given, file, default| context.setting(id, given, seconds(file), default);
        Self {
            max_connections: context.setting(
                "max_connections",
                max_connections,
                file.max_connections.map(NonZeroUsize::get),
                limits.max_connections,
            ),
            header_timeout: time(
                "header_timeout",
                header_timeout,
                file.header_timeout,
                limits.header_timeout,
            ),
            idle_timeout: time(
                "idle_timeout",
                idle_timeout,
                file.idle_timeout,
                limits.idle_timeout,
            ),
            drain_timeout: time(
                "drain_timeout",
                drain_timeout,
                file.drain_timeout,
                limits.drain_timeout,
            ),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_connections: self.max_connections.value,
            header_timeout: self.header_timeout.value,
            handshake_timeout: self.header_timeout.value,
            idle_timeout: self.idle_timeout.value,
            drain_timeout: self.drain_timeout.value,
            ..Limits::default()
        }
    }

    pub(super) fn rows(&self) -> [Row; 4] {
        [
            row(
                "serve.max_connections",
                &self.max_connections,
                usize::to_string,
            ),
            row("serve.header_timeout", &self.header_timeout, time),
            row("serve.idle_timeout", &self.idle_timeout, time),
            row("serve.drain_timeout", &self.drain_timeout, time),
        ]
    }
}
