//! What of a cluster's section is on this machine, looked at before credentials and the network are: a wrong path costs no
//! login.

use irsa_core::trust::Subject;
use irsa_issuer::keyset;

use super::steps;
use crate::commands::iam::role::apply::policy_file;
use crate::commands::webhook::manifest::warn_of_left;
use crate::config::ClusterSection;
use crate::config::cluster::RoleSection;
use crate::context::Context;
use crate::report::Failure;
use crate::settings;

/// Reads every file that the section names, and refuses what cannot be used.
pub(super) fn check(section: &ClusterSection, context: &Context) -> Result<(), Failure> {
    // A pipe that nobody writes to would be waited for, and its text be gone at the second reading.
    keyset::load_regular(&section.keys.adopt)?;
    steps::key_kind(&section.keys)?;
    let flags = &context.config.apiserver;
    let key_flags = !flags.key_files.is_empty() || flags.signing_key_file.is_some();
    if section.keys.rotated && section.apiserver.is_some() && key_flags {
        return Err(Failure::usage(
            "irsa rotate keeps kube-apiserver's key files, and the configuration names others",
            "leave key_files and signing_key_file out of apiserver:, or rotated out of cluster.keys",
        ));
    }
    for role in &section.roles {
        subjects(role)?;
        inline(role)?;
    }
    let pods = &context.config.webhook;
    steps::webhook(section, pods)?;
    if let Some(step) = &section.webhook {
        warn_of_left(pods, &step.flags, &steps::deployment(step).namespace);
    }
    settings::parse_jwks_uri(section.jwks_uri.as_deref())?;
    // An issuer that has its name from a bucket is known later.
    if let Some(text) = &section.issuer {
        let allowed = context.config.allow_trailing_slash.unwrap_or_default();
        let issuer = settings::parse_issuer(text, settings::slash(allowed))?;
        // They are planned again when all is seen, and warned of then.
        steps::files(section, Some(&issuer), context, false)?;
    }
    Ok(())
}

/// The service accounts of a role.
pub(super) fn subjects(role: &RoleSection) -> Result<Vec<Subject>, Failure> {
    let parse = |text: &String| Subject::parse(text, role.allow_wildcard);
    let subjects: Result<_, _> = role.service_accounts.iter().map(parse).collect();
    subjects.map_err(|error| Failure::refused(&error))
}

/// The inline policy of a role, if it has one.
pub(super) fn inline(role: &RoleSection) -> Result<Option<String>, Failure> {
    role.policy_file.as_deref().map(policy_file).transpose()
}
