//! The settings of the endpoint in force: flags, variables and file laid over the defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};
use irsa_issuer::serve::{Limits, ServerConfig, TlsFiles};
use irsa_issuer::source::IssuerSpec;

use crate::args::{DocumentArgs, IssuerArgs, ServeArgs};
use crate::config::{Config, IssuerEntry, Seconds, ServeSection};
use crate::context::{Context, Origin, Setting};
use crate::report::Failure;

/// How long relying parties may keep a document: short enough for a new key, long enough to spare the endpoint.
const MAX_AGE: Duration = Duration::from_mins(5);
/// How often files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Every setting of `irsa serve`, each with its origin.
#[derive(Debug)]
pub struct ServeSettings {
    /// Accept issuers that end in a slash.
    pub allow_trailing_slash: Setting<bool>,
    /// From flags: one issuer. From the file: many.
    pub issuers: Setting<Vec<IssuerEntry>>,
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
    /// Cache lifetime.
    pub max_age: Setting<Duration>,
    /// How often files are looked at.
    pub reload_interval: Setting<Duration>,
    /// Connections at once.
    pub max_connections: Setting<usize>,
    /// Time for a handshake and for a header.
    pub header_timeout: Setting<Duration>,
    /// Time between two requests.
    pub idle_timeout: Setting<Duration>,
    /// Time to drain.
    pub drain_timeout: Setting<Duration>,
}

impl ServeSettings {
    /// Lays the layers over each other.
    pub fn resolve(
        document: DocumentArgs,
        serve: ServeArgs,
        config: &Config,
        context: &Context,
    ) -> Result<Self, Failure> {
        let limits = Limits::default();
        let section: &ServeSection = &config.serve;
        let DocumentArgs { issuer, jwks_uri } = document;
        let IssuerArgs {
            issuer,
            allow_trailing_slash,
        } = issuer;
        let ServeArgs {
            keys,
            listen,
            tls_cert,
            tls_key,
            behind_proxy,
            admin_listen,
            max_age,
            reload_interval,
            max_connections,
            header_timeout,
            idle_timeout,
            drain_timeout,
        } = serve;
        let seconds = |value: Option<Seconds>| value.map(|Seconds(duration)| duration);
        let time = |id, given, file, default| context.setting(id, given, seconds(file), default);
        let given = one_issuer(issuer, jwks_uri, keys)?;
        Ok(Self {
            allow_trailing_slash: context.flag(
                "allow_trailing_slash",
                allow_trailing_slash,
                config.allow_trailing_slash,
            ),
            issuers: context.setting("issuer", given, some(&config.issuers), Vec::new()),
            listen: context.setting(
                "listen",
                some(&listen),
                some(&section.listen),
                default_listen(),
            ),
            tls_cert: context.setting(
                "tls_cert",
                tls_cert.map(Some),
                section.tls_cert.clone().map(Some),
                None,
            ),
            tls_key: context.setting(
                "tls_key",
                tls_key.map(Some),
                section.tls_key.clone().map(Some),
                None,
            ),
            behind_proxy: context.flag("behind_proxy", behind_proxy, section.behind_proxy),
            admin_listen: context.setting(
                "admin_listen",
                admin_listen.map(Some),
                section.admin_listen.map(Some),
                None,
            ),
            max_age: time("max_age", max_age, section.max_age, MAX_AGE),
            reload_interval: time(
                "reload_interval",
                reload_interval,
                section.reload_interval,
                RELOAD_INTERVAL,
            ),
            max_connections: context.setting(
                "max_connections",
                max_connections,
                section.max_connections,
                limits.max_connections,
            ),
            header_timeout: time(
                "header_timeout",
                header_timeout,
                section.header_timeout,
                limits.header_timeout,
            ),
            idle_timeout: time(
                "idle_timeout",
                idle_timeout,
                section.idle_timeout,
                limits.idle_timeout,
            ),
            drain_timeout: time(
                "drain_timeout",
                drain_timeout,
                section.drain_timeout,
                limits.drain_timeout,
            ),
        })
    }

    /// The issuers, checked.
    pub fn specs(&self) -> Result<Vec<IssuerSpec>, Failure> {
        let slash = slash(self.allow_trailing_slash.value);
        specs(&self.issuers.value, slash)
    }

