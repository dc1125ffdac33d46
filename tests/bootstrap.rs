//! `irsa bootstrap` against doubles of S3, IAM and STS.

use irsa_testkit::canary;
use irsa_testkit::cloud::Meanwhile;
use serde_json::Value;

use crate::bootstrap_setting::{CLUSTER, Setting};
use crate::util::Home;

#[test]
fn from_nothing_to_roles_and_a_second_run_does_nothing() {
    let setting = Setting::new(CLUSTER);
    setting.bootstrap(&["--check"]).code(3);
    let dry = setting.bootstrap(&["--dry-run"]).ok().stdout;
    for part in [
        "generate signing key",
        "create bucket",
        "set Block Public Access",
        "put bucket policy",
        "readable arn:aws:s3:::oidc-bucket/prod/keys.json",
        "create JWKS",
        "read both",
        "OIDC provider",
        "create role",
    ] {
        assert!(dry.contains(part), "{part}: {dry}");
    }
    assert!(dry.ends_with("nothing was changed\n"), "{dry}");
    assert_eq!(setting.cloud.take_writes(), 0);
    assert!(!setting.home.path("keys").exists());

    let refused = setting.bootstrap(&[]).code(2).stderr;
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(setting.cloud.take_writes(), 0);

    let ran = setting.bootstrap(&["--yes"]).ok();
    assert!(
        ran.stdout.contains(&format!(
            "done: nothing is left to do for cluster prod: {} is published and read back",
            setting.issuer()
        )),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("annotate serviceaccount api eks.amazonaws.com/role-arn=arn:aws:iam::123456789012:role/payments-api"), "{}", ran.stdout);
    let (objects, providers, roles) = setting.end_state();
    assert_eq!(
        objects,
        [
            "oidc-bucket/prod/.well-known/openid-configuration",
            "oidc-bucket/prod/keys.json"
        ]
    );
    assert!(
        providers[0].contains("sts.amazonaws.com") && providers[0].contains("irsa:cluster"),
        "{providers:?}"
    );
    assert_eq!(roles.len(), 2);
    let reports = &setting.cloud.iam().roles["reports"];
    assert!(reports.trust.contains("reports:reader") && reports.trust.contains("reports:writer"));

    setting.cloud.take_requests();
    setting.cloud.take_writes();
    let again = setting.bootstrap(&["--yes"]).ok();
    assert_eq!(again.stdout.lines().count(), 1, "{}", again.stdout);
    assert!(
        again.stdout.starts_with("nothing is left to do"),
        "{}",
        again.stdout
    );
    let requests = setting.cloud.take_requests();
    assert!(requests.len() <= 20, "{}: {requests:#?}", requests.len());
    assert_eq!(setting.cloud.take_writes(), 0);
    setting.bootstrap(&["--check"]).ok();
}

#[test]
fn events_are_one_json_value_a_line() {
    let setting = Setting::new(CLUSTER);
    let ran = setting.bootstrap(&["--yes", "-o", "json"]).ok();
    let events: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "plan");
    assert_eq!(events[0]["changes"][0]["stage"], "keys");
    let done = events
        .iter()
        .filter(|event| event["event"] == "done")
        .count();
    let end = events.last().unwrap();
    assert_eq!(
        (end["event"].as_str(), end["done"].as_u64()),
        (Some("end"), u64::try_from(done).ok())
    );
    assert_eq!(end["issuer"], setting.issuer());
    assert!(
        end["provider"]
            .as_str()
            .unwrap()
            .starts_with("arn:aws:iam::123456789012:oidc-provider/localhost")
    );
}

#[test]
fn of_two_at_once_one_wins_and_the_other_says_so() {
    let setting = Setting::new(CLUSTER);
    let (first, second) = (
        setting.bootstrap(&["--yes"]).start(),
        setting.bootstrap(&["--yes"]).start(),
    );
    let logs = |server: crate::util::Server| {
        let (_, code) = server.finish();
        code
    };
    let mut codes = [logs(first), logs(second)];
    codes.sort_unstable();
    // When the first is done before the second begins both succeed; else one has been turned away.
    assert!(
        codes == [Some(0), Some(4)] || codes == [Some(0), Some(0)],
        "{codes:?}"
    );
    setting.bootstrap(&["--check"]).ok();
    // For certain: while the file is locked.
    let file = std::fs::File::open(setting.home.path("irsa.yaml")).unwrap();
    file.lock().unwrap();
    let refused = setting.bootstrap(&["--yes"]).code(4).stderr;
    assert!(refused.contains("another run is at work"), "{refused}");
}

