//! `irsa webhook review`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::ValueHint;
use irsa_webhook::decision::{From, Injection, Known, Mode};
use irsa_webhook::injection::{Fate, Patch};
use irsa_webhook::note::Note;
use irsa_webhook::pod::Pod;
use irsa_webhook::review::{Answer, Demand, Finding, Review, Verdict};
use irsa_webhook::settings::{REQUIRE_LABEL, SKIP_LABEL, SYSTEM_NAMESPACES, Settings};
use serde::Serialize;
use serde_json::Value;

use super::flags::InjectionArgs;
use super::manifests::{self, Accounts, Subject};
use super::sources::SourcesArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::Render;
use crate::report::Failure;
use crate::visible::visible;

/// Show what the webhook makes of a pod, and why.
///
/// FILE holds an AdmissionReview in JSON, or manifests of pods and workloads in YAML or JSON. Service accounts come
/// from --service-accounts or from the cluster; nothing is changed anywhere. With -o json an AdmissionReview is
/// answered as the API server would get it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An AdmissionReview, or manifests; - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Manifests of service accounts, instead of asking the cluster
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub service_accounts: Option<PathBuf>,
    /// Namespace of manifests that name none
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// What pods get.
    #[command(flatten)]
    pub injection: InjectionArgs,
    /// Where roles come from besides annotations.
    #[command(flatten)]
    pub sources: SourcesArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    json: Value,
    #[serde(skip)]
    text: String,
}

impl Render for Shown {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Shows what would be injected.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        file,
        service_accounts,
        namespace,
        injection,
        sources,
        kubernetes,
    } = args;
    let settings = injection.settings(context)?;
    let sources = sources.over(context);
    let name = file.display().to_string();
    let text = read(&file)?;
    let subject = manifests::subjects(&name, &text, &namespace)?;
    let bodies: Vec<_> = match &subject {
        Subject::Review(_) => Vec::new(),
        Subject::Pods(pods) => pods.iter().map(|pod| pod.json.to_string()).collect(),
    };
    let reviews = match &subject {
        Subject::Review(bytes) => vec![parse(&name, bytes)?],
        Subject::Pods(pods) => {
            let views = pods.iter().zip(&bodies).map(|(pod, json)| {
                serde_json::from_str::<Pod<'_>>(json)
                    .map(|view| Review::of_pod(&pod.namespace, view))
                    .map_err(|error| manifests::not_a_pod(&name, &pod.name, json, &error))
            });
            views.collect::<Result<_, _>>()?
        }
    };
    let prefix = &settings.annotation_prefix;
    let mut accounts = if let Some(path) = service_accounts {
        Accounts::parse(&path.display().to_string(), &read(&path)?, prefix)?
    } else {
        let wanted = reviews.iter().filter_map(Review::service_account).collect();
        let config_map = sources.config_map.as_deref();
        context.block_on(from_cluster(&kubernetes, wanted, prefix, config_map))?
    };
    accounts.associations = sources.associations()?;
    let answers = reviews
        .iter()
        .map(|review| (review, answer(&settings, review, &accounts)));
    let shown = match &subject {
        Subject::Review(_) => answers
            .map(|(review, answer)| Shown {
                json: serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
                text: explain(&settings, review, &answer, "the request"),
            })
            .next(),
        Subject::Pods(pods) => Some(join(answers.zip(pods).map(|((review, answer), pod)| {
            Shown {
                text: explain(&settings, review, &answer, &pod.name),
                json: describe(&pod.name, review, &answer),
            }
        }))),
    };
    if let Some(shown) = shown {
        context.print(&shown)?;
    }
    Ok(Exit::Done)
}

fn parse<'a>(name: &str, bytes: &'a [u8]) -> Result<Review<'a>, Failure> {
    Review::parse(bytes).map_err(|error| {
        Failure::usage(
            format!("\"{name}\" cannot be reviewed: {error}"),
            "the webhook answers it with HTTP 400; give an AdmissionReview with a request that creates a pod",
        )
    })
}

fn join(shown: impl Iterator<Item = Shown>) -> Shown {
    let (texts, json): (Vec<_>, Vec<_>) = shown.map(|one| (one.text, one.json)).unzip();
    Shown {
        text: texts.join("\n\n"),
        json: Value::Array(json),
    }
}

async fn from_cluster(
    kubernetes: &KubernetesArgs,
    wanted: BTreeSet<(&str, &str)>,
    prefix: &str,
    config_map: Option<&str>,
) -> Result<Accounts, Failure> {
    let mut accounts = Accounts::default();
    if wanted.is_empty() {
        return Ok(accounts);
    }
    let client = kubernetes.client().await?;
    if let Some(namespace) = config_map {
        accounts.mappings = irsa_webhook::audit::config_map(&client, namespace).await?;
    }
    for (namespace, name) in wanted {
        if let Some(found) = irsa_webhook::live::read(&client, namespace, name, prefix).await? {
            accounts.insert(namespace, name, found);
        }
    }
    Ok(accounts)
}

fn answer(settings: &Settings, review: &Review<'_>, accounts: &Accounts) -> Answer {
    let asks = review
        .pod()
        .is_some_and(|pod| pod.label(REQUIRE_LABEL) == Some("true"));
    let required = asks && !SYSTEM_NAMESPACES.contains(&review.namespace());
    let demand = if required {
        Demand::Required
    } else {
        Demand::Optional
    };
    let account = review.service_account();
    let known = account.map_or_else(Known::default, |(namespace, name)| Known {
        associated: accounts.associations.contains(namespace, name),
        identity: accounts.find(namespace, name),
        mapping: accounts.mappings.find(namespace, name),
        exact_mapping: accounts.mappings.exact(namespace, name),
    });
    review.answer(settings, Finding::Known(known), demand, 0)
}

