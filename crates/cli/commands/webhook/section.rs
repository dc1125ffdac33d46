//! The webhook in the configuration file: every flag that says what pods get or how to serve, under its own name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::flags::{Foreign, InjectionArgs};
use super::serve_flags::{CertificateArgs, ServingArgs, go_duration};
use crate::context::Context;

/// `webhook:` in the configuration file. Keys are the names of the flags of `irsa webhook serve`, with underscores; a
/// flag wins over its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "each is the flag of its name, documented there"
)]
pub struct WebhookSection {
    pub annotation_prefix: Option<String>,
    pub token_audience: Option<String>,
    pub token_mount_path: Option<String>,
    pub token_expiration: Option<i64>,
    pub aws_default_region: Option<String>,
    pub sts_regional_endpoint: Option<bool>,
    pub compose_role_arn: Option<bool>,
    pub account_id: Option<String>,
    pub partition: Option<String>,
    pub foreign_volume: Option<Foreign>,
    pub container_credentials_audience: Option<String>,
    pub container_credentials_token_mount_path: Option<String>,
    pub container_credentials_token_volume_name: Option<String>,
    pub container_credentials_token_path: Option<String>,
    pub container_credentials_full_uri: Option<String>,
    pub port: Option<u16>,
    pub metrics_port: Option<u16>,
    pub listen: Option<SocketAddr>,
    pub metrics_listen: Option<SocketAddr>,
    pub kube_api: Option<String>,
    pub service_account_lookup_grace_period: Option<GoDuration>,
    pub watch_config_map: Option<bool>,
    pub watch_container_credentials_config: Option<PathBuf>,
    pub events: Option<bool>,
    pub shutdown_delay: Option<GoDuration>,
    pub in_cluster: Option<bool>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
    pub namespace: Option<String>,
    pub service_name: Option<String>,
    pub tls_secret: Option<String>,
    pub webhook_configuration: Option<Vec<String>>,
    pub tls_name: Option<Vec<String>>,
    pub tls_cipher_suites: Option<String>,
    pub tls_min_version: Option<String>,
    pub certificate_life: Option<GoDuration>,
    pub ca_life: Option<GoDuration>,
    pub ca_overlap: Option<GoDuration>,
    pub certificate_interval: Option<GoDuration>,
}

/// A duration as the webhook's flags take it, like `100ms` or `720h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        go_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0.as_secs_f64()))
    }
}

impl WebhookSection {
    /// Paths in the file are relative to the file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        let paths = [
            &mut self.watch_container_credentials_config,
            &mut self.tls_cert,
            &mut self.tls_key,
            &mut self.client_ca,
        ];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&*path);
        }
    }

    /// Name and value of each key that the file has, for `irsa config show`.
    pub fn rows(&self) -> Vec<(String, String)> {
        let Ok(Value::Object(keys)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        let shown = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        keys.into_iter()
            .filter_map(|(key, value)| Some((format!("webhook.{key}"), shown(value)?)))
            .collect()
    }
}

/// Puts the file's value in the place of one that nobody typed.
struct Over<'a>(&'a Context);

impl Over<'_> {
    fn put<T: Clone>(&self, id: &str, value: &mut T, file: Option<&T>) {
        if let Some(file) = file.filter(|_| !self.0.is_typed(id)) {
            value.clone_from(file);
        }
    }

    fn put_some<T: Clone>(&self, id: &str, value: &mut Option<T>, file: Option<&T>) {
        self.put(id, value, file.cloned().map(Some).as_ref());
    }

    fn put_time(&self, id: &str, value: &mut Duration, file: Option<GoDuration>) {
        self.put(id, value, file.map(|GoDuration(time)| time).as_ref());
    }
}