/// As from two machines: each has a file of its own, and nothing but the stores to meet at.
#[test]
fn two_that_do_not_share_a_lock_do_no_harm() {
    let setting = Setting::new(CLUSTER);
    setting.home.write("other.yaml", CLUSTER);
    let other = setting
        .irsa(&["bootstrap", "--yes", "--config", "other.yaml"])
        .start();
    let one = setting.bootstrap(&["--yes"]).start();
    let mut codes = [one.finish().1, other.finish().1];
    codes.sort_unstable();
    assert!(
        codes == [Some(0), Some(4)] || codes == [Some(0), Some(0)],
        "{codes:?}"
    );
    setting.bootstrap(&["--check"]).ok();
    assert_eq!(setting.files(), ["sa.key", "sa.pub"]);
}

#[test]
fn a_key_that_was_published_is_never_dropped() {
    let setting = Setting::done(CLUSTER);
    std::fs::remove_dir_all(setting.home.path("keys")).unwrap();
    // A new key would be made: the published one is not in the files any more.
    let ran = setting.bootstrap(&["--yes"]).code(1);
    assert!(ran.stderr.contains("would drop a key"), "{}", ran.stderr);
    let jwks = setting
        .cloud
        .objects()
        .into_iter()
        .find(|(_, key, _)| key.ends_with("keys.json"))
        .unwrap()
        .2;
    assert_eq!(
        String::from_utf8(jwks).unwrap().matches("\"kid\"").count(),
        1
    );
}

#[test]
fn the_keys_of_a_live_cluster_are_adopted() {
    let config = CLUSTER.replace(
        "generate: keys\n    algorithm: ES256",
        "adopt: [pki/sa.pub]",
    );
    let setting = Setting::new(&config);
    let home = &setting.home;
    home.irsa(&["keys", "generate", "--out", "pki", "--algorithm", "ES384"])
        .ok();
    let ran = setting.bootstrap(&["--yes"]).ok();
    assert!(
        !ran.stdout.contains("generate signing key"),
        "{}",
        ran.stdout
    );
    let jwks = setting
        .cloud
        .objects()
        .into_iter()
        .find(|(_, key, _)| key.ends_with("keys.json"))
        .unwrap()
        .2;
    assert_eq!(
        String::from_utf8(jwks).unwrap().trim(),
        home.irsa(&["jwks", "pki/sa.pub"]).ok().stdout.trim()
    );
}

#[test]
fn only_what_differs_is_mended() {
    let setting = Setting::done(CLUSTER);
    setting.cloud.with_iam(|iam| {
        iam.roles.get_mut("payments-api").unwrap().attached.clear();
        for provider in iam.providers.values_mut() {
            provider.client_ids = vec!["other".to_owned()];
        }
    });
    let ran = setting.bootstrap(&["--yes"]).ok();
    assert_eq!(setting.cloud.take_writes(), 2, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("add client ID sts.amazonaws.com")
            && ran.stdout.contains("role payments-api: attach")
    );
}

