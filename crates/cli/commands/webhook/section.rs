//! The webhook in the configuration file: every flag that says what pods get or how to serve, under its own name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as _;
use irsa_webhook::manifest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::flags::{Foreign, InjectionArgs};
use super::serve_flags::{CertificateArgs, ServingArgs, go_duration};
use crate::config::rows::rows;
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

    /// The keys as flags of replicas in a cluster, but those that are typed as flags; and the names of the keys that mean
    /// something on this machine only.
    pub(super) fn replica(&self, typed: &[String]) -> (Vec<String>, Vec<String>) {
        let (mut flags, mut left) = (Vec::new(), Vec::new());
        let keys = serde_json::to_value(self).unwrap_or_default();
        for (name, value) in keys.as_object().into_iter().flatten() {
            let values = match value {
                Value::Null => continue,
                Value::Array(all) => all.as_slice(),
                one => std::slice::from_ref(one),
            };
            let flag = format!("--{}", name.replace('_', "-"));
            if typed.iter().any(|one| one.split('=').next() == Some(&flag)) {
                continue;
            }
            if name == "kube_api" || !manifest::takes(&flag) {
                left.push(format!("webhook.{name}"));
                continue;
            }
            flags.extend(values.iter().map(|value| match value {
                Value::String(text) => format!("{flag}={text}"),
                other => format!("{flag}={other}"),
            }));
        }
        (flags, left)
    }

    /// Name and value of each key, for `irsa config show`: what the file does not set is as the flag has it.
    pub fn rows(&self) -> Vec<(String, String)> {
        let serve = super::serve::Args::augment_args(clap::Command::new("serve"));
        let default = |id: &str| {
            let argument = serve.get_arguments().find(|one| one.get_id() == id);
            let values = argument.map_or(&[][..], |one| one.get_default_values());
            let values: Vec<_> = values.iter().map(|one| one.to_string_lossy()).collect();
            values.join(",")
        };
        let rows = rows("webhook", self).into_iter();
        rows.map(|(name, value)| match name.split_once('.') {
            Some((_, id)) if value.is_empty() => {
                let value = default(id);
                (name, value)
            }
            _ => (name, value),
        })
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

    fn put_time(&self, id: &str, value: &mut Duration, file: Option<&GoDuration>) {
        self.put(id, value, file.map(|GoDuration(time)| time));
    }
}

/// Puts fields of the same name in the file and in the arguments, each by the way that is named.
macro_rules! put {
    ($way:ident: $over:ident, $to:ident, $file:ident; $($field:ident),+ $(,)?) => {
        $($over.$way(stringify!($field), &mut $to.$field, $file.$field.as_ref());)+
    };
}

impl InjectionArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        put!(put: over, self, file;
            annotation_prefix,
            token_audience,
            token_mount_path,
            token_expiration,
            aws_default_region,
            sts_regional_endpoint,
            compose_role_arn,
            foreign_volume,
            container_credentials_audience,
            container_credentials_token_mount_path,
            container_credentials_token_volume_name,
            container_credentials_token_path,
            container_credentials_full_uri
        );
        put!(put_some: over, self, file; account_id, partition);
        self
    }
}

impl ServingArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        put!(put: over, self, file; port, metrics_port, watch_config_map, events);
        put!(put_some: over, self, file; kube_api);
        put!(put_time: over, self, file; service_account_lookup_grace_period, shutdown_delay);
        // A port that was typed is another address than the file's.
        let address = file.listen.filter(|_| !context.is_typed("port"));
        over.put_some("listen", &mut self.listen, address.as_ref());
        // A port that was typed is another address than the file's.
        let address = file
            .metrics_listen
            .filter(|_| !context.is_typed("metrics_port"));
        over.put_some("metrics_listen", &mut self.metrics_listen, address.as_ref());
        let path = file.watch_container_credentials_config.as_ref();
        let path = path.map(|path| path.display().to_string());
        over.put(
            "watch_container_credentials_config",
            &mut self.watch_container_credentials_config,
            path.as_ref(),
        );
        self
    }
}

impl CertificateArgs {
    /// Over the configuration file.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let (over, file) = (Over(context), &context.config.webhook);
        put!(put: over, self, file;
            in_cluster,
            tls_cert,
            tls_key,
            namespace,
            service_name,
            tls_secret,
            webhook_configuration,
            tls_name,
            tls_cipher_suites,
            tls_min_version
        );
        put!(put_some: over, self, file; client_ca);
        put!(put_time: over, self, file;
            certificate_life,
            ca_life,
            ca_overlap,
            certificate_interval
        );
        self
    }
}