    /// The server's configuration, checked.
    pub fn server(&self) -> Result<ServerConfig, Failure> {
        let tls = match (&self.tls_cert.value, &self.tls_key.value) {
            (Some(cert), Some(key)) => Some(TlsFiles {
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
        let limits = Limits {
            max_connections: self.max_connections.value.max(1),
            header_timeout: self.header_timeout.value,
            handshake_timeout: self.header_timeout.value,
            idle_timeout: self.idle_timeout.value,
            drain_timeout: self.drain_timeout.value,
            ..Limits::default()
        };
        Ok(ServerConfig {
            listen: self.listen.value.clone(),
            tls,
            admin_listen: self.admin_listen.value,
            limits,
        })
    }

    /// Name, value and origin of each issuer's settings, for `irsa config show`.
    pub fn issuer_rows(&self) -> Vec<(String, String, Origin)> {
        let origin = self.issuers.origin;
        let rows = self
            .issuers
            .value
            .iter()
            .enumerate()
            .flat_map(|(at, entry)| {
                let keys: Vec<_> = entry
                    .keys
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                [
                    (
                        format!("issuers[{at}].issuer"),
                        entry.issuer.clone(),
                        origin,
                    ),
                    (
                        format!("issuers[{at}].jwks_uri"),
                        entry.jwks_uri.clone().unwrap_or_default(),
                        if entry.jwks_uri.is_some() {
                            origin
                        } else {
                            Origin::Default
                        },
                    ),
                    (format!("issuers[{at}].keys"), keys.join(","), origin),
                ]
            });
        rows.collect()
    }

    /// Name, value and origin of each setting, for `irsa config show`.
    pub fn rows(&self) -> Vec<(&'static str, String, Origin)> {
        fn row<T>(
            name: &'static str,
            setting: &Setting<T>,
            show: impl Fn(&T) -> String,
        ) -> (&'static str, String, Origin) {
            (name, show(&setting.value), setting.origin)
        }
        let time = |duration: &Duration| format!("{}s", duration.as_secs_f64());
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map_or_else(String::new, |path| path.display().to_string())
        };
        vec![
            row(
                "allow_trailing_slash",
                &self.allow_trailing_slash,
                bool::to_string,
            ),
            row("serve.listen", &self.listen, |all| {
                all.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            }),
            row("serve.tls_cert", &self.tls_cert, path),
            row("serve.tls_key", &self.tls_key, path),
            row("serve.behind_proxy", &self.behind_proxy, bool::to_string),
            row("serve.admin_listen", &self.admin_listen, |address| {
                address.map_or_else(String::new, |address| address.to_string())
            }),
            row("serve.max_age", &self.max_age, time),
            row("serve.reload_interval", &self.reload_interval, time),
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

/// Issuers as they stand in the configuration, checked.
pub fn specs(entries: &[IssuerEntry], slash: TrailingSlash) -> Result<Vec<IssuerSpec>, Failure> {
    if entries.is_empty() {
        return Err(Failure::usage(
            "no issuer to serve",
            "add --issuer URL --keys FILE, or a configuration file with issuers: and --config FILE",
        ));
    }
    entries
        .iter()
        .map(|entry| {
            let issuer = parse_issuer(&entry.issuer, slash)?;
            let jwks_uri = parse_jwks_uri(entry.jwks_uri.as_deref())?;
            if jwks_uri
                .as_ref()
                .is_some_and(|uri| uri.below(&issuer).is_none())
            {
                return Err(Failure::usage(
                    format!("jwks_uri of issuer {issuer} is not below the issuer"),
                    format!("leave it out for {}", issuer.default_jwks_uri()),
                ));
            }
            Ok(IssuerSpec {
                issuer,
                jwks_uri,
                keys: entry.keys.clone(),
            })
        })
        .collect()
}

/// An issuer URL as the user typed it.
pub fn parse_issuer(text: &str, slash: TrailingSlash) -> Result<IssuerUrl, Failure> {
    IssuerUrl::parse(text, slash).map_err(|error| Failure::refused(&error))
}

/// A `jwks_uri` as the user typed it.
pub fn parse_jwks_uri(text: Option<&str>) -> Result<Option<JwksUri>, Failure> {
    text.map(JwksUri::parse)
        .transpose()
        .map_err(|error| Failure::refused(&error))
}

/// The rule for final slashes.
pub const fn slash(allowed: bool) -> TrailingSlash {
    if allowed {
        TrailingSlash::Allow
    } else {
        TrailingSlash::Refuse
    }
}

impl IssuerArgs {
    /// The issuer of a command that works on one.
    pub fn require(&self, context: &Context) -> Result<IssuerUrl, Failure> {
        let Some(text) = &self.issuer else {
            return Err(Failure::usage("no issuer given", "add --issuer URL"));
        };
        let file = context.config.allow_trailing_slash;
        let allowed = context.flag("allow_trailing_slash", self.allow_trailing_slash, file);
        parse_issuer(text, slash(allowed.value))
    }
}

impl DocumentArgs {
    /// The issuer, and its `jwks_uri` if one was given.
    pub fn require(&self, context: &Context) -> Result<(IssuerUrl, Option<JwksUri>), Failure> {
        let issuer = self.issuer.require(context)?;
        let jwks_uri = parse_jwks_uri(self.jwks_uri.as_deref())?;
        if let Some(uri) = jwks_uri
            .as_ref()
            .filter(|uri| issuer.is_https() && !uri.is_https())
        {
            return Err(Failure::usage(
                format!("jwks_uri \"{uri}\" of an https issuer is not https"),
                "relying parties and kube-apiserver refuse it: use an https URL",
            ));
        }
        Ok((issuer, jwks_uri))
    }
}

fn one_issuer(
    issuer: Option<String>,
    jwks_uri: Option<String>,
    keys: Vec<PathBuf>,
) -> Result<Option<Vec<IssuerEntry>>, Failure> {
    match (issuer, keys.is_empty()) {
        (Some(issuer), false) => Ok(Some(vec![IssuerEntry {
            issuer,
            jwks_uri,
            keys,
        }])),
        (None, true) if jwks_uri.is_some() => Err(Failure::usage(
            "a jwks_uri without an issuer",
            "add --issuer URL --keys FILE",
        )),
        (None, true) => Ok(None),
        (Some(issuer), true) => Err(Failure::usage(
            format!("issuer \"{issuer}\" has no keys"),
            "add --keys FILE|DIR with the public half of the key that kube-apiserver signs with",
        )),
        (None, false) => Err(Failure::usage("keys without an issuer", "add --issuer URL")),
    }
}

fn default_listen() -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, 1], 8080))]
}

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
