//! In what a distribution differs from what it shall be: what comes, what is mended, what goes.

use std::fmt;

use super::{CACHING_DISABLED, DistributionError, DistributionState, DistributionWanted};

/// One difference, as it is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Something is missing.
    Adds(String),
    /// Something is otherwise.
    Mends(String),
    /// Something is there that must go.
    Removes(String),
}

/// Everything that differs. What serves others is refused, or left as it is.
pub(super) fn between(
    wanted: &DistributionWanted,
    state: &DistributionState,
    access_control: &str,
) -> Result<Vec<Difference>, DistributionError> {
    let mut differences = Vec::new();
    if !state.enabled {
        differences.push(Difference::Mends("it is disabled".to_owned()));
    }
    if !state.https_only {
        let text = "it serves over plain http".to_owned();
        differences.push(Difference::Mends(text));
    }
    origin(wanted, state, access_control, &mut differences)?;
    match state.cache_policy.as_deref() {
        Some(CACHING_DISABLED) => {}
        Some(other) => {
            let text = format!("it keeps documents at the edge (cache policy {other})");
            differences.push(Difference::Mends(text));
        }
        None => {
            let text = "it keeps documents at the edge".to_owned();
            differences.push(Difference::Mends(text));
        }
    }
    let missing = wanted
        .aliases
        .iter()
        .filter(|alias| !has(&state.aliases, alias));
    differences.extend(missing.map(|alias| Difference::Adds(format!("answers for {alias}"))));
    certificate(wanted, state, &mut differences)?;
    Ok(differences)
}

fn origin(
    wanted: &DistributionWanted,
    state: &DistributionState,
    access_control: &str,
    differences: &mut Vec<Difference>,
) -> Result<(), DistributionError> {
    let found = state.origin_of(&wanted.bucket);
    if found.is_none_or(|origin| origin.id != state.default_origin) {
        let by_default = |origin: &&super::OriginState| origin.id == state.default_origin;
        let default = state.origins.iter().find(by_default);
        return Err(DistributionError::OtherOrigin {
            id: state.id.clone(),
            origin: default.map_or_else(
                || state.default_origin.clone(),
                |origin| origin.domain.clone(),
            ),
            bucket: wanted.bucket.clone(),
        });
    }
    let Some(found) = found else {
        return Ok(());
    };
    let expected = wanted.origin();
    if found.domain != expected {
        let text = format!("it reads {}, expected {expected}", found.domain);
        differences.push(Difference::Mends(text));
    }
    if !found.path.is_empty() {
        let text = format!("path {} before every object", found.path);
        differences.push(Difference::Removes(text));
    }
    match &found.access_control {
        Some(id) if id == access_control => {}
        other => {
            let text = "it does not read the bucket with our origin access control".to_owned();
            differences.push(Difference::Mends(text));
            let gone = other.iter();
            differences
                .extend(gone.map(|id| Difference::Removes(format!("origin access control {id}"))));
        }
    }
    Ok(())
}

/// One distribution has one certificate: it is replaced only if nobody else's host name is served with it.
fn certificate(
    wanted: &DistributionWanted,
    state: &DistributionState,
    differences: &mut Vec<Difference>,
) -> Result<(), DistributionError> {
    let Some(expected) = &wanted.certificate else {
        return Ok(());
    };
    if state.certificate.as_ref() == Some(expected) {
        return Ok(());
    }
    if let Some(found) = &state.certificate {
        let mut others = state.aliases.clone();
        others.retain(|alias| !has(&wanted.aliases, alias));
        if !others.is_empty() {
            return Err(DistributionError::OtherCertificate {
                id: state.id.clone(),
                found: found.clone(),
                expected: expected.clone(),
                others,
            });
        }
        differences.push(Difference::Removes(format!("certificate {found}")));
    }
    differences.push(Difference::Adds(format!("certificate {expected}")));
    Ok(())
}

/// Host names are the same in capitals too (RFC 4343).
fn has(aliases: &[String], alias: &str) -> bool {
    aliases.iter().any(|one| one.eq_ignore_ascii_case(alias))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adds(text) => write!(f, "+ {text}"),
            Self::Mends(text) => write!(f, "~ {text}"),
            Self::Removes(text) => write!(f, "- {text}"),
        }
    }
}
