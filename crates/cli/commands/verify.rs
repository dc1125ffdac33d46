//! `irsa verify`.

use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::jwks::JwkSet;
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use irsa_core::token::verify::{Expectation, verify};
use irsa_issuer::relying_party::RelyingParty;
use irsa_webhook::audit;
use irsa_webhook::decision::{Injection, Known, Mode, decide};
use irsa_webhook::identity::Identity;
use irsa_webhook::role::is_role_arn;
use irsa_webhook::settings::Settings;
use irsa_webhook::{live, probe};
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::FetchArgs;
use crate::commands::webhook::InjectionArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::Render;
use crate::report::Failure;
use crate::visible::visible;

/// Check that a service account's pods can use its role, from the annotation to the signature.
///
/// Looks at the service account, at a pod of it, and at a token like the one that kubelet mounts into that pod, which
/// is verified through the issuer as AWS STS does. The token is shown to nobody. With --manifest prints a pod that
/// asks AWS who it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service account
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = account)]
    pub service_account: (String, String),
    /// The pod to look at [default: the newest of the service account]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// Print a pod that runs `aws sts get-caller-identity` as this service account, and do nothing else
    #[arg(long)]
    pub manifest: bool,
    /// Image of that pod
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "public.ecr.aws/aws-cli/aws-cli:latest"
    )]
    pub image: String,
    /// What pods get.
    #[command(flatten)]
    pub injection: InjectionArgs,
    /// How to fetch.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    service_account: String,
    accepted: bool,
    checks: Vec<Check>,
    trust_policy_conditions: Option<Value>,
}

#[derive(Serialize)]
struct Check {
    what: &'static str,
    holds: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Render for Checked {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for check in &self.checks {
            let mark = if check.holds { "ok  " } else { "FAIL" };
            lines.push(format!(
                "{mark} {:16} {}",
                check.what,
                visible(&check.found)
            ));
            lines.extend(
                check
                    .help
                    .iter()
                    .map(|help| format!("     help: {}", visible(help))),
            );
        }
        if let Some(conditions) = &self.trust_policy_conditions {
            lines.push(format!(
                "     the role's trust policy must have StringEquals {conditions}"
            ));
        }
        lines.join("\n")
    }
}

impl Checked {
    fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.checks.push(Check {
            what,
            holds: true,
            found: found.into(),
            help: None,
        });
    }

    fn fail(&mut self, what: &'static str, found: impl Into<String>, help: impl Into<String>) {
        self.accepted = false;
        self.checks.push(Check {
            what,
            holds: false,
            found: found.into(),
            help: Some(help.into()),
        });
    }
}

/// Checks one service account.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        service_account: (namespace, name),
        pod,
        manifest,
        image,
        injection,
        fetch,
        kubernetes,
    } = args;
    if manifest {
        context.print(&TestPod(test_pod(&namespace, &name, &image)))?;
        return Ok(Exit::Done);
    }
    let settings = injection.settings(context)?;
    let mut checked = Checked {
        service_account: format!("{namespace}/{name}"),
        accepted: true,
        checks: Vec::new(),
        trust_policy_conditions: None,
    };
    context.block_on(async {
        let client = kubernetes.client().await?;
        let prefix = &settings.annotation_prefix;
        let found = live::read(&client, &namespace, &name, prefix).await?;
        let Some((identity, injection)) = role(&mut checked, &settings, found) else {
            return Ok(());
        };
        let pods = probe::pods(&client, &namespace, &name, pod.as_deref()).await?;
        let pod = pods.first();
        look_at_pod(&mut checked, &settings, &identity, pod);
        look_at_token(&mut checked, &client, &injection, pod, fetch).await
    })?;
    let accepted = checked.accepted;
    context.print(&checked)?;
    Ok(if accepted { Exit::Done } else { Exit::Failed })
}

/// The service account and its role.
fn role(
    checked: &mut Checked,
    settings: &Settings,
    found: Option<Identity>,
) -> Option<(Identity, Injection)> {
    let account = checked.service_account.clone();
    let annotation = settings.annotation("role-arn");
    let (namespace, name) = account.split_once('/').unwrap_or_default();
    let Some(identity) = found else {
        checked.fail(
            "service account",
            format!("{account} does not exist"),
            format!("kubectl -n {namespace} create serviceaccount {name}"),
        );
        return None;
    };
    let known = Known {
        identity: Some(&identity),
        ..Known::default()
    };
    let annotate = format!(
        "kubectl -n {namespace} annotate serviceaccount {name} {annotation}=arn:aws:iam::111122223333:role/NAME"
    );
    let Some(injection) = decide(settings, known, None, 0) else {
        checked.fail(
            "service account",
            format!("{account} has no annotation {annotation}"),
            annotate,
        );
        return None;
    };
    if let Mode::WebIdentity { role } = &injection.mode {
        if is_role_arn(role) {
            checked.ok("service account", format!("{account} has role {role}"));
        } else {
            checked.fail(
                "service account",
                format!("{role} is not the ARN of a role"),
                annotate,
            );
        }
    }
    Some((identity, injection))
}

