//! A cluster whose issuer was the domain of a distribution that is gone: who still trusts it, and what else is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use irsa_core::bootstrap::teardown::Removal;
use irsa_core::bucket::distribution::{self, DistributionChange};
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_iam::{provider, role};
use irsa_issuer::publish::cloudfront;

use super::super::bootstrap::show::Voice;
use super::super::bootstrap::site::{Site, Store};
use super::super::iam;
use super::{end, step};
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings;

/// The issuer that providers and roles of the cluster which irsa made still trust.
pub(super) async fn issuer(site: &Site<'_>) -> Result<Option<IssuerUrl>, Failure> {
    let cluster = Some(&site.section.name);
    let ours = |tags: &BTreeMap<String, String>| {
        iam::is_ours(tags) && tags.get(iam::CLUSTER_TAG) == cluster
    };
    let mut trusted = BTreeSet::new();
    for section in &site.section.roles {
        if let Some(state) = role::observe(&site.iam, &section.name).await?
            && ours(&state.tags)
        {
            trusted.extend(state.trust.providers());
        }
    }
    for arn in provider::list(&site.iam).await? {
        let state = provider::observe(&site.iam, &arn).await?;
        if state.is_some_and(|state| ours(&state.tags)) {
            trusted.insert(arn);
        }
    }
    let mut urls: Vec<String> = trusted
        .iter()
        .map(|arn| format!("https://{}", arn.name()))
        .collect();
    urls.dedup();
    match urls.as_slice() {
        [] => Ok(None),
        [one] => settings::parse_issuer(one, TrailingSlash::Allow).map(Some),
        many => Err(Failure::usage(
            format!(
                "cluster \"{}\" has no distribution any more, and trusted are {} issuers: {}",
                site.section.name,
                many.len(),
                many.join(", ")
            ),
            "write the one to be taken down as issuer: into the section cluster, and run this again for each",
        )),
    }
}

/// What a run that was killed at its very end left: there is no distribution, and nothing that irsa made trusts an issuer
/// of the cluster, so there is none to confirm.
pub(super) async fn take_down(
    site: &Site<'_>,
    voice: &Voice,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let mut steps = Vec::new();
    if let Store::S3(bucket) = &site.store {
        let cdn = cloudfront::observe(&site.cloudfront, bucket.store.location().bucket()).await?;
        // Nobody was asked, so nothing that could still serve is touched.
        let unused = |change: &DistributionChange| {
            cdn.distribution.is_none()
                && matches!(change, DistributionChange::DeleteAccessControl { .. })
        };
        for change in distribution::plan_removal(&cdn).into_iter().filter(unused) {
            steps.push(step(&Removal::Distribution(change.clone())));
            if !dry_run {
                cloudfront::apply(&site.cloudfront, &change, Duration::ZERO, |_| ()).await?;
            }
        }
    }
    voice.plan(&steps, &[])?;
    let (done, pending) = if dry_run {
        (0, steps.len())
    } else {
        (steps.len(), 0)
    };
    let message = "nothing else to do: there is no distribution, and no provider or role of this cluster that irsa made; if \
                   something else may trust its issuer, write issuer: into the section cluster and run this again";
    end(voice, done, pending, None, message)?;
    Ok(Exit::Done)
}
