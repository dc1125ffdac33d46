//! `irsa teardown`, and the deletion of roles.

use irsa_testkit::cloud::Meanwhile;
use irsa_testkit::iam::Role;

use crate::bootstrap_setting::{CLUSTER, Setting};

#[test]
fn teardown_ends_the_trust_first_and_keeps_the_name() {
    let setting = Setting::done(CLUSTER);
    let refused = setting.irsa(&["teardown"]).code(2).stderr;
    assert!(refused.contains("--confirm"), "{refused}");
    setting
        .irsa(&["teardown", "--confirm", "https://other"])
        .code(2);
    let dry = setting.irsa(&["teardown", "--dry-run"]).ok().stdout;
    assert!(dry.contains("kept: bucket oidc-bucket, empty"), "{dry}");
    assert_eq!(setting.cloud.take_writes(), 0);
    let issuer = setting.issuer();
    setting.cloud.take_requests();
    let ran = setting.irsa(&["teardown", "--confirm", &issuer]).ok();
    assert!(
        ran.stdout
            .contains("AWS account 123456789012 trusts nothing of"),
        "{}",
        ran.stdout
    );
    let requests = setting.cloud.take_requests();
    let at = |text: &str| {
        requests
            .iter()
            .position(|line| line.contains(text))
            .unwrap()
    };
    assert!(at("DeleteRole") < at("DeleteOpenIDConnectProvider"));
    assert!(at("DeleteOpenIDConnectProvider") < at("DELETE /oidc-bucket/prod/keys.json"));
    assert!(setting.cloud.iam().roles.is_empty() && setting.cloud.iam().providers.is_empty());
    assert!(setting.cloud.objects().is_empty() && setting.cloud.has_bucket("oidc-bucket"));
    assert!(
        setting
            .cloud
            .setting("oidc-bucket", "publicAccessBlock")
            .unwrap()
            .contains("<BlockPublicPolicy>true")
    );
    assert!(
        setting.home.path("keys/sa.key").exists(),
        "the cluster's key is the cluster's"
    );
    let again = setting
        .irsa(&["teardown", "--confirm", &issuer])
        .ok()
        .stdout;
    assert!(again.contains("nothing to do"), "{again}");
    let release = ["teardown", "--confirm", &issuer, "--release-bucket-name"];
    let release = [&release[..], &["--settle", "1s"]].concat();
    setting.cloud.take_requests();
    let ran = setting.irsa(&release).ok().stdout;
    assert!(
        ran.contains("wait until AWS has forgotten OIDC provider"),
        "{ran}"
    );
    let requests = setting.cloud.take_requests();
    let bucket = requests
        .iter()
        .position(|line| line == "DELETE /oidc-bucket/");
    let looked = requests
        .iter()
        .rposition(|line| line == "GetOpenIDConnectProvider");
    assert!(looked < bucket, "{requests:#?}");
    assert!(!setting.cloud.has_bucket("oidc-bucket"));
    // From nothing again, with the same key.
    setting.bootstrap(&["--yes"]).ok();
}

#[test]
fn a_name_is_not_given_away_while_somebody_makes_the_provider_anew() {
    let setting = Setting::done(CLUSTER);
    let arn = setting.cloud.iam().providers.keys().next().unwrap().clone();
    setting.cloud.meanwhile(
        "DeleteOpenIDConnectProvider",
        Meanwhile::Provider(arn.clone()),
    );
    let issuer = setting.issuer();
    let release = ["teardown", "--confirm", &issuer, "--release-bucket-name"];
    let release = [&release[..], &["--settle", "1s"]].concat();
    let refused = setting.irsa(&release).code(4).stderr;
    assert!(
        refused.contains(&format!("{arn} was deleted, and is there again")),
        "{refused}"
    );
    assert!(setting.cloud.has_bucket("oidc-bucket"));
}

#[test]
fn the_account_of_the_bucket_is_named_when_it_is_another() {
    let setting = Setting::done(CLUSTER);
    let other = CLUSTER.replace(
        "to: s3://oidc-bucket/prod",
        "to: s3://oidc-bucket/prod\n    bucket_owner: \"123456789012\"",
    );
    setting.home.write("irsa.yaml", other);
    setting.cloud.with_iam(|iam| {
        iam.account = "999999999999";
        iam.providers.clear();
    });
    let dry = setting.irsa(&["teardown", "--dry-run"]).ok().stdout;
    assert!(
        dry.contains("kept: OIDC providers of account 123456789012, which owns the bucket"),
        "{dry}"
    );
    let issuer = setting.issuer();
    let release = ["teardown", "--confirm", &issuer, "--release-bucket-name"];
    let refused = setting.irsa(&release).code(1).stderr;
    assert!(
        refused.contains("belongs to account 123456789012"),
        "{refused}"
    );
    let ran = setting
        .irsa(&["teardown", "--confirm", &issuer])
        .ok()
        .stdout;
    assert!(
        ran.contains("AWS account 999999999999 trusts nothing of"),
        "{ran}"
    );
}

#[test]
fn teardown_touches_only_what_is_ours() {
    let setting = Setting::done(CLUSTER);
    setting.cloud.with_iam(|iam| {
        iam.roles.get_mut("payments-api").unwrap().tags.clear();
        iam.roles.insert("other".into(), Role::default());
    });
    setting.cloud.put("oidc-bucket", "somebody/elses", b"x");
    let issuer = setting.issuer();
    let ran = setting.irsa(&["teardown", "--confirm", &issuer]).ok();
    assert!(
        ran.stdout
            .contains("kept: role payments-api: it has no tag"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout
            .contains("kept: bucket oidc-bucket: it holds other objects"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        setting.cloud.iam().roles.keys().collect::<Vec<_>>(),
        ["other", "payments-api"]
    );
    assert_eq!(setting.cloud.objects().len(), 1);
    setting
        .irsa(&["teardown", "--confirm", &issuer, "--release-bucket-name"])
        .code(1);

    let foreign = Setting::done(CLUSTER);
    foreign.cloud.with_iam(|iam| {
        for provider in iam.providers.values_mut() {
            provider.tags.clear();
        }
    });
    foreign.cloud.take_writes();
    let refused = foreign
        .irsa(&["teardown", "--confirm", &foreign.issuer()])
        .code(1)
        .stderr;
    assert!(refused.contains("irsa did not make it"), "{refused}");
    assert_eq!(foreign.cloud.take_writes(), 0);
}

#[test]
fn a_role_in_use_is_refused_before_it_loses_anything() {
    let setting = Setting::done(CLUSTER);
    setting.cloud.with_iam(|iam| {
        let role = iam.roles.get_mut("payments-api").unwrap();
        role.profiles.push("nodes".into());
    });
    let delete = ["iam", "role", "delete", "payments-api"];
    let refused = setting.irsa(&delete).code(1).stderr;
    assert!(
        refused.contains("instance profiles that irsa did not make: nodes"),
        "{refused}"
    );
    assert_eq!(setting.cloud.take_writes(), 0);
    assert_eq!(setting.cloud.iam().roles["payments-api"].attached.len(), 1);
    setting
        .cloud
        .with_iam(|iam| iam.roles.get_mut("payments-api").unwrap().profiles.clear());
    setting.irsa(&delete).ok();
}
