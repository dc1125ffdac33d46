//! The cluster: API servers, a service account with a token of it, the webhook, pods without their role.

use std::collections::BTreeMap;
use std::path::Path;

use irsa_apiserver::live::{ApiServer, LiveError};
use irsa_core::api_answer::is_passing;
use irsa_core::diagnosis::facts::{AccountSeen, Seen, ServerSeen, Unseen, WebhookSeen};
use irsa_core::provider::STS_AUDIENCE;
use irsa_core::token::claims::ServiceAccount;
use irsa_webhook::settings::Settings;
use irsa_webhook::{audit, probe};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount as ServiceAccountObject};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::{Inputs, Source, unseen_because};
use crate::commands::apiserver::servers::ClusterArgs;
use crate::kubernetes::status;

/// How long the token of a service account lives that is made for a look, in seconds: the shortest that there is.
const TOKEN_SECONDS: i64 = 600;
/// What the registrations of the webhook are called: ours and upstream's, and that of EKS.
const WEBHOOKS: [&str; 2] = ["pod-identity-webhook", "iam-for-pods"];

/// What was seen of the cluster.
pub(super) struct Cluster {
    pub(super) servers: Seen<Vec<ServerSeen>>,
    pub(super) account: Seen<AccountSeen>,
    pub(super) token: Option<Source>,
    /// Why there is no token although one was asked for.
    pub(super) token_unseen: Option<Unseen>,
    pub(super) webhook: Seen<WebhookSeen>,
}

impl Cluster {
    pub(super) async fn observe(inputs: &Inputs) -> Self {
        let not_live = || Unseen::not_asked("the cluster was not asked", "add --live");
        let mut cluster = Self {
            servers: Seen::Unseen(not_live()),
            account: Seen::Unseen(Unseen::not_asked(
                "no service account was given",
                "add --service-account NAMESPACE/NAME",
            )),
            token: None,
            token_unseen: None,
            webhook: Seen::Unseen(not_live()),
        };
        if !inputs.live && inputs.service_account.is_none() {
            return cluster;
        }
        let client = match inputs.kubernetes.client().await {
            Ok(client) => client,
            Err(error) => {
                let unseen = Unseen::from(&error);
                cluster.servers = Seen::Unseen(unseen.clone());
                cluster.account = Seen::Unseen(unseen.clone());
                cluster.webhook = Seen::Unseen(unseen.clone());
                cluster.token_unseen = Some(unseen);
                return cluster;
            }
        };
        if inputs.live {
            cluster.servers = servers(inputs).await;
            cluster.webhook = webhook(&client, &inputs.webhook).await;
        }
        if let Some(account) = &inputs.service_account {
            cluster.account = look_at(&client, account, &inputs.webhook.annotation_prefix).await;
            cluster.make_token(&client, account).await;
        }
        cluster
    }

    async fn make_token(&mut self, client: &Client, account: &ServiceAccount) {
        let AccountSeen {
            annotations: Some(annotations),
            prefix,
            ..
        } = (match &self.account {
            Seen::Found(seen) => seen,
            Seen::Unseen(unseen) => {
                self.token_unseen = Some(unseen.clone());
                return;
            }
        })
        else {
            return;
        };
        let audience = annotations.get(&format!("{prefix}/audience"));
        let audience = audience.map_or(STS_AUDIENCE, String::as_str);
        let (namespace, name) = (account.namespace(), account.name());
        match probe::token(client, namespace, name, audience, TOKEN_SECONDS, None).await {
            Ok(text) => {
                self.token = Some(Source {
                    from: format!("token for {namespace}/{name}"),
                    text,
                });
            }
            Err(error) => self.token_unseen = Some(Unseen::from(&error)),
        }
    }
}

