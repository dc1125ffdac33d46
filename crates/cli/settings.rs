//! The settings of the endpoint in force: flags, variables and file laid over the defaults.

use std::time::Duration;

use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};
use irsa_issuer::serve::ServerConfig;
use irsa_issuer::source::IssuerSpec;

use crate::args::{DocumentArgs, IssuerArgs, ServeArgs};
use crate::config::{Config, IssuerEntry, Seconds, ServeSection};
use crate::context::{Context, Origin, Setting};
use crate::report::Failure;

mod endpoint;

pub use endpoint::{LimitSettings, ListenSettings};

/// How long relying parties may keep a document: short enough for a new key, long enough to spare the endpoint.
pub(crate) const MAX_AGE: Duration = Duration::from_mins(5);
/// How often files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Every setting of `irsa serve`, each with its origin.
#[derive(Debug)]
pub struct ServeSettings {
    /// Accept issuers that end in a slash.
    pub allow_trailing_slash: Setting<bool>,
    /// From flags: one issuer. From the file: many.
    pub issuers: Setting<Vec<IssuerEntry>>,
    /// The variable that they are from, if they are from one.
    pub given_by: Option<String>,
    /// Where their `jwks_uri` is from, if it is from elsewhere.
    pub jwks_uri_origin: Option<Origin>,
    /// Where it listens.
    pub listen: ListenSettings,
    /// Cache lifetime.
    pub max_age: Setting<Duration>,
    /// How often files are looked at.
    pub reload_interval: Setting<Duration>,
    /// What a client may.
    pub limits: LimitSettings,
}

/// Name, value and origin of a setting, for `irsa config show`.
pub type Row = (&'static str, String, Origin);

impl ServeSettings {
    /// Lays the layers over each other.
    pub fn resolve(
        document: DocumentArgs,
        serve: ServeArgs,
        config: &Config,
        context: &Context,
    ) -> Self {
        let section: &ServeSection = &config.serve;
        let DocumentArgs { issuer, jwks_uri } = document;
        let IssuerArgs {
            issuer,
            allow_trailing_slash,
        } = issuer;
        let ServeArgs {
            keys,
            listen,
            max_age,
            reload_interval,
            limits,
        } = serve;
        // The first that is given: whatever is missing is asked for when it is needed.
        let named_by = [
            ("issuer", issuer.is_some()),
            ("keys", !keys.is_empty()),
            ("jwks_uri", jwks_uri.is_some()),
        ];
        let named_by = named_by.into_iter().find(|(_, given)| *given);
        let mut jwks_uri_origin = None;
        let given = named_by.map(|_| {
            let issuer = issuer.unwrap_or_default();
            let in_file = jwks_uri_in_file(config, &issuer).map(str::to_owned);
            if jwks_uri.is_none() && in_file.is_some() {
                jwks_uri_origin = Some(Origin::File);
            }
            vec![IssuerEntry {
                issuer,
                jwks_uri: jwks_uri.or(in_file),
                keys,
            }]
        });
        let named_by = named_by.map_or("issuer", |(id, _)| id);
        Self {
            allow_trailing_slash: context.flag(
                "allow_trailing_slash",
                allow_trailing_slash,
                config.allow_trailing_slash,
            ),
            given_by: context.variable(named_by),
            jwks_uri_origin,
            issuers: context.setting(named_by, given, some(&config.issuers), Vec::new()),
            listen: ListenSettings::resolve(listen, section, context),
            max_age: context.setting("max_age", max_age, seconds(section.max_age), MAX_AGE),
            reload_interval: context.setting(
                "reload_interval",
                reload_interval,
                seconds(section.reload_interval),
                RELOAD_INTERVAL,
            ),
            limits: LimitSettings::resolve(limits, section, context),
        }
    }

    /// The issuers, checked.
    pub fn specs(&self) -> Result<Vec<IssuerSpec>, Failure> {
        self.whole()?;
        let slash = slash(self.allow_trailing_slash.value);
        specs(&self.issuers.value, slash)
    }

    /// Refuses an issuer of flags and variables of which half is missing: no other can be meant.
    pub fn whole(&self) -> Result<(), Failure> {
        let entry = match self.issuers.value.as_slice() {
            [one] if self.issuers.origin < Origin::File => one,
            _ => return Ok(()),
        };
        let (from, unset) = match &self.given_by {
            Some(name) => (
                format!(" (from {name})"),
                format!("; or unset {name} for the issuers of the configuration file"),
            ),
            None => Default::default(),
        };
        let (message, help) = match (entry.issuer.as_str(), entry.keys.is_empty()) {
            ("", true) if entry.jwks_uri.is_none() => (
                format!("an empty issuer{from}"),
                "add --issuer URL --keys FILE",
            ),
            ("", true) => (
                format!("a jwks_uri without an issuer{from}"),
                "add --issuer URL --keys FILE",
            ),
            ("", false) => (format!("keys without an issuer{from}"), "add --issuer URL"),
            (issuer, true) => (
                format!("issuer \"{issuer}\"{from} has no keys"),
                "add --keys FILE|DIR with the public half of the key that kube-apiserver signs with",
            ),
            (_, false) => return Ok(()),
        };
        Err(Failure::usage(message, format!("{help}{unset}")))
    }

    /// The server's configuration, checked.
    pub fn server(&self) -> Result<ServerConfig, Failure> {
        Ok(ServerConfig {
            listen: self.listen.addresses()?,
            tls: self.listen.tls()?,
            admin_listen: self.listen.admin_listen.value,
            limits: self.limits.limits(),
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
                            self.jwks_uri_origin.unwrap_or(origin)
                        } else {
                            Origin::Default
                        },
                    ),
                    (format!("issuers[{at}].keys"), keys.join(","), origin),
                ]
            });
        rows.collect()
    }

    /// The settings that there are once.
    pub fn rows(&self) -> Vec<Row> {
        let slash = row(
            "allow_trailing_slash",
            &self.allow_trailing_slash,
            bool::to_string,
        );
        let documents = [
            row("serve.max_age", &self.max_age, time),
            row("serve.reload_interval", &self.reload_interval, time),
        ];
        std::iter::once(slash)
            .chain(self.listen.rows())
            .chain(documents)
            .chain(self.limits.rows())
            .collect()
    }
}

