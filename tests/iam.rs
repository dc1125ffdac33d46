use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::Value;

use crate::util::{Home, commands, repository};

const ACCOUNT: &str = "123456789012";
const ISSUER: &str = "https://oidc.example.com/prod";

fn trust_policy(home: &Home, more: &[&str]) -> String {
    let args = [
        "iam",
        "role",
        "trust-policy",
        "--issuer",
        ISSUER,
        "--account-id",
        ACCOUNT,
    ];
    home.irsa(&[&args, more].concat()).ok().stdout
}

#[test]
fn the_policies_in_deploy_are_those_that_the_command_prints() {
    let home = Home::new();
    let listed = home.irsa(&["iam", "permissions", "-o", "json"]).ok().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut files = Vec::new();
    for row in listed.as_array().unwrap() {
        let command = row["command"].as_str().unwrap();
        let printed = home.irsa(&["iam", "permissions", command]).ok().stdout;
        let path = repository(&format!("deploy/aws/permissions/{command}.json"));
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            printed,
            "{command}"
        );
        files.push(format!("{command}.json"));
    }
    for entry in std::fs::read_dir(repository("deploy/aws/permissions")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(files.contains(&name), "{name} belongs to no command");
    }
    let named = [
        "iam",
        "permissions",
        "publish",
        "--to",
        "s3://abc/p",
        "--region",
        "cn-north-1",
    ];
    assert!(
        home.irsa(&named)
            .ok()
            .stdout
            .contains("arn:aws-cn:s3:::abc/p/*")
    );
    home.irsa(&["iam", "permissions", "nothing"]).code(2);
}

#[test]
fn every_command_that_talks_to_aws_has_a_policy() {
    let home = Home::new();
    let listed = home.irsa(&["iam", "permissions"]).ok().stdout;
    let help = home.irsa(&["iam", "--help"]).ok().stdout;
    for group in ["provider", "role"] {
        assert!(help.contains(group));
        let help = home.irsa(&["iam", group, "--help"]).ok().stdout;
        for command in commands(&help) {
            // printed from what is typed
            if !matches!(command, "help" | "trust-policy") {
                assert!(
                    listed.contains(&format!("iam-{group}-{command}")),
                    "{group} {command}"
                );
            }
        }
    }
}

