//! The cluster: the service account's annotations, the webhook, pods without their role.

use super::facts::{AccountSeen, WebhookSeen};
use super::{Check, Diagnosis, Seen, Verdict};

/// More lines of one kind than this tell nobody more.
const MOST_PODS: usize = 20;
/// What kube2iam and kiam look at, and irsa does not.
const LEGACY_PREFIX: &str = "iam.amazonaws.com/";

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    match &facts.account {
        Seen::Found(seen) => account(diagnosis, seen),
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("service-account", unseen)),
    }
    match &facts.webhook {
        Seen::Found(seen) => webhook(diagnosis, seen),
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("webhook", unseen)),
    }
}

fn account(diagnosis: &mut Diagnosis<'_>, seen: &AccountSeen) {
    let id = "service-account";
    let name = seen.account.to_string();
    let (namespace, account) = (seen.account.namespace(), seen.account.name());
    let Some(annotations) = &seen.annotations else {
        diagnosis.push(
            Check::failure(id, name, "the service account does not exist").help(format!(
                "kubectl -n {namespace} create serviceaccount {account}"
            )),
        );
        return;
    };
    let key = format!("{}/role-arn", seen.prefix);
    let given = diagnosis.facts.role.found().map(|role| role.arn.as_str());
    let annotate = |arn: &str| {
        format!("kubectl -n {namespace} annotate --overwrite serviceaccount {account} {key}={arn}")
    };
    let example = given.unwrap_or("arn:aws:iam::111122223333:role/NAME");
    let check = match annotations.get(&key) {
        None => Check::failure(id, &name, format!("it has no annotation {key}"))
            .why("without it the webhook leaves its pods alone, and they use the node's role")
            .help(annotate(example)),
        Some(arn) if !is_role_arn(arn) => {
            Check::failure(id, &name, format!("{key} is no ARN of a role"))
                .strings(arn, example)
                .help(annotate(example))
        }
        Some(arn) if given.is_some_and(|given| given != arn) => {
            Check::failure(id, &name, "its role is not the one that was named")
                .strings(arn, example)
                .help(annotate(example))
        }
        Some(arn) => Check::ok(id, &name, format!("has role {arn}")),
    };
    diagnosis.push(check);
    legacy(diagnosis, seen, &name);
}

/// Annotations of the tools that came before.
fn legacy(diagnosis: &mut Diagnosis<'_>, seen: &AccountSeen, name: &str) {
    let of_account = seen
        .annotations
        .iter()
        .flatten()
        .map(|(key, _)| (name, key));
    let of_namespace = seen
        .namespace
        .keys()
        .map(|key| (seen.account.namespace(), key));
    for (subject, key) in of_account.chain(of_namespace) {
        if key.starts_with(LEGACY_PREFIX) {
            let message = format!("has the annotation {key} of kube2iam or kiam");
            diagnosis.push(
                Check::warning("annotations", subject, message)
                    .why("irsa does not look at it; the old agent may still answer pods, with its own role")
                    .help(format!("take it out when the old agent is gone: kubectl annotate … {key}-")),
            );
        }
    }
}

/// `arn:PARTITION:iam::ACCOUNT:role/NAME`.
fn is_role_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    match fields.as_slice() {
        ["arn", partition, "iam", "", account, resource] => {
            !partition.is_empty()
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource
                    .strip_prefix("role/")
                    .is_some_and(|name| !name.is_empty())
        }
        _ => false,
    }
}

fn webhook(diagnosis: &mut Diagnosis<'_>, seen: &WebhookSeen) {
    let id = "webhook";
    let check = if seen.registrations.is_empty() {
        Check::warning(id, "", "no pod identity webhook is registered")
            .why("pods get neither role nor token, unless their manifests have them by hand")
            .help("irsa webhook install")
    } else {
        Check::ok(
            id,
            seen.registrations.join(" "),
            "the pod identity webhook is registered",
        )
    };
    diagnosis.push(check);
    for problem in &seen.problems {
        let check = Check::warning(id, seen.registrations.join(" "), problem);
        diagnosis.push(check.help("irsa webhook status says more"));
    }
    pods(diagnosis, seen);
}

fn pods(diagnosis: &mut Diagnosis<'_>, seen: &WebhookSeen) {
    let id = "pods";
    let list = match &seen.pods {
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen(id, unseen));
            return;
        }
        Seen::Found(list) => list,
    };
    if list.is_empty() {
        let message = "every pod has the role of its service account";
        diagnosis.push(Check::ok(id, "", message));
    }
    for (pod, fault, help) in list.iter().take(MOST_PODS) {
        let check = Check::new(Verdict::Warning, id, pod, fault);
        diagnosis.push(
            check
                .why("its containers use the node's role, or none")
                .help(help),
        );
    }
    if list.len() > MOST_PODS {
        let message = format!("{} more pods without their role", list.len() - MOST_PODS);
        diagnosis.push(Check::warning(id, "", message).help("irsa webhook audit lists them"));
    }
}