/// Neither S3 nor IAM has a condition for these writes: what stands is looked at just before them.
#[test]
fn what_somebody_else_wrote_in_between_is_not_overwritten() {
    let setting = Setting::done(CLUSTER);
    let cloud = &setting.cloud;
    let theirs = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let policy = || cloud.setting("oidc-bucket", "policy").unwrap();
    let good = policy();
    // One document is missing in the policy, so a new one is to be written.
    let narrow = good.replace("\"arn:aws:s3:::oidc-bucket/prod/keys.json\",", "");
    assert_ne!(narrow, good);
    cloud.meanwhile(
        "GET /oidc-bucket/?policy",
        Meanwhile::Setting("oidc-bucket", "policy", theirs.into()),
    );
    let set = |text: &str| cloud.set("oidc-bucket", "policy", text);
    set(&narrow);
    let lost = setting.bootstrap(&["--yes"]).code(4).stderr;
    assert!(lost.contains("changed by somebody else"), "{lost}");
    assert_eq!(policy(), theirs);
    set(&good);

    let role = || cloud.iam().roles["payments-api"].trust.clone();
    let good = role();
    let trust = |text: String| {
        cloud.with_iam(|iam| iam.roles.get_mut("payments-api").unwrap().trust = text);
    };
    trust(good.replace("payments:api", "payments:old"));
    cloud.meanwhile("GetRole", Meanwhile::Trust("payments-api", theirs.into()));
    let lost = setting.bootstrap(&["--yes"]).code(4).stderr;
    assert!(lost.contains("changed by somebody else"), "{lost}");
    assert_eq!(role(), theirs);
    trust(good);
    setting.bootstrap(&["--check"]).ok();
}

#[test]
fn an_unreadable_issuer_is_not_trusted() {
    let setting = Setting::new(CLUSTER);
    // Somebody else's policy statement takes our name: the documents cannot be opened.
    let config = CLUSTER.replace(
        "to: s3://oidc-bucket/prod",
        "to: s3://oidc-bucket/prod\n    access: none",
    );
    setting.home.write("irsa.yaml", config);
    let ran = setting.bootstrap(&["--yes", "--timeout", "1s"]).code(1);
    assert!(
        ran.stderr.contains("relying parties cannot fetch them"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("steps were done and stand"),
        "{}",
        ran.stderr
    );
    assert!(setting.cloud.iam().providers.is_empty() && setting.cloud.iam().roles.is_empty());
    setting.home.write("irsa.yaml", CLUSTER);
    setting.bootstrap(&["--yes"]).ok();
}

#[test]
fn nothing_private_is_ever_sent() {
    let config = CLUSTER.replace("algorithm: ES256", "name: sa");
    let setting = Setting::new(&config);
    std::fs::create_dir(setting.home.path("keys")).unwrap();
    let key = setting.home.path("keys/sa.key");
    std::fs::write(&key, canary::private_key().expose_pem()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ran = setting.bootstrap(&["--yes", "--log", "trace"]).ok();
    assert!(
        ran.stdout.contains("the public half of the key beside it"),
        "{}",
        ran.stdout
    );
    let received = setting.cloud.received();
    assert!(received.len() > 20);
    let sent: Vec<_> = received
        .iter()
        .map(|body| String::from_utf8_lossy(body).into_owned())
        .collect();
    for text in sent.iter().chain([&ran.stdout, &ran.stderr]) {
        assert_eq!(canary::found_in(text), None);
    }
}

/// The example of docs/aws.md, also with its comments taken away where they show an option.
#[test]
fn the_example_of_the_documentation_is_a_configuration() {
    let text = std::fs::read_to_string(crate::util::repository("docs/aws.md")).unwrap();
    let example = text
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let home = Home::new();
    home.write("irsa.yaml", example);
    let shown = home
        .irsa(&["config", "show", "--config", "irsa.yaml"])
        .ok()
        .stdout;
    for part in [
        "cluster.name",
        "s3://my-oidc-bucket/prod",
        "payments/api",
        "/etc/kubernetes/pki/sa.pub",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let option = |line: &str| {
        let rest = line.trim_start().strip_prefix("# ")?;
        let word = rest.split_whitespace().next()?;
        let indent = &line[..line.len() - line.trim_start().len()];
        word.ends_with(':').then(|| format!("{indent}{rest}"))
    };
    let all: Vec<String> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| option(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    home.write("all.yaml", all.join("\n"));
    let shown = home
        .irsa(&["config", "show", "--config", "all.yaml"])
        .ok()
        .stdout;
    for part in [
        "cluster.webhook.image",
        "cluster.apiserver.phase",
        "cluster.keys.generate",
        "oidc.example.com",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