#[test]
fn a_trust_policy_needs_nobody_and_passes_its_own_lint() {
    let home = Home::new();
    let policy = trust_policy(
        &home,
        &[
            "--service-account",
            "demo/app",
            "--service-account",
            "demo/b",
        ],
    );
    let parsed: Value = serde_json::from_str(&policy).unwrap();
    let condition = &parsed["Statement"][0]["Condition"]["StringEquals"];
    assert_eq!(condition["oidc.example.com/prod:aud"], "sts.amazonaws.com");
    assert_eq!(
        condition["oidc.example.com/prod:sub"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    home.write("good.json", &policy);
    home.irsa(&["iam", "role", "lint", "--file", "good.json"])
        .ok();
    let china = trust_policy(
        &home,
        &["--service-account", "demo/app", "--region", "cn-north-1"],
    );
    assert!(china.contains("arn:aws-cn:iam::"), "{china}");
    let args = [
        "iam",
        "role",
        "trust-policy",
        "--issuer",
        ISSUER,
        "--account-id",
        ACCOUNT,
    ];
    home.irsa(&args).code(2);
    home.irsa(&[&args[..], &["--service-account", "demo/*"]].concat())
        .code(2);
    home.irsa(
        &[
            &args[..],
            &["--service-account", "*/app", "--allow-wildcard"],
        ]
        .concat(),
    )
    .code(2);
    let wild = trust_policy(&home, &["--service-account", "demo/*", "--allow-wildcard"]);
    assert!(wild.contains("StringLike"), "{wild}");
}

#[test]
fn lint_names_statement_rule_and_both_strings() {
    let home = Home::new();
    let policy = trust_policy(&home, &["--service-account", "demo/app"]);
    home.write("slash.json", policy.replace("prod:aud", "prod/:aud"));
    let ran = home
        .irsa(&["iam", "role", "lint", "--file", "slash.json"])
        .code(3);
    assert!(
        ran.stdout.contains("is \"oidc.example.com/prod/:aud\", expected \"oidc.example.com/prod:aud\": they differ in the final slash [trailing-slash]"),
        "{}",
        ran.stdout
    );
    home.write("bad.json", "{");
    home.irsa(&["iam", "role", "lint", "--file", "bad.json"])
        .code(1);
}

#[test]
fn the_whole_can_be_printed_for_other_tools() {
    let home = Home::new();
    home.write("policy.json", r#"{"Version":"2012-10-17","Statement":[]}"#);
    let role = [
        "iam",
        "role",
        "apply",
        "demo-app",
        "--issuer",
        ISSUER,
        "--account-id",
        ACCOUNT,
        "--service-account",
        "demo/app",
        "--policy-arn",
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "--policy-file",
        "policy.json",
        "--format",
    ];
    let terraform = home.irsa(&[&role[..], &["terraform"]].concat()).ok().stdout;
    for part in [
        "aws_iam_role\" \"demo_app",
        "aws_iam_role_policy_attachment",
        "aws_iam_role_policy\" \"demo_app",
    ] {
        assert!(terraform.contains(part), "{terraform}");
    }
    let template = home
        .irsa(&[&role[..], &["cloudformation"]].concat())
        .ok()
        .stdout;
    let template: Value = serde_json::from_str(&template).unwrap();
    assert_eq!(
        template["Resources"]["Roledemoapp"]["Type"],
        "AWS::IAM::Role"
    );
    let provider = [
        "iam",
        "provider",
        "apply",
        "--issuer",
        ISSUER,
        "--no-thumbprint",
        "--format",
    ];
    let terraform = home
        .irsa(&[&provider[..], &["terraform"]].concat())
        .ok()
        .stdout;
    assert!(
        terraform.contains("aws_iam_openid_connect_provider"),
        "{terraform}"
    );
    home.irsa(&[&provider[..], &["cloudformation"]].concat())
        .ok();
}

#[test]
fn what_iam_would_refuse_is_refused_before_anybody_is_asked() {
    let home = Home::new();
    let apply = ["iam", "provider", "apply", "--issuer"];
    home.irsa(&[&apply[..], &["http://localhost/a"]].concat())
        .code(2);
    home.irsa(&[&apply[..], &[ISSUER, "--thumbprint", "abc"]].concat())
        .code(2);
    let ran = home.irsa(
        &[
            &apply[..],
            &[ISSUER, "--no-thumbprint", "--region", "eu-west-1"],
        ]
        .concat(),
    );
    let ran = ran.env("AWS_EC2_METADATA_DISABLED", "true").code(2);
    assert!(
        ran.stderr.contains("no AWS credentials are found"),
        "{}",
        ran.stderr
    );
    home.write("list.json", "[]");
    let role = [
        "iam",
        "role",
        "apply",
        "r",
        "--issuer",
        ISSUER,
        "--account-id",
        ACCOUNT,
        "--region",
        "eu-west-1",
    ];
    for bad in [
        ["--policy-file", "list.json"],
        ["--path", "x"],
        ["--max-session", "5m"],
        ["--policy-arn", "Admin"],
    ] {
        home.irsa(&[&role[..], &bad[..]].concat()).code(2);
    }
}

/// A proxy that writes down what it is asked for, and answers that it does not do it.
#[test]
fn a_role_is_written_onto_accounts_of_one_cluster_and_only_when_told() {
    let home = Home::new();
    let role = ["iam", "role", "apply", "r", "--issuer", ISSUER];
    let one = ["--annotate", "--service-account", "a/b"];
    for (words, why) in [
        (
            &["--kubeconfig", "k"][..],
            "without --annotate no cluster is asked",
        ),
        (&["--annotate"], "--service-account"),
        (&["--reassign"], "--annotate"),
        (
            &[&one[..], &["--allow-wildcard"]].concat(),
            "--allow-wildcard",
        ),
        (&[&one[..], &["--format", "terraform"]].concat(), "--format"),
        (
            &[&one[..], &["--issuer", "https://other"]].concat(),
            "--annotate writes to one cluster, and 2 issuers are given",
        ),
        (
            &["--annotate", "--service-account", "a/*"],
            "service account \"a/*\" has a name",
        ),
    ] {
        let refused = home.irsa(&[&role[..], words].concat()).code(2).stderr;
        assert!(refused.contains(why), "{refused}");
    }
}

fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            asked
                .send(String::from_utf8_lossy(&request[..read]).into_owned())
                .unwrap();
            stream
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        }
    });
    (url, requests)
}

#[test]
fn aws_is_reached_through_the_proxy_that_the_environment_names() {
    let certificate = repository("keys-example/p256-certificate.pub");
    let with_ca = ["--ca-file", certificate.to_str().unwrap()];
    for more in [&[][..], &with_ca] {
        let home = Home::new();
        let (url, requests) = proxy();
        let words = [
            &["iam", "role", "show", "x", "--region", "eu-central-1"][..],
            more,
        ]
        .concat();
        home.irsa(&words)
            .env("HTTPS_PROXY", &url)
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "example")
            .env("AWS_MAX_ATTEMPTS", "1")
            .any();
        let asked = requests.try_recv().expect("the proxy is asked");
        assert!(
            asked.starts_with("CONNECT iam.amazonaws.com:443 "),
            "{asked}"
        );
    }
}

#[test]
fn what_is_deleted_is_named() {
    let home = Home::new();
    home.write(
        "irsa.yaml",
        format!("issuers: [{{issuer: {ISSUER}, keys: [k]}}]\n"),
    );
    let delete = ["iam", "provider", "delete", "--config", "irsa.yaml"];
    let ran = home.irsa(&delete).code(2);
    assert!(ran.stderr.contains("add --issuer URL"), "{}", ran.stderr);
    // Two issuers in two sections are two.
    home.write(
        "irsa.yaml",
        format!(
            "issuers: [{{issuer: {ISSUER}, keys: [k]}}]\ncluster: {{name: c, issuer: {ISSUER}2, keys: {{generate: k}}, publish: {{to: 'dir:www'}}}}\n"
        ),
    );
    let ran = home
        .irsa(&["iam", "provider", "show", "--config", "irsa.yaml"])
        .code(2);
    assert!(ran.stderr.contains("has 2 issuers"), "{}", ran.stderr);
}