async fn servers(inputs: &Inputs) -> Seen<Vec<ServerSeen>> {
    // Nothing is made for it here.
    let account = match &inputs.service_account {
        Some(account) => Ok(account.clone()),
        None => ServiceAccount::parse("kube-system/default"),
    };
    let cluster = match account {
        Ok(service_account) => ClusterArgs {
            kubernetes: inputs.kubernetes.clone(),
            tls_server_name: None,
            service_account,
        },
        Err(error) => return Seen::Unseen(Unseen::from(&error)),
    };
    let help = "name each with --server URL";
    let config = match cluster.config(Path::new("/")).await {
        Ok(config) => config,
        Err(failure) => return Seen::Unseen(unseen_because(&failure, help)),
    };
    let servers = match cluster.servers(&config, &inputs.servers).await {
        Ok(servers) => servers,
        Err(failure) => return Seen::Unseen(unseen_because(&failure, help)),
    };
    let mut seen = Vec::new();
    for server in &servers {
        match ask(server).await {
            Ok(one) => seen.push(one),
            // One that is not seen makes all of it uncertain.
            Err(error) => return Seen::Unseen(Unseen::from(&error)),
        }
    }
    Seen::Found(seen)
}

async fn ask(server: &ApiServer) -> Result<ServerSeen, LiveError> {
    Ok(ServerSeen {
        url: server.url().to_owned(),
        discovery: server.discovery().await?,
        jwks: server.jwks().await?,
    })
}

async fn look_at(client: &Client, account: &ServiceAccount, prefix: &str) -> Seen<AccountSeen> {
    let (namespace, name) = (account.namespace(), account.name());
    let accounts: Api<ServiceAccountObject> = Api::namespaced(client.clone(), namespace);
    let found = match accounts.get_metadata_opt(name).await {
        Ok(found) => found,
        Err(error) => {
            let what = format!("serviceaccounts -n {namespace}");
            return Seen::Unseen(refused(&error, "get", &what));
        }
    };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    // Whoever may read the account may not see its namespace; then that is left out.
    let of_namespace = namespaces.get_metadata_opt(namespace).await.ok().flatten();
    Seen::Found(AccountSeen {
        account: account.clone(),
        annotations: found.map(|found| found.annotations().clone()),
        namespace: of_namespace.map_or_else(BTreeMap::new, |found| found.annotations().clone()),
        prefix: prefix.to_owned(),
    })
}

fn refused(error: &kube::Error, verb: &str, what: &str) -> Unseen {
    Unseen {
        why: format!("{what} cannot be read: {error}"),
        help: Some(format!(
            "kubectl auth can-i {verb} {what} shows whether you may"
        )),
        retryable: is_passing(status(error)),
    }
}

async fn webhook(client: &Client, settings: &Settings) -> Seen<WebhookSeen> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let list = match api.list(&ListParams::default()).await {
        Ok(list) => list,
        Err(error) => {
            let unseen = refused(&error, "list", "mutatingwebhookconfigurations");
            return Seen::Unseen(unseen);
        }
    };
    let mut registrations = Vec::new();
    let mut problems = Vec::new();
    for found in &list.items {
        let name = found.name_any();
        let hooks = found.webhooks.iter().flatten();
        let ours = |text: &str| WEBHOOKS.iter().any(|one| text.contains(one));
        let is_ours = ours(&name) || hooks.clone().any(|hook| ours(&hook.name));
        if !is_ours {
            continue;
        }
        for hook in hooks {
            let bundle = hook.client_config.ca_bundle.as_ref();
            let empty = bundle.is_none_or(|bundle| bundle.0.is_empty());
            if empty && hook.client_config.service.is_some() {
                problems.push(format!(
                    "{name} has no caBundle: the API server trusts the webhook's certificate only if a public CA signed it"
                ));
            }
        }
        registrations.push(name);
    }
    let pods = audit::audit(client, settings, None, &audit::Sources::default()).await;
    let pods = pods.map(|findings| {
        let rows = findings.iter().map(|finding| {
            (
                format!("{}/{}", finding.namespace, finding.pod),
                finding.sentence(),
                finding.fix(),
            )
        });
        rows.collect()
    });
    Seen::Found(WebhookSeen {
        registrations,
        problems,
        pods: pods.into(),
    })
}
