//! Questions about who may see the cluster.

use std::collections::BTreeSet;

use super::{Facts, Finding, KubernetesFacts};
use crate::grant::{Access, Grants};
use crate::json::at;
use crate::manifest::Kind;
use crate::manifest::console::{self, IMPERSONATION};
use crate::principal::ConsoleArn;

pub(super) fn diagnose(facts: &Facts, kubernetes: &KubernetesFacts) -> Vec<Finding> {
    const ABOUT: &str = "grants";
    let mut findings = Vec::new();
    let role = kubernetes
        .console
        .iter()
        .find(|standing| {
            standing.object.kind == Kind::ClusterRole && standing.object.name == IMPERSONATION
        })
        .map(|standing| &standing.value);
    if role.is_some_and(console::impersonates_anyone) {
        findings.push(Finding::bad(
            ABOUT,
            format!("ClusterRole {IMPERSONATION} has a rule without names: the connector may impersonate every user"),
            "irsa connector grant ARN=full writes the rule anew",
        ));
    }
    let grants = match console::read(&kubernetes.console) {
        Ok(grants) => grants,
        Err(error) => {
            findings.push(Finding::doubtful(
                ABOUT,
                error.to_string(),
                irsa_core::explain::Explain::help(&error).unwrap_or_default(),
            ));
            return findings;
        }
    };
    let impersonated: Vec<&str> = role
        .and_then(|role| at(role, &["rules"]).as_array())
        .into_iter()
        .flatten()
        .filter_map(|rule| at(rule, &["resourceNames"]).as_array())
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    findings.extend(forms(&impersonated));
    findings.extend(each(&grants, &impersonated));
    findings.extend(asker(facts, &grants));
    findings.extend(refused(kubernetes));
    findings
}

/// Names that the console never sends.
fn forms(impersonated: &[&str]) -> Vec<Finding> {
    let wrong = impersonated.iter().filter_map(|name| {
        let form = ConsoleArn::parse(name).ok()?;
        (form.as_str() != *name).then(|| {
            Finding::bad(
                "grants",
                format!(
                    "\"{name}\" is not what the console sends: roles come without path and session"
                ),
                format!("irsa connector grant {form}=full"),
            )
        })
    });
    wrong.collect()
}

fn each(grants: &Grants, impersonated: &[&str]) -> Vec<Finding> {
    const ABOUT: &str = "grants";
    if grants.is_empty() {
        return vec![Finding::bad(
            ABOUT,
            "nobody may see the cluster",
            "irsa connector grant ARN=full",
        )];
    }
    let mut findings = Vec::new();
    for (arn, access) in grants.iter() {
        if !impersonated
            .iter()
            .any(|name| ConsoleArn::parse(name).as_ref() == Ok(arn))
        {
            findings.push(Finding::bad(
                ABOUT,
                format!("{arn} has rights, but the connector may not impersonate it"),
                format!("irsa connector grant {arn}={}", grantable(access)),
            ));
        } else if *access == Access::Impersonate {
            findings.push(Finding::doubtful(
                ABOUT,
                format!("{arn} can be impersonated, and has no rights of the console's"),
                format!("irsa connector grant {arn}=full, unless its rights are bound elsewhere"),
            ));
        } else {
            findings.push(Finding::good(ABOUT, format!("{arn} {access}")));
        }
    }
    findings
}

fn grantable(access: &Access) -> String {
    match access {
        Access::Namespaces(all) if all.is_empty() => "full".into(),
        access => access.to_string(),
    }
}

fn asker(facts: &Facts, grants: &Grants) -> Option<Finding> {
    let caller = facts.caller.as_ref()?;
    let granted = grants.principals().any(|arn| arn == caller);
    (!granted).then(|| {
        Finding::doubtful(
            "grants",
            format!("you ({caller}) see nothing of the cluster in the console"),
            format!("irsa connector grant {caller}=full"),
        )
    })
}

/// Refusals that stand in the proxy's logs: who was refused is read from them, and nothing else.
fn refused(kubernetes: &KubernetesFacts) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let lines = kubernetes
        .pods
        .iter()
        .flat_map(|pod| &pod.logs)
        .flat_map(|(_, log)| log.lines());
    for line in lines.filter(|line| line.contains("forbidden")) {
        let impersonation = line.contains("cannot impersonate resource \"users\"");
        let quoted = line
            .split(['"', '\\'])
            .find_map(|part| ConsoleArn::parse(part).ok());
        if let Some(arn) = quoted
            && (impersonation || line.contains("cannot list") || line.contains("cannot get"))
        {
            seen.insert((arn, impersonation));
        }
    }
    seen.into_iter()
        .map(|(arn, impersonation)| {
            let found = if impersonation {
                format!("the connector was refused to impersonate {arn}")
            } else {
                format!("{arn} was refused to list something")
            };
            Finding::bad("logs", found, format!("irsa connector grant {arn}=full"))
        })
        .collect()
}