impl InjectionArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        over.put(
            "annotation_prefix",
            &mut self.annotation_prefix,
            file.annotation_prefix.as_ref(),
        );
        over.put(
            "token_audience",
            &mut self.token_audience,
            file.token_audience.as_ref(),
        );
        over.put(
            "token_mount_path",
            &mut self.token_mount_path,
            file.token_mount_path.as_ref(),
        );
        over.put(
            "token_expiration",
            &mut self.token_expiration,
            file.token_expiration.as_ref(),
        );
        over.put(
            "aws_default_region",
            &mut self.aws_default_region,
            file.aws_default_region.as_ref(),
        );
        over.put(
            "sts_regional_endpoint",
            &mut self.sts_regional_endpoint,
            file.sts_regional_endpoint.as_ref(),
        );
        over.put(
            "compose_role_arn",
            &mut self.compose_role_arn,
            file.compose_role_arn.as_ref(),
        );
        over.put_some("account_id", &mut self.account_id, file.account_id.as_ref());
        over.put_some("partition", &mut self.partition, file.partition.as_ref());
        over.put(
            "foreign_volume",
            &mut self.foreign_volume,
            file.foreign_volume.as_ref(),
        );
        over.put(
            "container_credentials_audience",
            &mut self.container_credentials_audience,
            file.container_credentials_audience.as_ref(),
        );
        over.put(
            "container_credentials_token_mount_path",
            &mut self.container_credentials_token_mount_path,
            file.container_credentials_token_mount_path.as_ref(),
        );
        over.put(
            "container_credentials_token_volume_name",
            &mut self.container_credentials_token_volume_name,
            file.container_credentials_token_volume_name.as_ref(),
        );
        over.put(
            "container_credentials_token_path",
            &mut self.container_credentials_token_path,
            file.container_credentials_token_path.as_ref(),
        );
        over.put(
            "container_credentials_full_uri",
            &mut self.container_credentials_full_uri,
            file.container_credentials_full_uri.as_ref(),
        );
        self
    }
}

impl ServingArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        over.put("port", &mut self.port, file.port.as_ref());
        over.put(
            "metrics_port",
            &mut self.metrics_port,
            file.metrics_port.as_ref(),
        );
        // A port that was typed is another address than the file's.
        let address = file.listen.filter(|_| !context.is_typed("port"));
        over.put_some("listen", &mut self.listen, address.as_ref());
        // A port that was typed is another address than the file's.
        let address = file
            .metrics_listen
            .filter(|_| !context.is_typed("metrics_port"));
        over.put_some("metrics_listen", &mut self.metrics_listen, address.as_ref());
        over.put_some("kube_api", &mut self.kube_api, file.kube_api.as_ref());
        over.put_time(
            "service_account_lookup_grace_period",
            &mut self.service_account_lookup_grace_period,
            file.service_account_lookup_grace_period,
        );
        over.put(
            "watch_config_map",
            &mut self.watch_config_map,
            file.watch_config_map.as_ref(),
        );
        let path = file.watch_container_credentials_config.as_ref();
        let path = path.map(|path| path.display().to_string());
        over.put(
            "watch_container_credentials_config",
            &mut self.watch_container_credentials_config,
            path.as_ref(),
        );
        over.put("events", &mut self.events, file.events.as_ref());
        over.put_time(
            "shutdown_delay",
            &mut self.shutdown_delay,
            file.shutdown_delay,
        );
        self
    }
}

impl CertificateArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        over.put("in_cluster", &mut self.in_cluster, file.in_cluster.as_ref());
        over.put("tls_cert", &mut self.tls_cert, file.tls_cert.as_ref());
        over.put("tls_key", &mut self.tls_key, file.tls_key.as_ref());
        over.put_some("client_ca", &mut self.client_ca, file.client_ca.as_ref());
        over.put("namespace", &mut self.namespace, file.namespace.as_ref());
        over.put(
            "service_name",
            &mut self.service_name,
            file.service_name.as_ref(),
        );
        over.put("tls_secret", &mut self.tls_secret, file.tls_secret.as_ref());
        over.put(
            "webhook_configuration",
            &mut self.webhook_configuration,
            file.webhook_configuration.as_ref(),
        );
        over.put("tls_name", &mut self.tls_name, file.tls_name.as_ref());
        over.put(
            "tls_cipher_suites",
            &mut self.tls_cipher_suites,
            file.tls_cipher_suites.as_ref(),
        );
        over.put(
            "tls_min_version",
            &mut self.tls_min_version,
            file.tls_min_version.as_ref(),
        );
        over.put_time(
            "certificate_life",
            &mut self.certificate_life,
            file.certificate_life,
        );
        over.put_time("ca_life", &mut self.ca_life, file.ca_life);
        over.put_time("ca_overlap", &mut self.ca_overlap, file.ca_overlap);
        over.put_time(
            "certificate_interval",
            &mut self.certificate_interval,
            file.certificate_interval,
        );
        self
    }
}
