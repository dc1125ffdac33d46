//! What can be seen with what was given; nothing is changed, and what cannot be seen is said.

mod aws;
mod cluster;
mod documents;
mod flags;

use std::path::{Path, PathBuf};

use irsa_core::diagnosis::Facts;
use irsa_core::diagnosis::facts::{Exchange, Seen, TokenSeen, Unseen};
use irsa_core::issuer::IssuerUrl;
use irsa_core::store_url::S3Location;
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use irsa_issuer::keyfile;
use irsa_issuer::relying_party;
use irsa_webhook::settings::Settings;
use jiff::Timestamp;
use zeroize::Zeroizing;

use self::aws::Aws;
use self::cluster::Cluster;
use crate::args::FetchArgs;
use crate::aws::AwsArgs;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// What was given.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) issuer: IssuerUrl,
    pub(super) token_files: Vec<PathBuf>,
    pub(super) role_arn: Option<String>,
    pub(super) bucket: Option<S3Location>,
    pub(super) bucket_owner: Option<String>,
    pub(super) flag_files: Vec<PathBuf>,
    pub(super) live: bool,
    pub(super) servers: Vec<String>,
    pub(super) service_account: Option<ServiceAccount>,
    pub(super) ask_sts: bool,
    pub(super) no_aws: bool,
    pub(super) aws: AwsArgs,
    pub(super) kubernetes: KubernetesArgs,
    pub(super) fetch: FetchArgs,
    /// What the pod identity webhook gives pods, by the configuration file.
    pub(super) webhook: Settings,
}

/// What becomes of a look when a file that the user named cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is refused: nothing was looked at.
    Refused,
    /// The rest is looked at: who watches for years must not go blind because of one file.
    Unseen,
}

/// A token as a text, for STS alone.
type Text = Zeroizing<String>;

/// Looks at everything once. What the world does not show is no error.
pub(super) async fn observe(inputs: &Inputs, unreadable: Unreadable) -> Result<Facts, Failure> {
    let Inputs { issuer, fetch, .. } = inputs;
    let flags = match (flags::observe(&inputs.flag_files), unreadable) {
        (Ok(flags), _) => flags,
        (Err(failure), Unreadable::Refused) => return Err(failure.before_all()),
        (Err(failure), Unreadable::Unseen) => Seen::Unseen(lost(&failure)),
    };
    let (mut texts, lost_token) = read_tokens(&inputs.token_files, unreadable)?;
    if let Some(path) = &fetch.ca_file {
        relying_party::read_ca_file(path).map_err(|error| Failure::from(error).before_all())?;
    }
    let documents = documents::fetch(issuer, fetch.timeout).await;
    let cluster = Cluster::observe(inputs).await;
    texts.extend(cluster.token);
    let aws = Aws::load(inputs).await?;
    let exchange = exchange(inputs, &aws, &texts).await;
    let no_tokens = Unseen::not_asked(
        "no token was given",
        "add --token-file FILE with a pod's token, or --service-account NAMESPACE/NAME to have one made",
    );
    let tokens: Vec<TokenSeen> = texts.iter().map(parsed).collect();
    Ok(Facts {
        issuer: issuer.clone(),
        now: Timestamp::now(),
        relying_party: aws.relying_party(),
        discovery: documents.discovery,
        jwks: documents.jwks,
        hosts: documents.hosts,
        flags,
        servers: cluster.servers,
        tokens: if tokens.is_empty() {
            Seen::Unseen(lost_token.or(cluster.token_unseen).unwrap_or(no_tokens))
        } else {
            Seen::Found(tokens)
        },
        provider: aws.provider().await,
        role: aws.role().await,
        bucket: aws.bucket().await,
        account: cluster.account,
        webhook: cluster.webhook,
        exchange,
    })
}

/// Where a token is from, and the token.
struct Source {
    from: String,
    text: Text,
}

fn parsed(source: &Source) -> TokenSeen {
    TokenSeen {
        from: source.from.clone(),
        token: Token::parse(&source.text),
    }
}

/// The tokens of files, and what is to be said of the last one that was not read.
fn read_tokens(
    paths: &[PathBuf],
    unreadable: Unreadable,
) -> Result<(Vec<Source>, Option<Unseen>), Failure> {
    let (mut texts, mut last) = (Vec::new(), None);
    for path in paths {
        match (keyfile::read(path).map_err(Failure::from), unreadable) {
            (Ok(bytes), _) => texts.push(Source {
                from: shown(path),
                text: Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned()),
            }),
            (Err(failure), Unreadable::Refused) => return Err(failure.before_all()),
            (Err(failure), Unreadable::Unseen) => last = Some(lost(&failure)),
        }
    }
    Ok((texts, last))
}

/// A file that could be read when the watch began.
fn lost(failure: &Failure) -> Unseen {
    let message = failure.message();
    tracing::warn!("{message}");
    unseen_because(failure, "see to the file: it is read anew at each look")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn exchange(inputs: &Inputs, aws: &Aws<'_>, texts: &[Source]) -> Seen<Exchange> {
    let unseen = |why: &str, help: &str| Seen::Unseen(Unseen::not_asked(why, help));
    if !inputs.ask_sts {
        let help = "add --ask-sts: it shows the token to STS, as the pod does";
        return unseen("STS was not asked", help);
    }
    match texts.first() {
        Some(source) => aws.exchange(&source.text).await,
        None => unseen(
            "STS was not asked: there is no token",
            "add --token-file FILE",
        ),
    }
}

/// What another part of the command line says about why it failed.
fn unseen_because(failure: &Failure, help: &str) -> Unseen {
    Unseen {
        why: failure.message(),
        help: Some(help.to_owned()),
        retryable: failure.is_passing(),
    }
}
