//! The groups of arguments that commands share. Parsing validates and never acts, so `--help` cannot fail.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::logging::LogFormat;
use crate::output::Format;

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file (YAML). Flags win over IRSA_* variables, these over the file, the file over defaults
    #[arg(long, env = "IRSA_CONFIG", global = true, value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// How results are written
    #[arg(
        short,
        long,
        env = "IRSA_OUTPUT",
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_env_values = true
    )]
    pub output: Option<Format>,
    /// What is logged to standard error: error, warn, info, debug, or directives like irsa_issuer=debug
    #[arg(
        long,
        env = "IRSA_LOG",
        global = true,
        value_name = "FILTER",
        hide_env_values = true
    )]
    pub log: Option<String>,
    /// How log lines are written
    #[arg(
        long,
        env = "IRSA_LOG_FORMAT",
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_env_values = true
    )]
    pub log_format: Option<LogFormat>,
}

/// The issuer.
#[derive(Debug, Clone, Args)]
pub struct IssuerArgs {
    /// The issuer URL: byte for byte what kube-apiserver has as its first --service-account-issuer
    #[arg(long, env = "IRSA_ISSUER", value_name = "URL", hide_env_values = true)]
    pub issuer: Option<String>,
    /// Accept an issuer that ends in a slash, for a cluster that already signs with it
    #[arg(long, env = "IRSA_ALLOW_TRAILING_SLASH", hide_env_values = true)]
    pub allow_trailing_slash: bool,
}

/// Where an issuer's documents stand.
#[derive(Debug, Clone, Args)]
pub struct DocumentArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Where the JWKS stands [default: ISSUER/keys.json]
    #[arg(
        long,
        env = "IRSA_JWKS_URI",
        value_name = "URL",
        hide_env_values = true
    )]
    pub jwks_uri: Option<String>,
}

/// The endpoint of `irsa serve`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Endpoint")]
pub struct ServeArgs {
    /// Key file, or directory of *.pub files (several: repeat it)
    #[arg(
        long,
        env = "IRSA_KEYS",
        value_name = "FILE|DIR",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub keys: Vec<PathBuf>,
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// How long relying parties may keep a document [default: 300s]
    #[arg(long, env = "IRSA_MAX_AGE", value_name = "DURATION", value_parser = cache_life, hide_env_values = true)]
    pub max_age: Option<Duration>,
    /// How often key files and configuration are looked at [default: 2s]
    #[arg(long, env = "IRSA_RELOAD_INTERVAL", value_name = "DURATION", value_parser = duration, hide_env_values = true)]
    pub reload_interval: Option<Duration>,
    /// What a client may.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Where the endpoint listens, and how it is protected there.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Endpoint")]
pub struct ListenArgs {
    /// Address to listen on (several: repeat it) [default: 127.0.0.1:8080]
    #[arg(
        long,
        env = "IRSA_LISTEN",
        value_name = "ADDR",
        value_parser = address,
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub listen: Vec<SocketAddr>,
    /// Certificate chain in PEM, leaf first; read again when it changes
    #[arg(long, env = "IRSA_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM; read again when it changes
    #[arg(long, env = "IRSA_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub tls_key: Option<PathBuf>,
    /// Serve plain HTTP on an address that is not loopback: only behind a proxy that ends TLS
    #[arg(long, env = "IRSA_BEHIND_PROXY", hide_env_values = true)]
    pub behind_proxy: bool,
    /// Address of the status page, /livez, /readyz and /metrics, plain HTTP [default: none]
    #[arg(
        long,
        env = "IRSA_ADMIN_LISTEN",
        value_name = "ADDR",
        value_parser = address,
        hide_env_values = true
    )]
    pub admin_listen: Option<SocketAddr>,
}

/// How many clients at once, and how long each may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Endpoint")]
pub struct LimitArgs {
    /// Connections at once; above it the longest idle one is closed [default: 8192]
    #[arg(
        long,
        env = "IRSA_MAX_CONNECTIONS",
        value_parser = at_least_one,
        value_name = "N",
        hide_env_values = true
    )]
    pub max_connections: Option<usize>,
    /// Time for a TLS handshake, and for the header of a request [default: 10s]
    #[arg(long, env = "IRSA_HEADER_TIMEOUT", value_name = "DURATION", value_parser = duration, hide_env_values = true)]
    pub header_timeout: Option<Duration>,
    /// Time between two requests of a connection [default: 60s]
    #[arg(long, env = "IRSA_IDLE_TIMEOUT", value_name = "DURATION", value_parser = duration, hide_env_values = true)]
    pub idle_timeout: Option<Duration>,
    /// Time for requests in flight after SIGTERM [default: 15s]
    #[arg(long, env = "IRSA_DRAIN_TIMEOUT", value_name = "DURATION", value_parser = duration, hide_env_values = true)]
    pub drain_timeout: Option<Duration>,
}

/// A relying party's view of an issuer.
#[derive(Debug, Clone, Args)]
pub struct FetchArgs {
    /// CA certificates in PEM to trust besides the system's
    #[arg(long, env = "IRSA_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub ca_file: Option<PathBuf>,
    /// How long to wait for each answer; AWS STS waits 5 s
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    pub timeout: Duration,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "a number from 1".to_owned())
}

/// Reads a duration like `300s`, `5m`, `1h30m` or `1d`; a day is 24 hours.
pub fn duration(text: &str) -> Result<Duration, String> {
    let fail = || "write it like 300s, 5m, 1h30m or 1d".to_owned();
    let days = || {
        let span: jiff::Span = text.parse().ok()?;
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
            .ok()
    };
    let signed: Option<jiff::SignedDuration> = text.parse().ok().or_else(days);
    let duration = Duration::try_from(signed.ok_or_else(fail)?).map_err(|_| fail())?;
    if duration.is_zero() {
        Err("longer than zero".to_owned())
    } else {
        Ok(duration)
    }
}

/// Reads a `max-age` of `Cache-Control`, which counts whole seconds (RFC 9111, section 1.2.2): less would be none at all.
pub fn cache_life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    if life.subsec_nanos() > 0 {
        return Err("write whole seconds, like 300s: caches count no less".to_owned());
    }
    Ok(life)
}

/// Where to listen. Names are not looked up: what they stand for may change, and be reachable by more than was meant.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, like 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_ports_and_no_names() {
        assert_eq!(address("[::1]:80").map(|address| address.port()), Ok(80));
        for bad in ["localhost:80", "127.0.0.1", ":8080", "8080"] {
            assert!(address(bad).unwrap_err().contains("0.0.0.0:8443"), "{bad}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("300s"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("1d 5m"), Ok(Duration::from_mins(24 * 60 + 5)));
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
        for bad in ["", "300", "-5s", "-1d", "1mo", "x", "0s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn caches_count_whole_seconds() {
        assert_eq!(cache_life("5m"), Ok(Duration::from_mins(5)));
        for bad in ["1ms", "1500ms", "0.5s", "0s"] {
            assert!(cache_life(bad).is_err(), "{bad}");
        }
    }
}
