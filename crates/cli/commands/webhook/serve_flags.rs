//! The flags of amazon-eks-pod-identity-webhook that say how to serve, and those that only irsa has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ValueHint};

use super::flags::go_bool;
use crate::args::address;

/// How to serve.
#[derive(Debug, Clone, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of upstream, or of its kind"
)]
#[command(next_help_heading = "Serving")]
pub struct ServingArgs {
    /// Port of the webhook, on every address
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub port: u16,
    /// Port of /metrics, on every address
    #[arg(long, value_name = "PORT", default_value_t = 9999)]
    pub metrics_port: u16,
    /// Address to listen on, instead of --port
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Address of /metrics, instead of --metrics-port
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// URL of the API server, instead of the kubeconfig's
    #[arg(long, value_name = "URL")]
    pub kube_api: Option<String>,
    /// How long a review may wait for a service account that the watch has not seen; 0: do not wait
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = go_duration)]
    pub service_account_lookup_grace_period: Duration,
    /// Take roles from ConfigMap "pod-identity-webhook" in --namespace too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub watch_config_map: bool,
    /// File of service accounts that get credentials from an agent on their node
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "", hide_default_value = true)]
    pub watch_container_credentials_config: String,
    /// Write Events on service accounts whose pods go without credentials
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub events: bool,
    /// Go on answering for so long after SIGTERM, until the Service sends nothing more
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = go_duration)]
    pub shutdown_delay: Duration,
    /// Serve upstream's debugging pages
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set, hide_short_help = true)]
    pub enable_debugging_handlers: bool,
    /// Accepted for upstream's sake: the watch here needs no resync
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = go_duration, hide = true)]
    pub resync_period: Duration,
    /// Print the version
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set, hide = true)]
    pub version: bool,
}

/// The certificate.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Certificate")]
pub struct CertificateArgs {
    /// Make the certificate here, with a CA in a Secret; =false takes it from files
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub in_cluster: bool,
    /// Certificate chain in PEM, leaf first; read again when it changes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "/etc/webhook/certs/tls.crt")]
    pub tls_cert: PathBuf,
    /// Private key of the certificate in PEM; read again when it changes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "/etc/webhook/certs/tls.key")]
    pub tls_key: PathBuf,
    /// Answer reviews only to clients with a certificate of a CA in this file, in PEM; read again when it changes [default: to
    /// anybody]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_ca: Option<PathBuf>,
    /// Namespace of the Service, the Secret and the ConfigMap
    #[arg(long, value_name = "NAME", default_value = NAMESPACE)]
    pub namespace: String,
    /// Service that the API server calls
    #[arg(long, value_name = "NAME", default_value = "pod-identity-webhook")]
    pub service_name: String,
    /// Secret of the CA
    #[arg(long, value_name = "NAME", default_value = "pod-identity-webhook")]
    pub tls_secret: String,
    /// `MutatingWebhookConfiguration` whose caBundle is kept (several: repeat it)
    #[arg(long, value_name = "NAME", default_value = "pod-identity-webhook")]
    pub webhook_configuration: Vec<String>,
    /// Name or IP address of the certificate besides the Service's (several: repeat it)
    #[arg(long, value_name = "NAME")]
    pub tls_name: Vec<String>,
    /// Cipher suites of TLS 1.2, in Go's names, by commas; those that rustls lacks are passed over
    #[arg(
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_cipher_suites: String,
    /// Least TLS version: 1.2 or 1.3, or VersionTLS12, VersionTLS13
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    pub tls_min_version: String,
    /// Life of a certificate that is made here; renewed after two thirds
    #[arg(long, value_name = "DURATION", default_value = "720h", value_parser = go_duration)]
    pub certificate_life: Duration,
    /// Life of the CA; changed after four fifths
    #[arg(long, value_name = "DURATION", default_value = "87600h", value_parser = go_duration)]
    pub ca_life: Duration,
    /// How long two CAs are trusted when it changes
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = go_duration)]
    pub ca_overlap: Duration,
    /// How often Secret, caBundle, certificate files and the CA of clients are looked at
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = go_duration)]
    pub certificate_interval: Duration,
}

/// klog's flags: every manifest in the wild has some. Only the verbosity means something here.
#[derive(Debug, Clone, clap::Args)]
pub struct KlogArgs {
    /// Verbosity, as klog has it: 3 and more log every review
    #[arg(long = "v", short = 'v', value_name = "N", hide = true)]
    pub verbosity: Option<i32>,
    /// Accepted.
    #[arg(long = "add_dir_header", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub add_dir_header: Option<String>,
    /// Accepted.
    #[arg(long = "alsologtostderr", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub alsologtostderr: Option<String>,
    /// Accepted.
    #[arg(long = "alsologtostderrthreshold", hide = true)]
    pub alsologtostderrthreshold: Option<String>,
    /// Accepted.
    #[arg(long = "legacy_stderr_threshold_behavior", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub legacy_stderr_threshold_behavior: Option<String>,
    /// Accepted.
    #[arg(long = "log_backtrace_at", hide = true)]
    pub log_backtrace_at: Option<String>,
    /// Accepted.
    #[arg(long = "log_dir", hide = true)]
    pub log_dir: Option<String>,
    /// Accepted.
    #[arg(long = "log_file", hide = true)]
    pub log_file: Option<String>,
    /// Accepted.
    #[arg(long = "log_file_max_size", hide = true)]
    pub log_file_max_size: Option<String>,
    /// Accepted.
    #[arg(long = "logtostderr", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub logtostderr: Option<String>,
    /// Accepted.
    #[arg(long = "one_output", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub one_output: Option<String>,
    /// Accepted.
    #[arg(long = "skip_headers", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub skip_headers: Option<String>,
    /// Accepted.
    #[arg(long = "skip_log_headers", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub skip_log_headers: Option<String>,
    /// Accepted.
    #[arg(long = "stderrthreshold", hide = true)]
    pub stderrthreshold: Option<String>,
    /// Accepted.
    #[arg(long = "vmodule", hide = true)]
    pub vmodule: Option<String>,
}

/// Go's durations: `100ms`, `1m0s`, `1.5h`, and a bare `0`.
pub(super) fn go_duration(text: &str) -> Result<Duration, String> {
    let fail = || "write it like 100ms, 30s or 1m30s".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| fail())?;
    Duration::try_from(signed).map_err(|_| fail())
}

/// Where the webhook is unless told otherwise: upstream's default.
pub(super) const NAMESPACE: &str = "eks";
