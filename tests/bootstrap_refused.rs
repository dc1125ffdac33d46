use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::bootstrap_setting::{CLUSTER, Setting};
use crate::util::Home;

#[test]
fn what_cannot_work_is_refused_before_anybody_is_asked() {
    let keep = |from: &str, to: &str| CLUSTER.replace(from, to);
    for config in [
        "issuers: []\n".to_owned(),
        keep(
            "    generate: keys\n    algorithm: ES256\n",
            "    adopt: []\n",
        ),
        keep("algorithm: ES256", "rsa_bits: 1024"),
        keep("to: s3://oidc-bucket/prod", "to: dir:public"),
        keep(
            "to: s3://oidc-bucket/prod",
            "to: s3://oidc-bucket/prod\n    certificate_arn: arn:aws:acm:us-east-1:1:certificate/x",
        ),
        keep("[payments/api]", "[payments/*]"),
        keep("name: reports", "name: re/ports"),
    ] {
        let setting = Setting::new(&config);
        setting.bootstrap(&["--yes"]).code(2);
        assert_eq!(setting.cloud.take_writes(), 0, "{config}");
        assert!(!setting.home.path("keys").exists(), "{config}");
    }
}

#[test]
fn files_that_are_not_there_are_missed_before_credentials_are() {
    let keep = |from: &str, to: &str| CLUSTER.replace(from, to);
    let issuer =
        "  name: prod\n  issuer: https://oidc.example.com\n  apiserver:\n    files: [pod.yaml]\n";
    let webhook = "  name: prod\n  webhook:\n    image: irsa\n    flags: [--no-such]\n";
    for (config, missed) in [
        (
            keep("generate: keys\n    algorithm: ES256", "adopt: [sa.pub]"),
            "sa.pub\" cannot be read",
        ),
        (
            keep("policy.json", "other.json"),
            "other.json\" cannot be read",
        ),
        (keep("  name: prod\n", issuer), "pod.yaml\" cannot be read"),
        (keep("  name: prod\n", webhook), "--no-such"),
    ] {
        let home = Home::new();
        home.write("irsa.yaml", config);
        home.write("policy.json", r#"{"Statement":[]}"#);
        // Nobody answers there, and nobody has credentials.
        let ran = home
            .irsa(&["bootstrap", "--yes", "--config", "irsa.yaml"])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
            .any();
        assert!(ran.stderr.contains(missed), "{missed}: {}", ran.stderr);
    }
}

#[test]
fn a_pipe_for_a_key_file_is_refused_and_not_waited_for() {
    let home = Home::new();
    let adopt = CLUSTER.replace("generate: keys\n    algorithm: ES256", "adopt: [sa.pub]");
    home.write("irsa.yaml", adopt);
    mknodat(CWD, home.path("sa.pub"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let ran = home.irsa(&["bootstrap", "--yes", "--config", "irsa.yaml"]);
    let said = ran.code(1).stderr;
    assert!(said.contains("a pipe, a socket or a device"), "{said}");
}