fn look_at_pod(
    checked: &mut Checked,
    settings: &Settings,
    identity: &Identity,
    pod: Option<&Value>,
) {
    let Some(pod) = pod else {
        let account = &checked.service_account;
        let found = format!(
            "none runs as {account}; irsa verify --service-account {account} --manifest prints one"
        );
        checked.ok("pod", found);
        return;
    };
    let text = |pointer| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let name = text("/metadata/name");
    let runs_as = text("/spec/serviceAccountName");
    if checked
        .service_account
        .split_once('/')
        .map(|(_, name)| name)
        != Some(runs_as)
    {
        checked.fail(
            "pod",
            format!("{name} runs as service account {runs_as}"),
            "name a pod of the service account with --pod",
        );
        return;
    }
    match audit::examine(settings, identity, pod) {
        None => checked.ok("pod", format!("{name} has the role and the token")),
        Some(finding) => checked.fail(
            "pod",
            format!("{name}: {}", finding.sentence()),
            finding.fix(),
        ),
    }
}

/// The token, as AWS STS looks at it.
async fn look_at_token(
    checked: &mut Checked,
    client: &Client,
    injection: &Injection,
    pod: Option<&Value>,
    fetch: FetchArgs,
) -> Result<(), Failure> {
    let account = checked.service_account.clone();
    let (namespace, name) = account.split_once('/').unwrap_or_default();
    let (audience, seconds) = (injection.audience.as_str(), injection.expiration);
    let text = probe::token(client, namespace, name, audience, seconds, pod).await?;
    let token = Token::parse(&text)?;
    let issuer = token.text_claim("iss").unwrap_or_default().to_owned();
    let issuer = match IssuerUrl::parse(&issuer, TrailingSlash::Allow) {
        Ok(issuer) => issuer,
        Err(error) => {
            checked.fail(
                "issuer",
                format!("the token's issuer \"{issuer}\" is not one that AWS can use: {error}"),
                "make https://… the first --service-account-issuer of every kube-apiserver",
            );
            return Ok(());
        }
    };
    let FetchArgs { ca_file, timeout } = fetch;
    let mut relying_party = RelyingParty::new(ca_file.as_deref(), timeout);
    let published = match relying_party.keys(&issuer).await {
        Ok(published) => published,
        Err(error) => {
            let why = std::error::Error::source(&error).map(|why| format!(": {why}"));
            checked.fail(
                "issuer",
                format!("{error}{}", why.unwrap_or_default()),
                irsa_core::explain::Explain::help(&error).unwrap_or_else(|| {
                    format!("irsa publish puts the documents of {issuer} in place")
                }),
            );
            return Ok(());
        }
    };
    checked.ok(
        "issuer",
        format!("{issuer} publishes {} key(s)", published.keys.keys().len()),
    );
    judge(checked, &token, &issuer, audience, &published.keys);
    Ok(())
}

/// Whether the token is good by the published keys.
fn judge(checked: &mut Checked, token: &Token, issuer: &IssuerUrl, audience: &str, keys: &JwkSet) {
    let expected = Expectation {
        issuer,
        audience,
        keys,
        now: Timestamp::now(),
    };
    match verify(token, &expected) {
        Ok(verified) => {
            checked.ok(
                "token",
                format!("signed by {}, for {audience}", verified.kid),
            );
            let name = issuer.iam_name();
            checked.trust_policy_conditions = Some(json!({
                format!("{name}:sub"): verified.subject,
                format!("{name}:aud"): audience,
            }));
        }
        Err(refusal) => checked.fail(
            "token",
            format!("refused: {refusal}"),
            irsa_core::explain::Explain::help(&refusal)
                .unwrap_or_else(|| "publish the key that signs: irsa publish".to_owned()),
        ),
    }
}

/// As text it is YAML.
#[derive(Serialize)]
struct TestPod(Value);

impl Render for TestPod {
    fn text(&self) -> String {
        serde_saphyr::to_string(&self.0).unwrap_or_else(|error| error.to_string())
    }
}

/// A pod that asks AWS who it is.
fn test_pod(namespace: &str, name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "irsa-verify", "namespace": namespace, "labels": {"irsa/require-role": "true"}},
        "spec": {
            "serviceAccountName": name,
            "restartPolicy": "Never",
            "containers": [{
                "name": "aws",
                "image": image,
                "args": ["sts", "get-caller-identity"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

fn account(text: &str) -> Result<(String, String), String> {
    let account = ServiceAccount::parse(text)
        .map_err(|error| format!("{error}: write it like default/my-app"))?;
    Ok((account.namespace().to_owned(), account.name().to_owned()))
}
