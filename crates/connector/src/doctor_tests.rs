use serde_json::json;

use super::*;
use crate::grant::Grants;
use crate::manifest::console as rules;
use crate::manifest::console::Standing;
use crate::name::ClusterName;
use crate::plan::RoleRecord;
use crate::policy::trust_policy;
use crate::region::ConnectorRegion;

const ADMIN: &str = "arn:aws:iam::111122223333:role/Admin";

fn standing(grants: &[&str]) -> Vec<Standing> {
    let all = rules::manifests(&Grants::parse(grants).unwrap()).unwrap();
    all.iter()
        .map(|manifest| Standing {
            object: manifest.object().clone(),
            value: manifest.expose_value().clone(),
        })
        .collect()
}

fn pod(name: &str) -> PodFacts {
    PodFacts {
        pod: json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        logs: vec![("connector-proxy".into(), "all is well".into())],
    }
}

/// A cluster without a fault.
fn healthy() -> Facts {
    let registration = Registration {
        region: ConnectorRegion::parse("eu-central-1").unwrap(),
        account: "111122223333".into(),
        name: ClusterName::parse("prod").unwrap(),
    };
    let (key, value) = registration.role_tag();
    Facts {
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        caller: Some(ConsoleArn::parse(ADMIN).unwrap()),
        eks: Ok(Some(ClusterRecord {
            status: "ACTIVE".into(),
            connected: true,
            activation_id: Some("id".into()),
            ..ClusterRecord::default()
        })),
        service_linked_role: Ok(true),
        role: Ok(Some(RoleDetail {
            record: RoleRecord {
                arn: registration.role_arn(),
                tags: [(key.to_owned(), value)].into(),
            },
            trust: trust_policy(),
        })),
        policy: Ok(Some(agent_policy("aws"))),
        kubernetes: Ok(KubernetesFacts {
            installed: Installed::For(registration.cluster_arn()),
            activation: SecretState::Plausible,
            activation_id: Some("id".into()),
            console: standing(&[&format!("{ADMIN}=full")]),
            pods: vec![pod("eks-connector-0"), pod("eks-connector-1")],
            nodes: Ok(vec![
                json!({"metadata": {"labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}}}),
            ]),
        }),
        registration,
    }
}

fn faults(facts: &Facts) -> Vec<String> {
    let all = diagnose(facts);
    for finding in &all {
        assert_eq!(
            finding.help.is_none(),
            finding.verdict == Verdict::Good,
            "{finding:?}"
        );
        let same = all.iter().filter(|other| *other == finding).count();
        assert_eq!(same, 1, "{finding:?} is told twice");
    }
    all.into_iter()
        .filter(|finding| finding.verdict != Verdict::Good)
        .map(|finding| format!("{}: {}", finding.about, finding.found))
        .collect()
}

fn with(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = healthy();
    change(&mut facts);
    faults(&facts)
}

fn with_kubernetes(change: impl FnOnce(&mut KubernetesFacts)) -> Vec<String> {
    with(|facts| change(facts.kubernetes.as_mut().unwrap()))
}

#[track_caller]
fn one(faults: Vec<String>, text: &str) {
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains(text), "{faults:?}");
}

fn log(container: &str, text: &str) -> Vec<String> {
    with_kubernetes(|k| k.pods[0].logs = vec![(container.into(), format!("before\n{text}\nafter"))])
}

/// Both runs of both pods say the same.
#[test]
fn a_sign_in_many_logs_is_told_once() {
    let text = "x InvalidActivation y".to_owned();
    let logs = vec![("connector-init".to_owned(), text); 2];
    let faults = with_kubernetes(|k| k.pods.iter_mut().for_each(|pod| pod.logs.clone_from(&logs)));
    one(
        faults,
        "logs: eks-connector-0, eks-connector-1: connector-init: Systems Manager refuses",
    );
}

#[test]
fn a_healthy_cluster_has_no_fault() {
    assert_eq!(faults(&healthy()), [""; 0]);
}

#[test]
fn what_aws_says_is_understood() {
    let status = |status: &str, expiry: Option<&str>| {
        with(|facts| {
            let cluster = facts.eks.as_mut().unwrap().as_mut().unwrap();
            cluster.status = status.into();
            cluster.activation_expiry = expiry.map(|at| at.parse().unwrap());
        })
    };
    one(
        status("PENDING", Some("2026-11-25T00:00:00Z")),
        "the activation expires at 2026-11-25",
    );
    one(
        status("PENDING", Some("2026-11-21T00:00:00Z")),
        "expired at 2026-11-21",
    );
    one(status("PENDING", None), "no agent has connected");
    one(status("FAILED", None), "FAILED");
    one(with(|f| f.eks = Ok(None)), "EKS knows no cluster \"prod\"");
    one(
        with(|f| f.service_linked_role = Ok(false)),
        "does not exist",
    );
    one(with(|f| f.role = Ok(None)), "agent role: it does not exist");
    one(
        with(|f| f.role.as_mut().unwrap().as_mut().unwrap().trust = json!({})),
        "ssm.amazonaws.com",
    );
    one(with(|f| f.policy = Ok(None)), "is missing or was changed");
    one(
        with(|f| f.kubernetes = Err("unreachable".into())),
        "was not looked at",
    );
}

#[test]
fn what_the_pods_show_is_understood() {
    one(
        log("connector-init", "InvalidActivation: "),
        "refuses the activation",
    );
    one(
        log("connector-proxy", "E0101 Failed to process updates for x"),
        "a rotated key was not saved",
    );
    one(
        log("connector-agent", "InvalidSignatureException"),
        "a rotated key was lost",
    );
    one(
        log("connector-agent", "dial tcp: lookup ssm: no such host"),
        "DNS",
    );
    one(
        log("connector-agent", "dial tcp 1.2.3.4:443: i/o timeout"),
        "no answer",
    );
    one(
        log(
            "connector-init",
            "exec /var/eks/connector: exec format error",
        ),
        "another processor",
    );
    assert_eq!(
        log("connector-proxy", "InvalidActivation"),
        [""; 0],
        "not its container"
    );

    let waiting = |reason: &str| {
        with_kubernetes(|k| {
            k.pods[0].pod["status"] = json!({"initContainerStatuses": [{"name": "connector-init", "image": "r/c:1", "state": {"waiting": {"reason": reason}}}]});
        })
    };
    one(waiting("ImagePullBackOff"), "image r/c:1 cannot be pulled");
    one(
        waiting("CrashLoopBackOff"),
        "container connector-init does not run",
    );
    let unscheduled = with_kubernetes(|k| {
        k.pods[0].pod["status"] = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: untolerated taint"}]});
    });
    one(unscheduled, "finds no node");
    one(with_kubernetes(|k| k.pods.clear()), "there is none");
    one(
        with_kubernetes(|k| {
            k.nodes = Ok(vec![
                json!({"metadata": {"labels": {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}}}),
            ]);
        }),
        "none of 1 nodes",
    );
    one(
        with_kubernetes(|k| k.installed = Installed::For("arn:other".into())),
        "is connected as arn:other",
    );
    one(
        with_kubernetes(|k| k.activation_id = Some("old".into())),
        "another activation",
    );
    one(
        with_kubernetes(|k| k.activation = SecretState::TwiceEncoded),
        "encoded twice",
    );
}

#[test]
fn what_the_rules_say_is_understood() {
    let sso = "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_A_0123456789abcdef";
    let wrong = with_kubernetes(|k| {
        for standing in &mut k.console {
            let text = standing.value.to_string().replace(ADMIN, sso);
            standing.value = serde_json::from_str(&text).unwrap();
        }
    });
    assert!(
        wrong
            .iter()
            .any(|fault| fault.contains("is not what the console sends")),
        "{wrong:?}"
    );
    let anyone = with_kubernetes(|k| {
        for standing in &mut k.console {
            if standing.object.name == rules::IMPERSONATION
                && standing.object.kind == crate::manifest::Kind::ClusterRole
            {
                standing.value["rules"][0]["resourceNames"] = json!(null);
            }
        }
    });
    assert!(
        anyone
            .iter()
            .any(|fault| fault.contains("may impersonate every user")),
        "{anyone:?}"
    );
    let nobody = with(|f| {
        f.caller = None;
        f.kubernetes.as_mut().unwrap().console.clear();
    });
    one(nobody, "nobody may see the cluster");
    let other =
        with(|f| f.caller = Some(ConsoleArn::parse("arn:aws:iam::111122223333:user/me").unwrap()));
    one(other, "you (arn:aws:iam::111122223333:user/me) see nothing");
    let unbound = with_kubernetes(|k| k.console = standing(&[&format!("{ADMIN}=impersonate")]));
    one(unbound, "has no rights");
    let refused = log(
        "connector-proxy",
        "users \"arn:aws:iam::111122223333:role/Dev\" is forbidden: User \"system:serviceaccount:eks-connector:eks-connector\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
    );
    one(
        refused,
        "refused to impersonate arn:aws:iam::111122223333:role/Dev",
    );
    let list = log(
        "connector-proxy",
        "pods is forbidden: User \\\"arn:aws:iam::111122223333:role/Dev\\\" cannot list resource",
    );
    one(
        list,
        "arn:aws:iam::111122223333:role/Dev was refused to list",
    );
}

#[test]
fn a_secret_is_judged_without_showing_its_code() {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let of = |text: &str| secret_state(Some(&json!({"data": {"code": engine.encode(text)}})));
    assert_eq!(secret_state(None), SecretState::Absent);
    assert_eq!(secret_state(Some(&json!({"data": {}}))), SecretState::Empty);
    assert_eq!(
        secret_state(Some(&json!({"data": {"code": "%EKS_ACTIVATION_CODE%"}}))),
        SecretState::Empty
    );
    assert_eq!(of("short"), SecretState::NoCode);
    assert_eq!(of("a code with blanks inside"), SecretState::NoCode);
    assert_eq!(of("cN12345678901234567A"), SecretState::Plausible);
    assert_eq!(
        of(&engine.encode("cN12345678901234567A")),
        SecretState::TwiceEncoded
    );
}
