use irsa_testkit::s3::{ACCOUNT, Quirks, S3Double};
use serde_json::Value;

use crate::doctor_site::{Iam, SUBJECT, Site, check, named};
use crate::tls::free_port;
use crate::util::Home;

#[test]
fn a_healthy_set_up_has_no_finding_and_no_secret_in_its_output() {
    let site = Site::new();
    let report = site.report(0, &["--ask-sts"]);
    assert_eq!(named(&report), Vec::<String>::new(), "{report:#}");
    for id in [
        "discovery",
        "jwks",
        "thumbprint",
        "provider",
        "client-ids",
        "token-key",
        "trust",
        "sts",
    ] {
        assert_eq!(check(&report, id)["verdict"], "ok", "{id}");
    }
    let ran = site.irsa(&["--ask-sts"]).env("IRSA_LOG", "trace").code(0);
    let token = site.home.read("token");
    let signature = token.trim().rsplit('.').next().unwrap();
    for text in [ran.stdout, ran.stderr] {
        for secret in [
            signature,
            "very-secret",
            "session-secret",
            "secret-of-the-test",
        ] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
}

#[test]
fn each_cause_is_named_once_with_what_mends_it() {
    let site = Site::new();
    let (issuer, name) = (site.issuer.clone(), site.name().to_owned());
    let healthy = site.iam.lock().unwrap().clone();
    let (_, client, thumbprint) = healthy.provider.clone().unwrap();
    let with = |change: &dyn Fn(&mut Iam)| {
        let mut iam = healthy.clone();
        change(&mut iam);
        *site.iam.lock().unwrap() = iam;
    };
    let one = |id: &str, help: &str| {
        let report = site.report(1, &[]);
        assert_eq!(named(&report), [id], "{report:#}");
        let text = check(&report, id)["help"].as_str().unwrap().to_owned();
        assert!(text.contains(help), "{id}: {text}");
        check(&report, id).clone()
    };
    with(&|iam| iam.provider = None);
    one("provider", "irsa iam provider apply --issuer");
    with(&|iam| iam.provider = Some((format!("{issuer}/"), client.clone(), thumbprint.clone())));
    let slash = one("provider", "irsa iam provider apply");
    assert_eq!(slash["found"], format!("{issuer}/"));
    assert_eq!(slash["expected"], issuer);
    assert!(slash["difference"].as_str().unwrap().contains("slash"));
    assert_eq!(
        slash["sts"]["text"],
        "No OpenIDConnect provider found in your account"
    );
    with(&|iam| iam.provider = Some((issuer.clone(), client.clone(), "0".repeat(40))));
    one("thumbprint", &thumbprint);
    with(&|iam| iam.trust = None);
    one("role", "irsa iam role apply");
    with(&|_| {});
    site.trust("system:serviceaccount:demo:other");
    let trust = one("trust", "--service-account demo/app");
    assert_eq!(trust["expected"], SUBJECT);
    assert!(
        trust["message"]
            .as_str()
            .unwrap()
            .contains(&format!("{name}:sub"))
    );
    with(&|_| {});
    site.home.write("token", site.mint(&issuer, "vault"));
    one("token-audience", "audience");
    site.home.key("other", "ES256");
    let args = [
        "token",
        "mint",
        "--key",
        "other.key",
        "--subject",
        "demo/app",
        "--issuer",
        &issuer,
    ];
    site.home.write("token", site.home.irsa(&args).ok().stdout);
    one("token-key", "publish the public half");
    site.home.write("token", "not a token");
    one("token", "token file");
}

#[test]
fn the_answer_of_sts_is_explained() {
    let site = Site::new();
    site.iam.lock().unwrap().refusal = Some(("InvalidIdentityToken", "Incorrect token audience"));
    let report = site.report(1, &["--ask-sts"]);
    assert_eq!(named(&report), ["sts"]);
    assert_eq!(
        check(&report, "sts")["sts"]["text"],
        "Incorrect token audience"
    );
    site.trust("x");
    let report = site.report(1, &["--ask-sts"]);
    assert_eq!(named(&report), ["trust"]);
    let sts = check(&report, "sts");
    assert!(
        sts["message"]
            .as_str()
            .unwrap()
            .ends_with("because of trust"),
        "{sts}"
    );
}

#[test]
fn the_issuer_alone_is_enough_and_a_host_that_is_down_may_come_back() {
    let home = Home::new();
    let port = free_port();
    let issuer = format!("https://localhost:{port}/prod");
    let args = ["doctor", "--issuer", &issuer, "--no-aws", "-o", "json"];
    // That AWS reaches no loopback is a failure for good.
    let report: Value = serde_json::from_str(&home.irsa(&args).code(1).stdout).unwrap();
    assert_eq!(named(&report), ["issuer-url", "discovery"]);
    assert_eq!(check(&report, "discovery")["retryable"], true);
    let down = ["doctor", "--issuer", &issuer, "-o", "json"];
    let ran = home
        .irsa(&down)
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .code(4);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(named(&report), ["discovery"]);
    assert_eq!(check(&report, "jwks")["verdict"], "unseen");
}

#[test]
fn flags_in_a_file_are_compared_with_the_issuer() {
    let site = Site::new();
    let manifest = |issuer: &str| {
        let text = std::fs::read_to_string(crate::util::repository(
            "tests/golden/kubeadm/stock-apiserver-1-36/before.yaml",
        ))
        .unwrap();
        let stock = "--service-account-issuer=https://kubernetes.default.svc.cluster.local";
        assert!(text.contains(stock));
        text.replace(stock, &format!("--service-account-issuer={issuer}"))
    };
    site.home.write("good.yaml", manifest(&site.issuer));
    let report = site.report(0, &["--apiserver-flags", "good.yaml"]);
    assert_eq!(check(&report, "flags-issuer")["verdict"], "ok");
    let joined = format!("https://old.example.com,{}", site.issuer);
    site.home.write("joined.yaml", manifest(&joined));
    let report = site.report(1, &["--apiserver-flags", "joined.yaml"]);
    assert_eq!(named(&report), ["flags-issuer"]);
    let words = check(&report, "flags-issuer")["difference"]
        .as_str()
        .unwrap();
    assert!(words.contains("commas"), "{words}");
    // Nothing was looked at.
    site.irsa(&["--apiserver-flags", "missing.yaml"]).code(2);
    site.irsa(&["--token-file", "missing"]).code(2);
    site.irsa(&["--ca-file", "missing.pem"]).code(2);
}

#[test]
fn a_closed_bucket_is_the_cause_of_documents_that_nobody_reads() {
    let site = Site::new();
    let s3 = S3Double::start(Quirks::default());
    s3.make_bucket("oidc-bucket");
    s3.put("oidc-bucket", "prod/keys.json", b"{}");
    let issuer = format!("{}/oidc-bucket/prod", s3.url());
    let args = [
        "doctor",
        "--issuer",
        &issuer,
        "--bucket",
        "s3://oidc-bucket/prod",
        "-o",
        "json",
    ];
    let run = || {
        let ran = site
            .with_aws(&args)
            .env("AWS_ENDPOINT_URL_S3", &s3.url())
            .code(1);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()
    };
    // The double speaks plain http, which is a failure of its own; of a provider nothing is known.
    let report = run();
    assert_eq!(
        named(&report),
        ["issuer-url", "bucket-access-block", "provider"]
    );
    let discovery = check(&report, "discovery");
    assert!(
        discovery["message"]
            .as_str()
            .unwrap()
            .contains("bucket-access-block"),
        "{discovery}"
    );
}

/// Somebody else took the name, and shows no more than the documents: neither a look at the bucket nor a list is allowed.
#[test]
fn a_bucket_of_somebody_else_is_known_by_its_documents_alone() {
    let site = Site::new();
    let s3 = S3Double::start(Quirks {
        squatted: true,
        ..Quirks::default()
    });
    s3.make_bucket("oidc-bucket");
    s3.put(
        "oidc-bucket",
        "prod/.well-known/openid-configuration",
        b"{}",
    );
    let more = ["--bucket", "s3://oidc-bucket/prod", "-o", "json"];
    let owner = ["--bucket-owner", ACCOUNT];
    let ran = site
        .irsa(&[&more[..], &owner].concat())
        .env("AWS_ENDPOINT_URL_S3", &s3.url())
        .code(1);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(named(&report), ["bucket"], "{report:#}");
    let bucket = check(&report, "bucket");
    assert_eq!(
        bucket["message"],
        format!("the bucket does not belong to account {ACCOUNT}")
    );
    // A bucket in an account of its own is usual; one flag says so.
    let help = bucket["help"].as_str().unwrap();
    assert!(help.contains("say so with --bucket-owner"), "{help}");
}

#[test]
fn what_may_be_seen_at_the_next_look_is_a_reason_to_come_back() {
    let site = Site::new();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    // Credentials that STS would hand out, and does not now.
    site.iam.lock().unwrap().refusal = Some(("ServiceUnavailable", "later"));
    let ran = site
        .irsa(&["-o", "json"])
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app")
        .code(4);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let message = check(&report, "provider")["message"].to_string();
    assert!(message.contains("cannot be had now"), "{message}");
    // No credentials at all will not come by themselves.
    site.irsa(&[])
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .ok();
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{nobody}\"}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    site.home.write("kubeconfig", config);
    site.irsa(&["--live", "--kubeconfig", "kubeconfig"]).code(4);
}

#[test]
fn what_is_refused_is_refused_before_anything_is_asked() {
    let home = Home::new();
    home.irsa(&["doctor"]).code(2);
    home.irsa(&["doctor", "--issuer", "http://oidc.example.com"])
        .code(2);
    home.irsa(&["doctor", "--issuer", "https://h", "--role-arn", "app"])
        .code(2);
    home.irsa(&["doctor", "--issuer", "https://h", "--ask-sts"])
        .code(2);
    home.irsa(&["doctor", "--issuer", "https://h", "--every", "5s"])
        .code(2);
}
