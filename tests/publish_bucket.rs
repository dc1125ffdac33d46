//! The bucket that `irsa publish` sets up: taken over, made, opened.

use irsa_testkit::s3::Quirks;

use crate::publish_s3::{Setting, TARGET};

#[test]
fn a_bucket_is_taken_over_only_with_proof() {
    let setting = Setting::new(Quirks::default());
    setting.publish(&["a.pub"]).code(1);
    setting.s3.make_bucket("oidc-bucket");
    setting.s3.put("oidc-bucket", "somebody/elses", b"x");
    let refused = setting
        .publish(&["--access", "policy", "a.pub"])
        .code(1)
        .stderr;
    assert!(refused.contains("--adopt-bucket"), "{refused}");
    assert_eq!(setting.writes(), Vec::<String>::new());
    setting
        .publish(&["--access", "policy", "--adopt-bucket", "a.pub"])
        .ok();
    let stranger = [
        "publish",
        "--to",
        TARGET,
        "--bucket-owner",
        "999999999999",
        "--check",
        "a.pub",
    ];
    let refused = setting.irsa(&stranger).code(1).stderr;
    assert!(refused.contains("access is denied"), "{refused}");
}

#[test]
fn a_new_bucket_that_not_every_call_finds_is_waited_for() {
    let unsettled = [
        "HEAD oidc-bucket/",
        "GET oidc-bucket/?ownershipControls",
        "PUT oidc-bucket/?policy",
        "GET oidc-bucket/prod/keys.json",
        "PUT oidc-bucket/prod/keys.json",
    ];
    let setting = Setting::created(Quirks {
        unsettled: unsettled.map(str::to_owned).to_vec(),
        ..Quirks::default()
    });
    setting
        .s3
        .with_quirks(|quirks| assert!(quirks.unsettled.is_empty(), "{:?}", quirks.unsettled));
    let policy = setting.s3.setting("oidc-bucket", "policy").unwrap();
    assert!(policy.contains("prod/keys.json"), "{policy}");

    // One that this run did not make is not waited for.
    setting.s3.with_quirks(|quirks| {
        quirks
            .unsettled
            .push("PUT oidc-bucket/prod/keys.json".to_owned());
    });
    let ran = setting.publish(&["a.pub", "b.pub"]).code(1);
    assert!(ran.stderr.contains("no such bucket"), "{}", ran.stderr);
}

#[test]
fn block_public_access_of_the_account_is_explained() {
    let setting = Setting::new(Quirks {
        account_block: true,
        ..Quirks::default()
    });
    let ran = setting.publish(&["--create-bucket", "a.pub"]).code(1);
    assert!(
        ran.stderr.contains("Block Public Access of the account")
            && ran.stderr.contains("--access none"),
        "{}",
        ran.stderr
    );
    // It heals when the account's setting is gone, although the bucket was made by the run that failed.
    setting
        .s3
        .with_quirks(|quirks| quirks.account_block = false);
    setting.publish(&["--create-bucket", "a.pub"]).ok();
}

#[test]
fn a_store_that_knows_fewer_calls_is_set_up_as_far_as_it_goes() {
    let setting = Setting::created(Quirks {
        no_access_block: true,
        ignores_tags: true,
        ..Quirks::default()
    });
    assert!(
        setting
            .s3
            .setting("oidc-bucket", "tagging")
            .unwrap()
            .contains("irsa:managed")
    );
}
