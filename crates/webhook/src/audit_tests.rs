use serde_json::json;

use super::*;

const R: &str = "arn:aws:iam::111122223333:role/reader";

fn accounts() -> Accounts {
    let identity =
        Identity::from_annotations("eks.amazonaws.com", [("eks.amazonaws.com/role-arn", R)]);
    [
        (("ns".to_owned(), "reader".to_owned()), identity),
        (("ns".to_owned(), "bare".to_owned()), Identity::default()),
    ]
    .into()
}

fn pod(account: &str, more: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web-5d4f-x", "namespace": "ns", "labels": {"pod-template-hash": "5d4f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]},
        "spec": {"serviceAccountName": account, "containers": [{"name": "main"}]},
    });
    json_patch::merge(&mut pod, &more);
    pod
}

fn looked(pod: &Value) -> Option<Finding> {
    look(&Settings::default(), &accounts(), &Sources::default(), pod)
}

/// The ConfigMap and the file give roles too; whoever has an agent is not asked for a role.
#[test]
fn roles_of_the_config_map_and_of_the_file_count() {
    let sources = Sources {
        mappings: Mappings::parse(&format!(r#"{{"n*/bare":{{"RoleARN":"{R}"}}}}"#)).unwrap(),
        associations: Associations::parse(
            br#"{"identities":[{"namespace":"ns","serviceAccount":"reader"}]}"#,
        )
        .unwrap(),
    };
    let looked = |pod| look(&Settings::default(), &accounts(), &sources, &pod);
    let finding = looked(pod("bare", json!({}))).unwrap();
    assert_eq!(
        (finding.role.as_str(), finding.sentence().as_str()),
        (R, "not injected: main")
    );
    let finding = looked(pod("reader", json!({}))).unwrap();
    assert_eq!(finding.role, "http://169.254.170.23/v1/credentials");
    let agents = json!({"spec": {"containers": [{"name": "main",
        "env": [{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "x"},
            {"name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value": "x"}],
        "volumeMounts": [{"name": "eks-pod-identity-token", "mountPath": "/x"}]}]}});
    assert_eq!(looked(pod("reader", agents)), None);
}

fn injected(role: &str) -> Value {
    let token = json!({"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}});
    pod(
        "reader",
        json!({"spec": {
            "volumes": [{"name": "aws-iam-token", "projected": {"sources": [token]}}],
            "containers": [{"name": "main",
                "env": [{"name": "AWS_ROLE_ARN", "value": role},
                    {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/t"}],
                "volumeMounts": [{"name": "aws-iam-token", "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"}]}],
        }}),
    )
}

#[test]
fn pods_without_the_injection_are_found_with_their_owner_and_the_way_out() {
    let finding = looked(&pod("reader", json!({}))).unwrap();
    assert_eq!(finding.fault, Fault::Missing(vec!["main".into()]));
    assert_eq!(finding.owner, "Deployment/web");
    assert_eq!(
        finding.fix(),
        "kubectl -n ns rollout restart deployment/web"
    );
    let alone = pod(
        "reader",
        json!({"metadata": {"ownerReferences": null, "labels": null}}),
    );
    assert!(
        looked(&alone)
            .unwrap()
            .fix()
            .contains("make pod web-5d4f-x again")
    );
    let job = json!({"metadata": {"labels": null, "ownerReferences": [{"kind": "Job", "name": "j", "controller": true}]}});
    assert_eq!(
        looked(&pod("reader", job)).unwrap().fix(),
        "kubectl -n ns delete pod web-5d4f-x"
    );
}

#[test]
fn pods_that_are_as_they_should_be_are_not_found() {
    assert_eq!(looked(&pod("bare", json!({}))), None);
    assert_eq!(looked(&pod("unknown", json!({}))), None);
    assert_eq!(looked(&injected(R)), None);
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
    assert_eq!(looked(&pod("reader", mirror)), None);
    let own = json!({"metadata": {"annotations": {"eks.amazonaws.com/skip-containers": "main"}}});
    assert_eq!(looked(&pod("reader", own)), None);
}

#[test]
fn another_role_a_label_and_a_volume_are_told_apart() {
    let finding = looked(&injected("arn:aws:iam::111122223333:role/old")).unwrap();
    assert!(
        matches!(&finding.fault, Fault::OtherRole { role: Some(role), .. } if role.ends_with("/old"))
    );
    // Whatever else somebody put into the variable is not shown.
    let finding = looked(&injected("s3cr3t")).unwrap();
    assert!(!format!("{finding:?} {}", finding.sentence()).contains("s3cr3t"));
    assert!(
        finding.sentence().contains("no ARN"),
        "{}",
        finding.sentence()
    );
    let skip = json!({"metadata": {"labels": {"eks.amazonaws.com/skip-pod-identity-webhook": ""}}});
    assert_eq!(looked(&pod("reader", skip)).unwrap().fault, Fault::Skipped);
    let volume = json!({"spec": {"volumes": [{"name": "aws-iam-token", "emptyDir": {}}]}});
    assert!(matches!(
        looked(&pod("reader", volume)).unwrap().fault,
        Fault::Refused(_)
    ));
}
