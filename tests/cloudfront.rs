use irsa_testkit::cloudfront::arn;
use serde_json::Value;

use crate::bootstrap_setting::{CLUSTER, Setting};

/// A cluster behind a distribution; nobody answers at cloudfront.net here.
pub(crate) const CDN: &str = "\
cluster:
  name: prod
  keys:
    generate: keys
    algorithm: ES256
  publish:
    to: s3://oidc-bucket/prod
    access: cloudfront
    read_back: false
  roles:
    - name: payments-api
      service_accounts: [payments/api]
";

const ISSUER: &str = "https://e2.cloudfront.net/prod";

/// Another cluster at a host name of its own, in the same bucket.
fn at(host: &str, certificate: &str) -> String {
    CDN.replace("name: prod\n", &format!("name: {host}\n  issuer: https://{host}/{host}\n"))
        .replace("oidc-bucket/prod", &format!("oidc-bucket/{host}"))
        .replace("generate: keys", &format!("generate: keys-{host}"))
        .replace("payments-api", &format!("role-{host}"))
        .replace(
            "    access: cloudfront\n",
            &format!("    access: cloudfront\n    certificate_arn: arn:aws:acm:us-east-1:1:certificate/{certificate}\n"),
        )
}

fn as_other<'a>(setting: &'a Setting, config: &str, args: &[&str]) -> crate::util::Irsa<'a> {
    setting.home.write("other.yaml", config);
    setting.irsa(&[args, &["--config", "other.yaml"]].concat())
}

#[test]
fn down_and_up_again() {
    let setting = Setting::done(CDN);
    let policy = || -> Value {
        let text = setting.cloud.setting("oidc-bucket", "policy").unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let readers = || policy()["Statement"][0]["Condition"]["StringEquals"]["AWS:SourceArn"].clone();
    assert_eq!(readers(), arn("E2"));
    let down = ["teardown", "--confirm", ISSUER];
    let gone = setting.irsa(&down).ok().stdout;
    assert!(gone.contains("delete CloudFront distribution E2"), "{gone}");
    assert!(setting.cloud.cloudfront().distributions.is_empty());
    // The bucket was kept, with the policy for a distribution that is gone.
    setting.bootstrap(&["--yes"]).ok();
    assert!(
        readers()
            .as_array()
            .unwrap()
            .contains(&Value::from(arn("E4")))
    );
    setting.bootstrap(&["--check"]).ok();
}

#[test]
fn a_second_cluster_takes_nothing_from_the_first() {
    let setting = Setting::done(&at("one.example.com", "shared"));
    let other = |certificate| at("two.example.com", certificate);
    let refused = as_other(&setting, &other("its-own"), &["bootstrap", "--yes"]).code(1);
    assert!(
        refused.stderr.contains("answers for one.example.com too"),
        "{}",
        refused.stderr
    );
    assert_eq!(setting.cloud.take_writes(), 0);
    let ran = as_other(&setting, &other("shared"), &["bootstrap", "--yes"]).ok();
    assert!(
        ran.stdout
            .contains("update CloudFront distribution E2\n  + answers for two.example.com"),
        "{}",
        ran.stdout
    );
    let front = setting.cloud.cloudfront();
    assert_eq!(front.distributions.len(), 1);
    let config = &front.distributions["E2"].config;
    for part in ["one.example.com", "two.example.com", "certificate/shared"] {
        assert!(config.contains(part), "{part}: {config}");
    }
    setting.bootstrap(&["--check"]).ok();
    // What the one takes down the other still needs.
    let down = [
        "teardown",
        "--confirm",
        "https://two.example.com/two.example.com",
    ];
    let down = as_other(&setting, &other("shared"), &down).ok().stdout;
    assert!(down.contains("kept: CloudFront distribution E2"), "{down}");
    setting.bootstrap(&["--check"]).ok();
}

#[test]
fn a_bucket_that_serves_others_is_not_closed_for_a_distribution() {
    let setting = Setting::done(CLUSTER);
    let mut config = CDN.replace("oidc-bucket/prod", "oidc-bucket/other");
    config = config.replace("generate: keys", "generate: other-keys");
    let refused = as_other(&setting, &config, &["bootstrap", "--yes"]).code(1);
    assert!(
        refused
            .stderr
            .contains("serves everybody arn:aws:s3:::oidc-bucket/prod/"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("bucket of its own"),
        "{}",
        refused.stderr
    );
    assert_eq!(setting.cloud.take_writes(), 0);
    setting.bootstrap(&["--check"]).ok();
}

/// The distribution was deleted by hand, and with it the name of the issuer: what AWS still trusts tells it.
#[test]
fn whoever_still_trusts_a_lost_issuer_is_found() {
    let setting = Setting::done(CDN);
    setting
        .cloud
        .with_cloudfront(|front| front.distributions.clear());
    let dry = setting.irsa(&["teardown", "--dry-run"]).ok().stdout;
    for part in ["role payments-api: delete", "delete OIDC provider", ISSUER] {
        assert!(dry.contains(part) || part == ISSUER, "{part}: {dry}");
    }
    let ran = setting.irsa(&["teardown", "--confirm", ISSUER]).ok().stdout;
    assert!(
        ran.contains(&format!("trusts nothing of {ISSUER} any more")),
        "{ran}"
    );
    assert!(setting.cloud.iam().roles.is_empty() && setting.cloud.iam().providers.is_empty());
    let nothing = setting.irsa(&["teardown"]).ok().stdout;
    assert!(
        nothing.contains("there is no distribution, and no provider"),
        "{nothing}"
    );
}