fn row<T>(name: &'static str, setting: &Setting<T>, show: impl Fn(&T) -> String) -> Row {
    (name, show(&setting.value), setting.origin)
}

fn time(duration: &Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn seconds(value: Option<Seconds>) -> Option<Duration> {
    value.map(|Seconds(duration)| duration)
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
    /// The issuer of a command that works on one: flag, variable, or that of the configuration file.
    pub fn require(&self, context: &Context) -> Result<IssuerUrl, Failure> {
        let text = match &self.issuer {
            Some(text) => text,
            None => only_issuer(&context.config)?,
        };
        let file = context.config.allow_trailing_slash;
        let allowed = context.flag("allow_trailing_slash", self.allow_trailing_slash, file);
        parse_issuer(text, slash(allowed.value))
    }
}

/// The `jwks_uri` that the configuration file has for an issuer: under `issuers`, else under `cluster`. It counts for an
/// issuer that a flag names too: where an issuer's JWKS stands does not depend on who names the issuer.
pub fn jwks_uri_in_file<'a>(config: &'a Config, issuer: &str) -> Option<&'a str> {
    let entry = config.issuers.iter().find(|entry| entry.issuer == issuer);
    let cluster = config.cluster.as_ref();
    let cluster = cluster.filter(|cluster| cluster.issuer.as_deref() == Some(issuer));
    let of_entry = entry.and_then(|entry| entry.jwks_uri.as_deref());
    of_entry.or_else(|| cluster?.jwks_uri.as_deref())
}

/// What to do about a JWKS that stands where irsa cannot publish.
pub fn moved_away(issuer: &IssuerUrl) -> String {
    format!(
        "irsa publishes and rotates a JWKS below its issuer alone: irsa publish --jwks-uri {} with every key in use moves it, and \
         the old one must stay until no copy of the old discovery document is kept",
        issuer.default_jwks_uri()
    )
}

/// The issuer that the configuration file is about: the only one under `issuers` and `cluster`.
pub fn only_issuer(config: &Config) -> Result<&str, Failure> {
    let cluster = config.cluster.as_ref();
    let cluster = cluster.and_then(|cluster| cluster.issuer.as_deref());
    let mut names: Vec<&str> = config
        .issuers
        .iter()
        .map(|one| one.issuer.as_str())
        .collect();
    names.extend(cluster.filter(|issuer| !names.contains(issuer)));
    match names.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::usage(
            "no issuer given",
            "add --issuer URL, or --config FILE with one",
        )),
        several => {
            let message = format!("the configuration file has {} issuers", several.len());
            let help = format!("add --issuer URL with one of {}", several.join(", "));
            Err(Failure::usage(message, help))
        }
    }
}

impl DocumentArgs {
    /// The issuer, and its `jwks_uri` if one was given.
    pub fn require(&self, context: &Context) -> Result<(IssuerUrl, Option<JwksUri>), Failure> {
        let issuer = self.issuer.require(context)?;
        let in_file = jwks_uri_in_file(&context.config, issuer.as_str());
        let jwks_uri = parse_jwks_uri(self.jwks_uri.as_deref().or(in_file))?;
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

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}
