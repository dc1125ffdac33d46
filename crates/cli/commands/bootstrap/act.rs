//! One step of the plan done, by the adapters that the single commands use too.

use std::time::Duration;

use irsa_core::bootstrap::Change;
use irsa_core::bucket::distribution::DistributionChange;
use irsa_core::explain::Explain;
use irsa_iam::{provider, role};
use irsa_issuer::keyfile::KeyFileError;
use irsa_issuer::keygen;
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::{self, cloudfront};

use super::chain::Chain;
use super::show::{Step, Voice};
use super::site::Store;
use super::steps;
use crate::aws::PAUSES;
use crate::report::Failure;

/// It was done, and is not to be seen.
#[derive(Debug, thiserror::Error)]
#[error("this was done, and nothing shows it after {} s: {change}", PAUSES.iter().map(Duration::as_secs).sum::<u64>())]
struct NotSeen {
    change: String,
}

impl Explain for NotSeen {
    fn help(&self) -> Option<String> {
        Some("something else may be undoing it, or the service is slow: run the same command again in a minute".into())
    }

    fn retryable(&self) -> bool {
        true
    }
}

/// Makes every change of the plan, each on what was seen after the one before; how many were made.
pub async fn run(chain: &mut Chain<'_>, voice: &Voice) -> Result<usize, Failure> {
    let mut done = 0;
    loop {
        let plan = chain.plan().map_err(|failure| stands(failure, done))?;
        let Some(change) = plan.into_iter().next() else {
            return Ok(done);
        };
        let step = step(&change);
        voice.begin(&step)?;
        let outcome = apply(chain, &change, voice, &step).await;
        outcome.map_err(|failure| stands(failure, done))?;
        let seen = settle(chain, &change).await;
        seen.map_err(|failure| stands(failure, done + 1))?;
        voice.done(&step)?;
        tell_of_domain(chain, &change, voice);
        done += 1;
    }
}

/// Says with an error what was done before it.
fn stands(failure: Failure, done: usize) -> Failure {
    let note = match done {
        0 => return failure.noted("nothing was changed"),
        1 => "1 step was done and stands; the same command goes on after it".to_owned(),
        many => format!("{many} steps were done and stand; the same command goes on after them"),
    };
    failure.midway().noted(&note)
}

/// A change as it is shown.
pub fn step(change: &Change) -> Step {
    Step {
        stage: change.stage().as_str(),
        change: change.to_string(),
    }
}

/// Looks until the change is to be seen.
async fn settle(chain: &mut Chain<'_>, change: &Change) -> Result<(), Failure> {
    chain.look_after(change).await?;
    for pause in PAUSES {
        if chain.plan()?.first() != Some(change) {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        chain.look_after(change).await?;
    }
    if chain.plan()?.first() == Some(change) {
        let text = change.to_string();
        let change = text.lines().next().unwrap_or_default().to_owned();
        return Err(NotSeen { change }.into());
    }
    Ok(())
}

async fn apply(
    chain: &mut Chain<'_>,
    change: &Change,
    voice: &Voice,
    step: &Step,
) -> Result<(), Failure> {
    let site = chain.site;
    match (change, &site.store) {
        (Change::GenerateKey { .. }, _) => {
            if let Some(pair) = site.pair() {
                let key = keygen::generate(steps::key_kind(&site.section.keys)?.0)?;
                unless_there(pair.create(&key))?;
            }
        }
        (Change::RestorePublicKey { .. }, _) => {
            if let Some(pair) = site.pair() {
                unless_there(pair.restore_public())?;
            }
        }
        (Change::Bucket(change), Store::S3(bucket)) => bucket.store.apply_bucket(change).await?,
        (Change::Distribution(change), _) => {
            let tell = |waited| voice.waiting(step, waited);
            cloudfront::apply(&site.cloudfront, change, chain.patience, tell).await?;
        }
        (Change::Document(change), Store::S3(bucket)) => {
            publish::apply(&bucket.store, std::slice::from_ref(change)).await?;
        }
        (Change::Document(change), Store::Directory(path)) => {
            let locked = Directory::new(path.clone()).lock()?;
            publish::apply(&locked, std::slice::from_ref(change)).await?;
        }
        (Change::ReadBack { .. }, _) => read_back(chain).await?,
        (Change::Provider(change), _) => {
            if let Some(arn) = &chain.provider {
                provider::apply(&site.iam, arn, change).await?;
            }
        }
        (Change::Role { name, change }, _) => role::apply(&site.iam, name, change).await?,
        (Change::File(file), _) => {
            if let Some(step) = &site.section.apiserver {
                chain.files.write(&file.path, step)?;
            }
        }
        (Change::Object(object), _) => chain.objects.apply(object).await?,
        (Change::Later { text, .. }, _) => return Err(bug(text)),
        (Change::Bucket(_), Store::Directory(_)) => return Err(bug("a bucket for a directory")),
    }
    Ok(())
}

/// Another run was faster: its key is there, and is seen at the next look.
fn unless_there(made: Result<(), KeyFileError>) -> Result<(), KeyFileError> {
    match made {
        Err(KeyFileError::Exists { .. }) => Ok(()),
        other => other,
    }
}

fn bug(what: &str) -> Failure {
    Failure::failed(
        format!("the plan has nothing to begin with: {what}"),
        "this is a bug in irsa: report it with the configuration and the output of --dry-run",
    )
}

/// The proof that AWS is given nothing to trust that it could not fetch.
async fn read_back(chain: &mut Chain<'_>) -> Result<(), Failure> {
    if let Some(documents) = chain.documents()? {
        chain.job(&documents)?.await_seen().await?;
        chain.seen.read_back = true;
    }
    Ok(())
}

/// A host name of one's own leads to the distribution only when its owner says so in DNS.
fn tell_of_domain(chain: &Chain<'_>, change: &Change, voice: &Voice) {
    if let (Change::Distribution(DistributionChange::Create { wanted, .. }), Some(found)) =
        (change, &chain.seen.cdn.distribution)
    {
        for alias in &wanted.aliases {
            voice.note(&format!(
                "note: {alias} must lead to the distribution: make a CNAME (or alias) record of it for {}",
                found.domain
            ));
        }
    }
}
