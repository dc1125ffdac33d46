//! Writes a role onto a service account: the annotation that the webhook reads, and the account itself if it is missing.

use std::collections::BTreeMap;
use std::fmt;

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use irsa_core::token::claims::ServiceAccount;
use k8s_openapi::api::core::v1::ServiceAccount as Account;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::live::status;
use crate::unquoted;

/// Whose fields these are (server-side apply); of its own, so that no other command of ours takes them back.
const MANAGER: &str = "irsa-role";

/// Why the annotation cannot be written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// The API server refuses or does not answer.
    #[error("{verb} service account \"{account}\" failed")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Which.
        account: ServiceAccount,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// It has another role, which its pods would lose.
    #[error("service account \"{account}\" has the role \"{found}\" in {key}, expected \"{role}\"")]
    OtherRole {
        /// Which.
        account: ServiceAccount,
        /// The annotation.
        key: String,
        /// The role that it has.
        found: String,
        /// The role that it was to get.
        role: String,
    },
}

impl Explain for AnnotateError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::OtherRole { .. } => {
                "--reassign gives its pods this role from their next start on".into()
            }
            Self::Api {
                account, source, ..
            } => {
                let namespace = account.namespace();
                match status(source) {
                    Some(403) => format!(
                        "kubectl auth can-i patch serviceaccounts -n {namespace} shows whether you may; it needs get, create and patch"
                    ),
                    Some(404) => format!("make its namespace first: kubectl create namespace {namespace}"),
                    Some(409) => "another tool wrote the annotation meanwhile: look who, then run the same command again; --reassign takes it over".into(),
                    _ => "see that kubectl reaches the same cluster, and run the same command again".into(),
                }
            }
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Api { source, .. } => is_passing(status(source)),
            Self::OtherRole { .. } => false,
        }
    }
}

/// What is to be done with a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verb {
    Create,
    Annotate,
    /// It has another role.
    Reassign(String),
    Keep,
}

/// One intended write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    account: ServiceAccount,
    key: String,
    role: String,
    verb: Verb,
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account, key, role, ..
        } = self;
        match &self.verb {
            Verb::Create => write!(f, "make service account {account} with {key}={role}"),
            Verb::Reassign(found) if !found.is_empty() => write!(
                f,
                "annotate service account {account} with {key}={role} in place of {found:?}"
            ),
            Verb::Annotate | Verb::Reassign(_) => {
                write!(f, "annotate service account {account} with {key}={role}")
            }
            Verb::Keep => write!(f, "service account {account} has {key}={role}"),
        }
    }
}

/// Reads the service account, and says what it lacks. Another role is taken away from it only with `reassign`.
///
/// `key` is the whole name of the annotation, like `eks.amazonaws.com/role-arn`.
pub async fn plan(
    client: &Client,
    account: &ServiceAccount,
    key: &str,
    role: &str,
    reassign: bool,
) -> Result<Annotation, AnnotateError> {
    let found = api(client, account).get_metadata_opt(account.name()).await;
    let found = found.map_err(failed("reading", account))?;
    let annotations = found.map(|found| found.metadata.annotations.unwrap_or_default());
    decide(account, key, role, annotations.as_ref(), reassign)
}

/// The annotations are those of an account that exists.
fn decide(
    account: &ServiceAccount,
    key: &str,
    role: &str,
    annotations: Option<&BTreeMap<String, String>>,
    reassign: bool,
) -> Result<Annotation, AnnotateError> {
    let verb = match annotations.map(|all| all.get(key)) {
        None => Verb::Create,
        Some(None) => Verb::Annotate,
        Some(Some(found)) if found == role => Verb::Keep,
        // The webhook takes an empty one as none.
        Some(Some(found)) if found.is_empty() || reassign => Verb::Reassign(found.clone()),
        Some(Some(found)) => {
            return Err(AnnotateError::OtherRole {
                account: account.clone(),
                key: key.to_owned(),
                found: found.clone(),
                role: role.to_owned(),
            });
        }
    };
    Ok(Annotation {
        account: account.clone(),
        key: key.to_owned(),
        role: role.to_owned(),
        verb,
    })
}

impl Annotation {
    /// Whether there is anything to write.
    pub fn is_needed(&self) -> bool {
        self.verb != Verb::Keep
    }

    /// Has the API server check the write, with rights and admission, and does nothing.
    pub async fn rehearse(&self, client: &Client) -> Result<(), AnnotateError> {
        self.write(client, self.parameters().dry_run(), "trying to annotate")
            .await
    }

    /// Writes it. Somebody else's value that was not there before is a conflict, and stays.
    pub async fn apply(&self, client: &Client) -> Result<(), AnnotateError> {
        self.write(client, self.parameters(), "annotating").await
    }

    fn parameters(&self) -> PatchParams {
        let parameters = PatchParams::apply(MANAGER);
        match self.verb {
            Verb::Reassign(_) => parameters.force(),
            Verb::Create | Verb::Annotate | Verb::Keep => parameters,
        }
    }

    async fn write(
        &self,
        client: &Client,
        parameters: PatchParams,
        verb: &'static str,
    ) -> Result<(), AnnotateError> {
        if !self.is_needed() {
            return Ok(());
        }
        let name = self.account.name();
        api(client, &self.account)
            .patch_metadata(name, &parameters, &Patch::Apply(self.object()))
            .await
            .map(drop)
            .map_err(failed(verb, &self.account))
    }

    fn object(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "namespace": self.account.namespace(),
                "name": self.account.name(),
                "annotations": {&self.key: &self.role},
            },
        })
    }
}

fn api(client: &Client, account: &ServiceAccount) -> Api<Account> {
    Api::namespaced(client.clone(), account.namespace())
}

fn failed(
    verb: &'static str,
    account: &ServiceAccount,
) -> impl FnOnce(kube::Error) -> AnnotateError {
    let account = account.clone();
    move |source| AnnotateError::Api {
        verb,
        account,
        source: Box::new(unquoted::of_cluster(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "eks.amazonaws.com/role-arn";
    const ROLE: &str = "arn:aws:iam::111122223333:role/app";

    fn decided(
        annotations: Option<&[(&str, &str)]>,
        reassign: bool,
    ) -> Result<Verb, AnnotateError> {
        let account = ServiceAccount::parse("demo/app").unwrap();
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let annotations = annotations.map(|all| all.iter().map(owned).collect());
        decide(&account, KEY, ROLE, annotations.as_ref(), reassign).map(|plan| plan.verb)
    }

    #[test]
    fn another_role_is_taken_away_only_when_told() {
        assert_eq!(decided(None, false).unwrap(), Verb::Create);
        assert_eq!(
            decided(Some(&[("other", ROLE)]), false).unwrap(),
            Verb::Annotate
        );
        assert_eq!(decided(Some(&[(KEY, ROLE)]), false).unwrap(), Verb::Keep);
        let empty = Verb::Reassign(String::new());
        assert_eq!(decided(Some(&[(KEY, "")]), false).unwrap(), empty);
        let refused = decided(Some(&[(KEY, "other")]), false).unwrap_err();
        assert!(matches!(refused, AnnotateError::OtherRole { .. }));
        let other = Verb::Reassign("other".to_owned());
        assert_eq!(decided(Some(&[(KEY, "other")]), true).unwrap(), other);
    }
}
