//! Documents that a distribution publishes by itself.

use super::{Finding, Severity};
use crate::component::Role;
use crate::edit::Path;
use crate::flags::Flag;
use crate::patch::{Manifest, PatchError};
use crate::plan::Wanted;

/// What follows when the distribution publishes the documents of the issuer that signs, and the place in the file that
/// has it do so; none when it does not.
pub fn published_by_distribution(
    manifest: &Manifest<'_>,
    wanted: Option<&Wanted>,
) -> Result<Option<(Path, Finding)>, PatchError> {
    let Some((path, store)) = manifest.discovery_store() else {
        return Ok(None);
    };
    let mut components = manifest.components.iter();
    let api_server = components.find(|component| component.role == Role::ApiServer);
    let flags = api_server.map(|component| manifest.flags(component));
    let first = match flags.transpose()? {
        Some((_, flags)) => flags.values(Flag::Issuer).first().cloned(),
        None => None,
    };
    let ours = wanted.map(|wanted| wanted.issuer.as_str());
    let (severity, message, help) = match (first.as_deref(), ours) {
        (Some(first), Some(ours)) if first == ours => (
            Severity::Problem,
            format!(
                "{path} is \"{store}\": each kops update cluster writes the documents of \"{ours}\" there, with the JWKS at {ours}/openid/v1/jwks; if \
                 that is the store that irsa publishes to, it overwrites them"
            ),
            "let one of the two publish: take spec.serviceAccountIssuerDiscovery out of the file",
        ),
        (first, _) => (
            Severity::Note,
            format!(
                "{path} is \"{store}\": kOps publishes the documents of {} there, and would write those of another issuer over them",
                first.map_or_else(
                    || "the issuer that signs".to_owned(),
                    |first| format!("\"{first}\"")
                )
            ),
            "before phase sign, take spec.serviceAccountIssuerDiscovery out of the file and leave the documents in the store",
        ),
    };
    let finding = Finding {
        severity,
        occurrence: None,
        message,
        help: help.to_owned(),
    };
    Ok(Some((path, finding)))
}
