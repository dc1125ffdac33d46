//! `irsa iam role apply --annotate`: the role on the service accounts that may assume it.

use clap::Args;
use irsa_apiserver::live::ApiServer;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::role::RoleWanted;
use irsa_core::token::claims::ServiceAccount;
use irsa_webhook::annotate::{self, Annotation};
use kube::Client;

use super::GrantArgs;
use crate::kubernetes::{KubernetesArgs, KubernetesError};
use crate::report::{self, Failure};

/// The cluster whose service accounts get the role.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct AnnotateArgs {
    /// Write the role onto the service accounts, in the annotation that the webhook reads; one that is missing is made
    #[arg(long, requires = "service_account", conflicts_with_all = ["allow_wildcard", "format"])]
    pub annotate: bool,
    /// Let --annotate replace another role
    #[arg(long, requires = "annotate")]
    pub reassign: bool,
    /// The prefix of the annotation, as the webhook has it
    #[arg(
        long,
        value_name = "PREFIX",
        requires = "annotate",
        default_value = "eks.amazonaws.com"
    )]
    pub annotation_prefix: String,
    /// Where.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// What is to be written, checked as far as it can be without a cluster.
pub(super) struct Annotate {
    accounts: Vec<ServiceAccount>,
    key: String,
    reassign: bool,
    kubernetes: KubernetesArgs,
}

/// The writes, planned.
#[derive(Default)]
pub(super) struct Annotations(Option<(Client, Vec<Annotation>)>);

impl AnnotateArgs {
    /// Refuses what could only be wrong.
    pub(super) fn checked(&self, grant: &GrantArgs) -> Result<Option<Annotate>, Failure> {
        let Self {
            annotate,
            reassign,
            annotation_prefix,
            kubernetes,
        } = self.clone();
        if !annotate {
            // Else somebody would believe that it was done.
            if kubernetes.kubeconfig.is_some() || kubernetes.context.is_some() {
                let help = "add --annotate to write the role onto the service accounts, or leave --kubeconfig and --context out";
                return Err(Failure::usage(
                    "without --annotate no cluster is asked",
                    help,
                ));
            }
            return Ok(None);
        }
        if grant.issuer.len() > 1 {
            let message = format!(
                "--annotate writes to one cluster, and {} issuers are given",
                grant.issuer.len()
            );
            let help = "run it once for each issuer, with the kubeconfig of its cluster: what the role trusts already stays";
            return Err(Failure::usage(message, help));
        }
        let accounts = grant
            .service_account
            .iter()
            .map(|text| ServiceAccount::parse(text).map_err(|error| Failure::refused(&error)));
        Ok(Some(Annotate {
            accounts: accounts.collect::<Result<_, _>>()?,
            key: format!("{annotation_prefix}/role-arn"),
            reassign,
            kubernetes,
        }))
    }
}

impl Annotate {
    /// Asks the cluster what its service accounts lack. `arn` is that of a role that exists.
    pub(super) async fn plan(
        self,
        wanted: &RoleWanted,
        arn: Option<&str>,
    ) -> Result<Annotations, Failure> {
        let config = self.kubernetes.config().await?;
        let to_be = || {
            let path = wanted.path.as_deref().unwrap_or("/");
            let provider = &wanted.grants.first()?.provider;
            Some(provider.role_arn(path, &wanted.name))
        };
        let Some(arn) = arn.map(str::to_owned).or_else(to_be) else {
            return Ok(Annotations::default());
        };
        warn_of_another_cluster(&config, wanted).await;
        let client = Client::try_from(config).map_err(|error| KubernetesError::client(&error))?;
        let mut planned = Vec::with_capacity(self.accounts.len());
        for account in &self.accounts {
            planned.push(annotate::plan(&client, account, &self.key, &arn, self.reassign).await?);
        }
        Ok(Annotations(Some((client, planned))))
    }
}

impl Annotations {
    fn needed(&self) -> impl Iterator<Item = (&Client, &Annotation)> {
        let all = self
            .0
            .iter()
            .flat_map(|(client, all)| all.iter().map(move |it| (client, it)));
        all.filter(|(_, annotation)| annotation.is_needed())
    }

    /// What is to be done, in words.
    pub(super) fn told(&self) -> Vec<String> {
        self.needed()
            .map(|(_, annotation)| annotation.to_string())
            .collect()
    }

    /// Has the cluster check all of it, and does nothing.
    pub(super) async fn rehearse(&self) -> Result<(), Failure> {
        for (client, annotation) in self.needed() {
            annotation.rehearse(client).await?;
        }
        Ok(())
    }

    /// Writes all of it.
    pub(super) async fn apply(&self) -> Result<(), Failure> {
        for (client, annotation) in self.needed() {
            annotation.apply(client).await?;
            tracing::info!("{annotation}");
        }
        Ok(())
    }
}

/// The role trusts the tokens of an issuer; the kubeconfig may lead to a cluster of another one. Its issuer is not always
/// ours to read, and may be about to change: so it is said, and no more.
async fn warn_of_another_cluster(config: &kube::Config, wanted: &RoleWanted) {
    let url = config.cluster_url.to_string();
    let name = config.tls_server_name.as_deref();
    let Ok(server) = ApiServer::new(config, &url, name) else {
        return;
    };
    let Ok(Some(document)) = server.discovery().await else {
        return;
    };
    let issuer = serde_json::from_str::<serde_json::Value>(&document).ok();
    let issuer = issuer.as_ref().and_then(|it| it.get("issuer")?.as_str());
    let Some(issuer) = issuer else { return };
    let is_trusted = IssuerUrl::parse(issuer, TrailingSlash::Allow).is_ok_and(|issuer| {
        wanted
            .grants
            .iter()
            .any(|grant| grant.provider.is_of(&issuer))
    });
    if !is_trusted {
        let trusted: Vec<&str> = wanted
            .grants
            .iter()
            .map(|grant| grant.provider.name())
            .collect();
        report::warning(&format!(
            "the cluster of the kubeconfig signs for \"{issuer}\", and the role trusts {}: AWS would refuse its tokens until they are \
             the same",
            trusted.join(", ")
        ));
    }
}