fn describe(name: &str, review: &Review<'_>, answer: &Answer) -> Value {
    let (injection, patch) = match &answer.verdict {
        Verdict::Injection(injection, patch) => (Some(injection), Some(patch)),
        _ => (None, None),
    };
    let role = injection.map(|injection| match &injection.mode {
        Mode::WebIdentity { role } => role.clone(),
        Mode::ContainerCredentials { full_uri } => full_uri.clone(),
    });
    let account = review.service_account().map(|(_, name)| name);
    serde_json::json!({
        "pod": name,
        "namespace": review.namespace(),
        "serviceAccount": account,
        "allowed": !matches!(answer.verdict, Verdict::Denied(_)),
        "role": role,
        "audience": injection.map(|injection| &injection.audience),
        "tokenExpirationSeconds": injection.map(|injection| injection.expiration),
        "patch": patch.map(|patch| &patch.operations),
        "warnings": answer.notes.iter().map(Note::sentence).collect::<Vec<_>>(),
    })
}

fn explain(settings: &Settings, review: &Review<'_>, answer: &Answer, name: &str) -> String {
    let mut lines = vec![name.to_owned()];
    if let Some((namespace, account)) = review.service_account() {
        lines.push(format!("  service account {namespace}/{account}"));
    }
    match &answer.verdict {
        Verdict::NotApplicable => {
            lines.push("  nothing is injected: the request does not create a pod".into());
        }
        Verdict::NoRole if review.service_account().is_none() && names_one(review) => lines.push(
            "  nothing is injected: the pod's serviceAccountName is no valid name, and the API server refuses such a pod"
                .into(),
        ),
        Verdict::NoRole if review.service_account().is_none() => lines.push(
            "  nothing is injected: the pod names no service account (the API server fills in \"default\")".into(),
        ),
        // A warning says the rest.
        Verdict::NoRole if answer.notes.contains(&Note::NoSuchAccount) => {
            lines.push("  nothing is injected".into());
        }
        Verdict::NoRole => lines.push(format!(
            "  nothing is injected: the service account has no annotation {}",
            settings.annotation("role-arn")
        )),
        Verdict::Denied(note) => lines.push(format!("  denied: {}", note.sentence())),
        Verdict::Injection(injection, patch) => lines.extend(injected(settings, injection, patch)),
    }
    if review
        .pod()
        .is_some_and(|pod| pod.label(SKIP_LABEL).is_some())
    {
        lines.push(format!(
            "  but the API server does not ask the webhook: the pod has the label {SKIP_LABEL}"
        ));
    }
    let warnings = answer
        .notes
        .iter()
        .map(|note| format!("  warning: {}", note.sentence()));
    lines.extend(warnings);
    let lines: Vec<_> = lines.iter().map(|line| visible(line)).collect();
    lines.join("\n")
}

fn names_one(review: &Review<'_>) -> bool {
    let pod = review.pod();
    pod.is_some_and(|pod| !pod.service_account().is_empty())
}

fn injected(settings: &Settings, injection: &Injection, patch: &Patch) -> Vec<String> {
    let mut lines = Vec::new();
    let origin = origin(settings, &injection.origin, "role-arn");
    lines.push(match &injection.mode {
        Mode::WebIdentity { role } => format!("  role {role} (from {origin})"),
        Mode::ContainerCredentials { full_uri } => {
            format!("  credentials from the agent at {full_uri} (from {origin})")
        }
    });
    lines.push(format!(
        "  token for \"{}\", {} s (from {}), at {}",
        injection.audience,
        injection.expiration,
        self::origin(settings, &injection.expiration_from, "token-expiration"),
        injection.mount_path,
    ));
    for (name, fate) in &patch.containers {
        lines.push(match fate {
            Fate::Injected { variables, mounted } => {
                let mount = if *mounted {
                    "the token"
                } else {
                    "no second mount"
                };
                let all: Vec<_> = variables.iter().copied().chain([mount]).collect();
                format!("  container \"{name}\" gets {}", all.join(", "))
            }
            Fate::Complete => format!("  container \"{name}\" is left as it is: it has its own"),
            Fate::Skipped => {
                format!("  container \"{name}\" is skipped, as the pod's annotation says")
            }
            Fate::PathTaken => format!("  container \"{name}\" gets nothing"),
        });
    }
    if patch.operations.is_empty() {
        lines.push("  nothing is to be changed".into());
    }
    lines
}

fn origin(settings: &Settings, from: &From, annotation: &str) -> String {
    match from {
        From::Default => "the webhook's default".into(),
        From::ServiceAccount => format!(
            "the service account's annotation {}",
            settings.annotation(annotation)
        ),
        From::Pod => format!("the pod's annotation {}", settings.annotation(annotation)),
        From::ConfigMap(key) => format!("the ConfigMap's entry \"{key}\""),
        From::File => "the container credentials file".into(),
    }
}

/// Reads a file, or standard input for `-`, up to what an API server takes several times over.
fn read(path: &PathBuf) -> Result<String, Failure> {
    let place = path.display();
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 == MAX_BYTES => Err(Failure::usage(
            format!("\"{place}\" is larger than {MAX_BYTES} bytes"),
            "give fewer manifests at once",
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(
            format!("\"{place}\" cannot be read: {error}"),
            format!("ls -l {place}"),
        )),
    }
}

const MAX_BYTES: u64 = 64 << 20;
