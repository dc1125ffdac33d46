use serde_json::Value;

use crate::util::{Home, Irsa};

const ROLE: &str = "arn:aws:iam::111122223333:role/reader";

const ACCOUNTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: reader
  namespace: demo
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/reader
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: demo}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: pod-identity-webhook, namespace: kube-system}
  data: {config: '{"demo/mapped-*":{"RoleARN":"arn:aws:iam::111122223333:role/mapped"}}'}
"#;

const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: demo}
spec:
  serviceAccountName: reader
  containers:
  - {name: main, image: app}
  - {name: side, image: app, env: [{name: AWS_ROLE_ARN, value: secret-value-of-mine}]}
";

fn review<'a>(home: &'a Home, args: &[&str]) -> Irsa<'a> {
    home.write("accounts.yaml", ACCOUNTS);
    home.irsa(
        &[
            &["webhook", "review", "--service-accounts", "accounts.yaml"],
            args,
        ]
        .concat(),
    )
}

#[test]
fn a_pod_is_explained() {
    let home = Home::new();
    home.write("pod.yaml", POD);
    let ran = review(&home, &["pod.yaml", "--aws-default-region", "eu-central-1"]).ok();
    insta::assert_snapshot!(ran.stdout, @r#"
    Pod app
      service account demo/reader
      role arn:aws:iam::111122223333:role/reader (from the service account's annotation eks.amazonaws.com/role-arn)
      token for "sts.amazonaws.com", 86400 s (from the webhook's default), at /var/run/secrets/eks.amazonaws.com/serviceaccount
      container "main" gets AWS_DEFAULT_REGION, AWS_REGION, AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, the token
      container "side" gets AWS_DEFAULT_REGION, AWS_REGION, the token
      warning: container "side" sets a part of the AWS credentials variables itself, so AWS_WEB_IDENTITY_TOKEN_FILE is not injected
    "#);
    assert!(!ran.stdout.contains("secret-value-of-mine"));
    let json = review(&home, &["pod.yaml", "-o", "json"]).ok().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["role"], ROLE);
    assert_eq!(json[0]["patch"][0]["path"], "/spec/volumes");
    assert!(!json.to_string().contains("secret-value-of-mine"));
}

#[test]
fn workloads_are_pods_to_come() {
    let home = Home::new();
    let deployment = "kind: Deployment\nmetadata: {name: web, namespace: demo}\nspec: {template: {spec: {serviceAccount: mapped-1, containers: [{name: c}]}}}\n";
    let cron = "kind: CronJob\nmetadata: {name: night}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c}]}}}}}\n";
    home.write(
        "all.yaml",
        format!("{deployment}---\n# nothing\n---\n{cron}---\nkind: Service\n"),
    );
    let ran = review(&home, &["all.yaml", "--namespace", "demo"]).ok();
    insta::assert_snapshot!(ran.stdout, @r#"
    Deployment web
      service account demo/mapped-1
      role arn:aws:iam::111122223333:role/mapped (from the ConfigMap's entry "demo/mapped-*")
      token for "sts.amazonaws.com", 86400 s (from the webhook's default), at /var/run/secrets/eks.amazonaws.com/serviceaccount
      container "c" gets AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE, the token

    CronJob night
      service account demo/default
      nothing is injected: the service account has no annotation eks.amazonaws.com/role-arn
    "#);
}

/// The container credentials file decides before the annotation does, by flag and by the configuration file.
#[test]
fn a_pod_with_an_agent_is_explained() {
    let home = Home::new();
    home.write("pod.yaml", POD);
    let file = r#"{"identities":[{"namespace":"demo","serviceAccount":"reader"}]}"#;
    home.write("etc/identities.json", file);
    let flag = "--watch-container-credentials-config=etc/identities.json";
    let ran = review(&home, &["pod.yaml", flag]).ok();
    insta::assert_snapshot!(ran.stdout, @r#"
    Pod app
      service account demo/reader
      credentials from the agent at http://169.254.170.23/v1/credentials (from the container credentials file)
      token for "pods.eks.amazonaws.com", 79200 s (from the webhook's default), at /var/run/secrets/pods.eks.amazonaws.com/serviceaccount
      container "main" gets AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, the token
      container "side" gets AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, the token
    "#);
    let section = "webhook: {watch_container_credentials_config: identities.json}";
    home.write("etc/irsa.yaml", section);
    let same = review(&home, &["pod.yaml", "--config", "etc/irsa.yaml"]).ok();
    assert_eq!(same.stdout, ran.stdout);
    home.write("etc/identities.json", "{\"identities\":1}");
    let refused = review(&home, &["pod.yaml", flag]).code(2).stderr;
    assert!(refused.contains("etc/identities.json"), "{refused}");
    let refused = review(
        &home,
        &["pod.yaml", "--watch-container-credentials-config=none"],
    );
    assert!(refused.code(2).stderr.contains("none"));
}

#[test]
fn a_review_is_answered_as_the_api_server_would_get_it() {
    let home = Home::new();
    let request = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","namespace":"demo",
        "operation":"CREATE","object":{"spec":{"serviceAccountName":"reader","containers":[{"name":"c"}]}}}}"#;
    let ran = review(&home, &["-", "-o", "json"]).stdin(request).ok();
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(json["response"]["uid"], "u1");
    assert_eq!(json["response"]["patchType"], "JSONPatch");
    let text = review(&home, &["-"]).stdin(request).ok().stdout;
    assert!(text.contains(ROLE), "{text}");
    let update = request.replace("CREATE", "UPDATE");
    let text = review(&home, &["-"]).stdin(update).ok().stdout;
    assert!(text.contains("does not create a pod"), "{text}");
}

#[test]
fn a_pod_that_requires_its_role_is_denied_without() {
    let home = Home::new();
    let pod = POD
        .replace("serviceAccountName: reader", "serviceAccountName: default")
        .replace(
            "{name: app, ",
            "{name: app, labels: {irsa/require-role: 'true'}, ",
        );
    home.write("pod.yaml", &pod);
    let text = review(&home, &["pod.yaml"]).ok().stdout;
    assert!(text.contains("denied: "), "{text}");
    // There the API server asks without demand.
    home.write(
        "pod.yaml",
        pod.replace("namespace: demo", "namespace: kube-system"),
    );
    let text = review(&home, &["pod.yaml"]).ok().stdout;
    assert!(!text.contains("denied: "), "{text}");
}

#[test]
fn what_cannot_be_read_is_refused_with_the_next_step() {
    let home = Home::new();
    home.write("pod.yaml", POD);
    home.write("bad.yaml", "a: [");
    home.write("service.yaml", "kind: Service");
    home.write(
        "number.yaml",
        "kind: ServiceAccount\nmetadata: {name: a, annotations: {x: 1}}",
    );
    home.write(
        "odd.yaml",
        "kind: Pod\nmetadata: {name: o}\nspec: {containers: 1}",
    );
    home.write(
        "deep.yaml",
        "kind: Pod\nmetadata: {name: d, annotations: {x: 'a\"b,[{'}}\nspec:\n  containers:\n  - {name: c, args: [a, b]}\n  - {name: d, env: x}\n",
    );
    home.write(
        "label.yaml",
        "kind: Pod\nmetadata: {name: l, labels: {app-1: 5}}\n",
    );
    for (args, text) in [
        (&["missing.yaml"][..], "missing.yaml"),
        (&["bad.yaml"], "neither JSON nor YAML"),
        (&["service.yaml"], "neither an AdmissionReview nor"),
        (
            &["odd.yaml"],
            "Pod o is not a pod: /spec/containers: expected a sequence",
        ),
        (
            &["deep.yaml"],
            "Pod d is not a pod: /spec/containers/1/env: expected a sequence",
        ),
        (
            &["label.yaml"],
            "Pod l is not a pod: /metadata/labels: expected a string",
        ),
        (&["pod.yaml", "--compose-role-arn"], "--account-id"),
        (
            &["pod.yaml", "--compose-role-arn", "--account-id", "1"],
            "twelve digits",
        ),
        (
            &["pod.yaml", "--token-expiration", "1h"],
            "--token-expiration",
        ),
    ] {
        let stderr = review(&home, args).code(2).stderr;
        assert!(stderr.contains(text), "{args:?}: {stderr}");
    }
    let args = [
        "webhook",
        "review",
        "--service-accounts",
        "number.yaml",
        "pod.yaml",
    ];
    let stderr = home.irsa(&args).code(2).stderr;
    assert!(stderr.contains("quotation marks"), "{stderr}");
}

/// Reviews that real API servers sent.
#[test]
fn real_reviews_are_answered() {
    let home = Home::new();
    let accounts = ACCOUNTS.replace("name: reader", "name: app");
    home.write("app.yaml", accounts);
    for (name, injected) in [
        ("create-v1", true),
        ("create-dry-run-v1", true),
        ("create-kubernetes-1.20", true),
        ("update-v1", false),
        ("update-kubernetes-1.20", false),
    ] {
        let body = std::fs::read_to_string(crate::util::repository(&format!(
            "tests/golden/webhook/{name}.json"
        )))
        .unwrap();
        let request: Value = serde_json::from_str(&body).unwrap();
        let args = [
            "webhook",
            "review",
            "--service-accounts",
            "app.yaml",
            "-o",
            "json",
            "-",
        ];
        let answer = home.irsa(&args).stdin(&body).ok().stdout;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["apiVersion"], request["apiVersion"], "{name}");
        assert_eq!(
            answer["response"]["uid"], request["request"]["uid"],
            "{name}"
        );
        assert_eq!(
            answer["response"].get("patch").is_some(),
            injected,
            "{name}"
        );
    }
}

#[test]
fn verify_prints_a_pod_that_asks_aws_who_it_is() {
    let home = Home::new();
    let text = home
        .irsa(&["verify", "--service-account", "demo/app", "--manifest"])
        .ok()
        .stdout;
    for part in [
        "get-caller-identity",
        "serviceAccountName: app",
        "namespace: demo",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let verify = ["verify", "--service-account", "demo/app", "--manifest"];
    let json = home.irsa(&[&verify[..], &["-o", "json"]].concat()).ok();
    let pod: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(pod["spec"]["serviceAccountName"], "app", "{pod:#}");
    // Not even a name that would lead elsewhere in the API.
    for bad in ["app", "../..", "A B/x;y", "demo/..", "demo/app/x"] {
        let stderr = home
            .irsa(&["verify", "--service-account", bad, "--manifest"])
            .code(2)
            .stderr;
        assert!(stderr.contains("default/my-app"), "{stderr}");
        let stderr = home
            .irsa(&[
                "rotate",
                "status",
                "--issuer",
                "https://h",
                "--state",
                &format!("secret:{bad}"),
            ])
            .code(2)
            .stderr;
        assert!(
            stderr.contains("secret:kube-system/irsa-rotation"),
            "{stderr}"
        );
    }
}

/// No cluster is asked for them: a name with a slash would lead elsewhere in the API.
#[test]
fn names_that_kubernetes_would_refuse_reach_no_api_server() {
    let home = Home::new();
    home.write("kubeconfig", "not one");
    let shown = |namespace: &str, account: &str| {
        let pod = serde_json::json!({"kind": "Pod", "metadata": {"name": "p"},
            "spec": {"serviceAccountName": account, "containers": [{"name": "c"}]}});
        home.write("pod.json", pod.to_string());
        let args = ["webhook", "review", "pod.json", "--namespace", namespace];
        home.irsa(&args).env("KUBECONFIG", "kubeconfig")
    };
    for (namespace, account) in [
        ("demo", "../../../nodes/a"),
        ("demo", ".."),
        ("demo", "a/b"),
        ("demo", "A B"),
        ("demo", "a?x=y"),
        ("demo", "a%2f.."),
        ("../..", "reader"),
        ("kube-system/x", "reader"),
    ] {
        let ran = shown(namespace, account).ok();
        assert!(
            ran.stdout.contains("is no valid name") && ran.stdout.contains("nothing is injected"),
            "{namespace} {account}: {}",
            ran.stdout
        );
    }
    // Whoever has a name that may exist is asked for.
    let (ran, stderr) = (
        shown("demo", "reader").any().stdout,
        shown("demo", "reader").any().stderr,
    );
    assert!(ran.is_empty() && stderr.contains("kubeconfig"), "{stderr}");
}

#[test]
fn what_no_pod_could_use_is_refused_and_what_is_changed_is_said() {
    let home = Home::new();
    let manifest = ["webhook", "manifest", "--image", "irsa:1", "--"];
    let with = |flag: &'static str| home.irsa(&[&manifest[..], &[flag]].concat());
    let refused = with("--aws-default-region=eu central").code(2).stderr;
    assert!(refused.contains("is no name of a Region"), "{refused}");
    let said = with("--token-expiration=100").ok().stderr;
    assert!(said.contains("600 is taken"), "{said}");
}
