//! What the flags must become in each phase of an adoption: decided here, from values alone.
//!
//! Several API servers serve one cluster, and each must accept what any other signs, at every instant. So an issuer and
//! its keys are first accepted everywhere, and only then signed with anywhere: two passes over the control plane
//! instead of one.

use irsa_core::explain::Explain;
use irsa_core::issuer::{IssuerUrl, JwksUri};
use irsa_core::provider::STS_AUDIENCE;

use crate::flags::{Flag, FlagChange, TokenFlags};

/// A pass over the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Our issuer and keys are accepted; signing goes on as before.
    Accept,
    /// Our issuer and key sign; the old ones stay accepted.
    Sign,
    /// A cluster that does not exist yet: the final state at once.
    New,
    /// What was named for removal is no longer accepted.
    Retire,
}

/// What the operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The issuer.
    pub issuer: IssuerUrl,
    /// Where its JWKS is, when that is to be said in kube-apiserver's discovery document.
    pub jwks_uri: Option<JwksUri>,
    /// Verification keys, as kube-apiserver sees the files.
    pub key_files: Vec<String>,
    /// The signing key, as kube-apiserver sees the file.
    pub signing_key_file: Option<String>,
    /// Audiences to accept besides those in force.
    pub api_audiences: Vec<String>,
    /// Issuers to stop accepting, in [`Phase::Retire`] and [`Phase::New`].
    pub remove_issuers: Vec<String>,
    /// Key files to stop accepting, in [`Phase::Retire`] and [`Phase::New`].
    pub remove_key_files: Vec<String>,
}

/// Why the flags cannot become what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Signing before every API server accepts.
    #[error("{flag} does not have \"{missing}\": phase sign comes after phase accept")]
    NotAccepted {
        /// Which flag.
        flag: Flag,
        /// What it must have.
        missing: String,
    },
    /// An issuer with a comma in it.
    #[error(
        "--service-account-issuer is \"{0}\", which kube-apiserver takes for one issuer: it never splits at commas"
    )]
    CommaJoined(String),
    /// An issuer twice, empty, or several with blanks between them.
    #[error("--service-account-issuer \"{issuer}\" {fault}")]
    BadIssuer {
        /// What is written.
        issuer: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// An external signer.
    #[error(
        "--service-account-signing-endpoint is set: an external signer holds the keys, and the key flags exclude it"
    )]
    ExternalSigner,
    /// The audience of STS on the API server.
    #[error(
        "\"{STS_AUDIENCE}\" must not be in --api-audiences: pod tokens made for AWS could be used on the cluster"
    )]
    StsAudience,
    /// Removal of what signs.
    #[error("\"{0}\" is the issuer that signs, and cannot be removed")]
    SigningIssuer(String),
    /// Removal of the last of something.
    #[error("nothing would be left of {0}")]
    NothingLeft(Flag),
    /// No issuer at all.
    #[error("--service-account-issuer is not set, and kube-apiserver does not start without it")]
    NoIssuer,
}

impl Explain for PlanError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotAccepted { .. } => {
                "run it with --phase accept on every control-plane node first; --phase new is for a cluster that does not exist yet".into()
            }
            Self::CommaJoined(issuer) => format!(
                "write one --service-account-issuer for each of {}; the file was not changed",
                issuer.split(',').collect::<Vec<_>>().join(" and ")
            ),
            Self::BadIssuer { .. } => "write each issuer once, in a flag of its own; the file was not changed".into(),
            Self::ExternalSigner => "rotate and publish the keys where the signer keeps them".into(),
            Self::StsAudience => "leave it out: pods ask for this audience in their projected tokens, and only AWS must accept it".into(),
            Self::SigningIssuer(_) => "put another issuer first with --phase sign, and wait until its tokens are gone".into(),
            Self::NothingLeft(_) => "name fewer values to remove".into(),
            Self::NoIssuer => "write the issuer that is in force into the file first: kubectl get --raw /.well-known/openid-configuration shows it".into(),
        })
    }
}

