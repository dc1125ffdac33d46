use crate::util::{Home, Irsa};

const REGISTER: [&str; 6] = [
    "connector",
    "register",
    "--region",
    "eu-central-1",
    "--provider",
    "other",
];
const ADMIN: &str = "arn:aws:iam::111122223333:role/Admin";

/// With an endpoint where nothing listens: whoever asks AWS is found out.
fn irsa<'a>(home: &'a Home, args: &[&str]) -> Irsa<'a> {
    home.irsa(args)
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
}

#[test]
fn what_is_wrong_in_itself_is_refused_before_aws_is_asked() {
    let home = Home::new();
    let long = format!("--tag={}=v", "k".repeat(129));
    for (more, expected) in [
        (
            vec!["--name", "prod.example.com", "--apply"],
            "use --name prod-example-com",
        ),
        (vec!["--name", "prod"], "--apply"),
        (
            vec!["--name", "prod", "--apply", "--out", "x"],
            "cannot be used with",
        ),
        (vec!["--name", "prod", "--apply", "--tag", "k"], "KEY=VALUE"),
        (
            vec!["--name", "prod", "--apply", &long],
            "1 to 128 characters",
        ),
        (
            vec!["--name", "prod", "--apply", "--tag", "aws:x=y"],
            "AWS's own",
        ),
        (
            vec!["--name", "prod", "--apply", "--tag", "irsa:registration=x"],
            "irsa sets this one itself",
        ),
        (
            vec!["--name", "prod", "--apply", "--tag", "a=1", "--tag", "a=2"],
            "tag \"a\" is given twice",
        ),
        (
            vec!["--name", "prod", "--apply", "--grant", ADMIN],
            "says nothing of the access",
        ),
        (
            vec!["--name", "prod", "--apply", "--grant", "x=full"],
            "is no ARN",
        ),
        (
            vec!["--name", "prod", "--apply", "--role-arn", "given"],
            "is no ARN of a role",
        ),
        (
            vec!["--name", "prod", "--apply", "--image", "agent=r/a"],
            "is not pinned",
        ),
        (
            vec!["--name", "prod", "--apply", "--image-mirror", "https://r"],
            "is no image mirror",
        ),
        (
            vec!["--name", "prod", "--apply", "--timeout", "0s"],
            "longer than zero",
        ),
    ] {
        let ran = irsa(&home, &[&REGISTER[..], &more].concat()).code(2);
        assert!(ran.stderr.contains(expected), "{more:?}\n{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert!(!home.path(".local").exists(), "no journal was begun");
}

#[test]
fn regions_without_the_service_and_no_region_are_refused() {
    let home = Home::new();
    let status = ["connector", "status", "--name", "prod"];
    let ran = irsa(&home, &status).code(2);
    assert!(
        ran.stderr.contains("no AWS Region is chosen"),
        "{}",
        ran.stderr
    );
    for region in ["cn-north-1", "us-gov-west-1", "moon"] {
        irsa(&home, &status).env("AWS_REGION", region).code(2);
    }
}

#[test]
fn aws_that_is_not_there_is_for_later_and_no_credentials_are_for_a_person() {
    let home = Home::new();
    let args = [&REGISTER[..], &["--name", "prod", "--out", "out"]].concat();
    let ran = irsa(&home, &args)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret-canary")
        .code(4);
    assert!(
        ran.stderr
            .contains("sts:GetCallerIdentity of your credentials got no answer"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("secret-canary"));
    let ran = irsa(&home, &args).code(2);
    assert!(
        ran.stderr.contains("no AWS credentials are found")
            && ran.stderr.contains("aws sts get-caller-identity")
            && !ran.stderr.contains("\\n"),
        "{}",
        ran.stderr
    );
    assert!(!home.path("out").exists());
}

#[test]
fn the_policy_is_printed_without_aws_and_narrowed() {
    let home = Home::new();
    let wide: serde_json::Value =
        serde_json::from_str(&irsa(&home, &["connector", "permissions"]).ok().stdout).unwrap();
    assert!(wide.to_string().contains("arn:aws:eks:*:*:cluster/*"));
    let args = [
        "connector",
        "permissions",
        "--account",
        "111122223333",
        "--region",
        "eu-central-1",
        "--name",
        "prod",
        "--for",
        "register",
        "--for",
        "deregister",
        "--for",
        "observe",
        "--for",
        "view",
    ];
    let narrow: serde_json::Value = serde_json::from_str(&irsa(&home, &args).ok().stdout).unwrap();
    let golden = std::fs::read(crate::util::repository(
        "tests/golden/connector/operator-policy.json",
    ))
    .unwrap();
    assert_eq!(
        narrow,
        serde_json::from_slice::<serde_json::Value>(&golden).unwrap()
    );
    irsa(&home, &["connector", "permissions", "--account", "1"]).code(2);
}

#[test]
fn a_wrong_grant_is_refused_before_the_cluster_is_asked() {
    let home = Home::new();
    irsa(&home, &["connector", "grant", "me=full"]).code(2);
    irsa(&home, &["connector", "revoke", "me"]).code(2);
    let ran = irsa(&home, &["connector", "grants", "--kubeconfig", "none"]).code(1);
    assert!(
        ran.stderr.contains("kubeconfig \"none\" cannot be used"),
        "{}",
        ran.stderr
    );
}
