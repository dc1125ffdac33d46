//! Access to the cluster: the kubeconfig that kubectl would use, or the pod's own service account.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use http::{HeaderValue, Uri};
use irsa_core::explain::{Explain, chain};
use kube::client::AuthError;
use kube::config::{AuthInfo, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use zeroize::Zeroizing;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may be in coming, or rest in the middle: lists of a large cluster take a few seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Kubernetes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Kubeconfig file [default: KUBECONFIG, else ~/.kube/config, else the pod's service account; of rotate and
    /// apiserver on a control-plane node: /etc/kubernetes/admin.conf, or that of k3s or RKE2 where ~/.kube/config is missing]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Why there is no way to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The kubeconfig that was named cannot be used.
    #[error("kubeconfig {} cannot be used", place(path.as_ref(), context.as_deref()))]
    Kubeconfig {
        /// Which file.
        path: Option<PathBuf>,
        /// Which context.
        context: Option<String>,
        /// Why.
        source: Said,
    },
    /// Neither a kubeconfig nor a pod.
    #[error("no cluster is configured: there is neither a kubeconfig nor a pod's service account")]
    None(#[source] Said),
    /// The client cannot be made from the configuration.
    #[error("the Kubernetes client cannot be set up")]
    Client(#[source] Said),
    /// The client would not know how to ask.
    #[error("the API server's address \"{0}\" is no URL with https:// or http://")]
    Address(String),
    /// The token cannot be sent.
    #[error(
        "the token of the kubeconfig has a line break, or another character that no HTTP header may have"
    )]
    Token,
}

/// What a library says of a kubeconfig or a credential plugin, without the lines that it quotes: those hold tokens and keys.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl Said {
    fn of(error: &(dyn Error + 'static)) -> Self {
        // Its arguments and what it printed may be secrets; what it told the user is none.
        let plugin = chain(error).find_map(|cause| match cause.downcast_ref() {
            Some(AuthError::AuthExecRun { out, .. }) => Some(out),
            _ => None,
        });
        if let Some(out) = plugin {
            let said = String::from_utf8_lossy(&out.stderr);
            return Self(format!(
                "the credential plugin ended with {}: {}",
                out.status,
                said.trim()
            ));
        }
        // The lines of the file follow on lines of their own.
        let text = error.to_string();
        Self(text.lines().next().unwrap_or_default().to_owned())
    }
}

impl KubernetesError {
    /// The client cannot be made, for this reason.
    pub fn client(error: &kube::Error) -> Self {
        Self::Client(Said::of(error))
    }
}

impl Explain for KubernetesError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Token => {
                "write the token on one line, without quotation marks that hold a line break".into()
            }
            Self::Address(_) => {
                "write it like https://10.0.0.1:6443: server in the kubeconfig, or --kube-api"
                    .into()
            }
            _ => {
                "give --kubeconfig FILE and --context NAME; kubectl config get-contexts lists them"
                    .into()
            }
        })
    }

    fn refused(&self) -> bool {
        matches!(self, Self::None(_) | Self::Address(_))
    }
}

/// An address with a scheme: the client panics on any other.
pub(crate) fn api_server(address: Uri) -> Result<Uri, KubernetesError> {
    match address.scheme_str() {
        Some("https" | "http") => Ok(address),
        _ => Err(KubernetesError::Address(address.to_string())),
    }
}

impl KubernetesArgs {
    /// How to reach the cluster for a command that a person waits for: an API server that is away, silent or busy ends it,
    /// and the exit code says whether to run it again.
    pub async fn config(&self) -> Result<kube::Config, KubernetesError> {
        let mut config = self.config_of_watches().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(ANSWER_TIMEOUT);
        config.write_timeout = Some(ANSWER_TIMEOUT);
        // The time that a kept connection rested is none of the next answer's.
        config.reset_reader_on_write = true;
        // Fifteen times, each pause longer than the one before, without a word.
        config.default_retry = false;
        Ok(config)
    }

    /// How to reach the cluster for a process that watches it for years, through any time that it is away.
    pub async fn config_of_watches(&self) -> Result<kube::Config, KubernetesError> {
        let Self {
            kubeconfig,
            context,
        } = self;
        let wrong = |error: &(dyn Error + 'static)| KubernetesError::Kubeconfig {
            path: kubeconfig.clone(),
            context: context.clone(),
            source: Said::of(error),
        };
        let fail = |error: KubeconfigError| wrong(&error);
        let options = KubeConfigOptions {
            context: context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(fail)?;
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(fail)
            }
            None if context.is_some() => {
                kube::Config::from_kubeconfig(&options).await.map_err(fail)
            }
            None => kube::Config::infer().await.map_err(|error| {
                if is_nowhere(&error) {
                    KubernetesError::None(Said::of(&error))
                } else {
                    wrong(&error)
                }
            }),
        }?;
        config.cluster_url = api_server(config.cluster_url)?;
        // The client would panic on it.
        if token(&config).is_some_and(|token| HeaderValue::from_str(&token).is_err()) {
            return Err(KubernetesError::Token);
        }
        Ok(config)
    }

    /// A client of the cluster.
    pub async fn client(&self) -> Result<kube::Client, KubernetesError> {
        let config = self.config().await?;
        kube::Client::try_from(config).map_err(|error| KubernetesError::client(&error))
    }
}

/// The HTTP status of an API server's refusal.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether there is no kubeconfig, rather than one that is wrong.
fn is_nowhere(error: &InferConfigError) -> bool {
    match error.source().and_then(|cause| cause.downcast_ref()) {
        Some(KubeconfigError::ReadConfig(error, _)) => error.kind() == io::ErrorKind::NotFound,
        Some(KubeconfigError::FindPath) => true,
        _ => false,
    }
}

/// The token that stands in the kubeconfig itself.
fn token(config: &kube::Config) -> Option<Zeroizing<String>> {
    // Only serialisation shows it.
    let only = AuthInfo {
        token: Some(config.auth_info.token.clone()?),
        ..AuthInfo::default()
    };
    match serde_json::to_value(only).ok()?.get_mut("token")?.take() {
        serde_json::Value::String(token) => Some(Zeroizing::new(token)),
        _ => None,
    }
}

fn place(path: Option<&PathBuf>, context: Option<&str>) -> String {
    let path = path.map_or_else(
        || match std::env::var_os("KUBECONFIG") {
            Some(_) => "of KUBECONFIG".to_owned(),
            None => "\"~/.kube/config\"".to_owned(),
        },
        |path| format!("\"{}\"", path.display()),
    );
    match context {
        Some(context) => format!("{path} with context \"{context}\""),
        None => path,
    }
}