/// The changes that bring kube-apiserver into a phase; empty when it is there.
///
/// Nothing that was not named for removal ever goes.
pub fn api_server(
    current: &TokenFlags,
    wanted: &Wanted,
    phase: Phase,
) -> Result<Vec<FlagChange>, PlanError> {
    if current.has(Flag::SigningEndpoint) {
        return Err(PlanError::ExternalSigner);
    }
    let issuers = current.values(Flag::Issuer);
    let goes = |issuer: &&String| phase == Phase::New && wanted.remove_issuers.contains(issuer);
    let staying: Vec<String> = issuers
        .iter()
        .filter(|issuer| !goes(issuer))
        .cloned()
        .collect();
    if let Some(joined) = staying.iter().find(|issuer| is_comma_joined(issuer)) {
        return Err(PlanError::CommaJoined(joined.clone()));
    }
    if let Some((issuer, fault)) = bad_issuer(&staying) {
        let issuer = issuer.to_owned();
        return Err(PlanError::BadIssuer { issuer, fault });
    }
    if issuers.is_empty() && phase != Phase::New {
        return Err(PlanError::NoIssuer);
    }
    if wanted
        .api_audiences
        .iter()
        // Every pod token made for AWS could be used on the cluster.
        .any(|audience| audience == STS_AUDIENCE)
    {
        return Err(PlanError::StsAudience);
    }
    let after = match phase {
        Phase::Accept => accept(current, wanted),
        Phase::Sign => sign(current, wanted)?,
        Phase::New => new(current, wanted),
        Phase::Retire => retire(current, wanted)?,
    };
    Ok(changes(current, &after))
}

/// The changes that bring kube-controller-manager into a phase. It signs the tokens of legacy Secrets, so it changes
/// its key with the API servers and not before.
pub fn controller_manager(current: &TokenFlags, wanted: &Wanted, phase: Phase) -> Vec<FlagChange> {
    let mut after = current.clone();
    if let (Phase::Sign | Phase::New, Some(path)) = (phase, &wanted.signing_key_file) {
        after.set(Flag::PrivateKeyFile, vec![path.clone()]);
    }
    changes(current, &after)
}

fn accept(current: &TokenFlags, wanted: &Wanted) -> TokenFlags {
    let mut after = current.clone();
    append(&mut after, Flag::Issuer, &[wanted.issuer.to_string()]);
    append(&mut after, Flag::KeyFile, &wanted.key_files);
    // The default follows the issuers: when the old issuer goes one day, its audience would go with it in silence.
    let mut audiences = Vec::new();
    add_missing(&mut audiences, current.audiences());
    if !current.has(Flag::ApiAudiences) {
        add_missing(&mut audiences, &[wanted.issuer.to_string()]);
    }
    add_missing(&mut audiences, &wanted.api_audiences);
    after.set(Flag::ApiAudiences, audiences);
    after
}

fn sign(current: &TokenFlags, wanted: &Wanted) -> Result<TokenFlags, PlanError> {
    let issuer = wanted.issuer.to_string();
    require(current, Flag::Issuer, &issuer)?;
    for path in &wanted.key_files {
        require(current, Flag::KeyFile, path)?;
    }
    let mut after = current.clone();
    if !current.has(Flag::ApiAudiences) && current.values(Flag::Issuer).len() > 1 {
        return Err(PlanError::NotAccepted {
            flag: Flag::ApiAudiences,
            missing: current.audiences().join(","),
        });
    }
    after.set(Flag::Issuer, first(current.values(Flag::Issuer), &issuer));
    set_signing(&mut after, wanted);
    Ok(after)
}

