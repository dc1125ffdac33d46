//! Access to the cluster: the kubeconfig that kubectl would use, or the pod's own service account.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use irsa_core::explain::Explain;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

/// Kubernetes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Kubeconfig file [default: KUBECONFIG, else ~/.kube/config, else the pod's service account]
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
        source: KubeconfigError,
    },
    /// Neither a kubeconfig nor a pod.
    #[error("no cluster is configured: there is neither a kubeconfig nor a pod's service account")]
    None(#[source] kube::config::InferConfigError),
    /// The client cannot be made from the configuration.
    #[error("the Kubernetes client cannot be set up")]
    Client(#[source] Box<kube::Error>),
}

impl Explain for KubernetesError {
    fn help(&self) -> Option<String> {
        Some(
            "give --kubeconfig FILE and --context NAME; kubectl config get-contexts lists them"
                .into(),
        )
    }
}

impl KubernetesArgs {
    /// How to reach the cluster.
    pub async fn config(&self) -> Result<kube::Config, KubernetesError> {
        let Self {
            kubeconfig,
            context,
        } = self;
        let fail = |source| KubernetesError::Kubeconfig {
            path: kubeconfig.clone(),
            context: context.clone(),
            source,
        };
        let options = KubeConfigOptions {
            context: context.clone(),
            ..KubeConfigOptions::default()
        };
        match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(fail)?;
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(fail)
            }
            None if context.is_some() => {
                kube::Config::from_kubeconfig(&options).await.map_err(fail)
            }
            None => kube::Config::infer().await.map_err(KubernetesError::None),
        }
    }

    /// A client of the cluster.
    pub async fn client(&self) -> Result<kube::Client, KubernetesError> {
        let config = self.config().await?;
        kube::Client::try_from(config).map_err(|error| KubernetesError::Client(Box::new(error)))
    }
}

fn place(path: Option<&PathBuf>, context: Option<&str>) -> String {
    let path = path.map_or_else(
        || "of KUBECONFIG".to_owned(),
        |path| format!("\"{}\"", path.display()),
    );
    match context {
        Some(context) => format!("{path} with context \"{context}\""),
        None => path,
    }
}