fn new(current: &TokenFlags, wanted: &Wanted) -> TokenFlags {
    let mut after = current.clone();
    // What the distribution would set by itself is no token's issuer yet: the reader passes only what is written.
    let kept = |flag, gone: &[String]| -> Vec<String> {
        let values = current.values(flag).iter();
        values
            .filter(|value| !gone.contains(value))
            .cloned()
            .collect()
    };
    let others = kept(Flag::Issuer, &wanted.remove_issuers);
    after.set(Flag::Issuer, first(&others, &wanted.issuer.to_string()));
    after.set(Flag::KeyFile, kept(Flag::KeyFile, &wanted.remove_key_files));
    append(&mut after, Flag::KeyFile, &wanted.key_files);
    append(&mut after, Flag::ApiAudiences, &wanted.api_audiences);
    set_signing(&mut after, wanted);
    after
}

fn retire(current: &TokenFlags, wanted: &Wanted) -> Result<TokenFlags, PlanError> {
    let mut after = current.clone();
    if let Some(signing) = current.values(Flag::Issuer).first()
        && wanted.remove_issuers.contains(signing)
    {
        return Err(PlanError::SigningIssuer(signing.clone()));
    }
    if !wanted.remove_issuers.is_empty() && !current.has(Flag::ApiAudiences) {
        after.set(Flag::ApiAudiences, current.audiences().to_vec());
    }
    for (flag, names) in [
        (Flag::Issuer, &wanted.remove_issuers),
        (Flag::KeyFile, &wanted.remove_key_files),
    ] {
        if names.is_empty() {
            continue;
        }
        let left: Vec<_> = current
            .values(flag)
            .iter()
            .filter(|value| !names.contains(value))
            .cloned()
            .collect();
        if left.is_empty() {
            return Err(PlanError::NothingLeft(flag));
        }
        after.set(flag, left);
    }
    Ok(after)
}

fn set_signing(after: &mut TokenFlags, wanted: &Wanted) {
    if let Some(path) = &wanted.signing_key_file {
        after.set(Flag::SigningKeyFile, vec![path.clone()]);
    }
    if let Some(uri) = &wanted.jwks_uri {
        after.set(Flag::JwksUri, vec![uri.to_string()]);
    }
}

fn require(current: &TokenFlags, flag: Flag, value: &str) -> Result<(), PlanError> {
    if current.values(flag).iter().any(|have| have == value) {
        return Ok(());
    }
    Err(PlanError::NotAccepted {
        flag,
        missing: value.to_owned(),
    })
}

fn append(flags: &mut TokenFlags, flag: Flag, values: &[String]) {
    let mut all = flags.values(flag).to_vec();
    add_missing(&mut all, values);
    if !all.is_empty() {
        flags.set(flag, all);
    }
}

fn add_missing(all: &mut Vec<String>, values: &[String]) {
    for value in values {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
}

fn first(values: &[String], value: &str) -> Vec<String> {
    let others = values.iter().filter(|other| *other != value).cloned();
    std::iter::once(value.to_owned()).chain(others).collect()
}

fn changes(before: &TokenFlags, after: &TokenFlags) -> Vec<FlagChange> {
    Flag::ALL
        .into_iter()
        .filter(|flag| before.values(*flag) != after.values(*flag))
        .map(|flag| FlagChange {
            flag,
            before: before.values(flag).to_vec(),
            after: after.values(flag).to_vec(),
        })
        .collect()
}

/// The first issuer that kube-apiserver would not start with, or that nobody can have meant.
pub fn bad_issuer(issuers: &[String]) -> Option<(&str, &'static str)> {
    let mut before: Vec<&str> = Vec::new();
    for issuer in issuers {
        let fault = if issuer.is_empty() {
            Some("is empty")
        } else if issuer.contains(char::is_whitespace) {
            Some("has a blank in it: one flag holds one issuer")
        } else if before.contains(&issuer.as_str()) {
            Some("is given twice, and kube-apiserver does not start with that")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Some((issuer, fault));
        }
        before.push(issuer);
    }
    None
}

/// Whether somebody joined two issuers with a comma, as EKS Anywhere does. A single issuer may well have one in it.
pub fn is_comma_joined(issuer: &str) -> bool {
    let mut parts = issuer.split(',').skip(1).peekable();
    parts.peek().is_some() && parts.any(|part| part.contains("://"))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
