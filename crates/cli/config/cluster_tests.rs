use std::path::Path;

use irsa_core::explain::Explain as _;

use crate::config::Config;

const SMALL: &str = "cluster:\n  name: prod\n  keys:\n    adopt: [pki/sa.pub]\n  publish:\n    to: s3://oidc/prod\n";

#[test]
fn the_least_that_is_needed() {
    let mut config = Config::parse(SMALL).unwrap();
    config.resolve_paths(Path::new("/etc/irsa"));
    let cluster = config.cluster.unwrap();
    assert_eq!(cluster.keys.adopt, [Path::new("/etc/irsa/pki/sa.pub")]);
    assert_eq!(cluster.provider.client_ids, ["sts.amazonaws.com"]);
    assert!(cluster.publish.access.is_none() && cluster.roles.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    for (text, nearest) in [
        (SMALL.replace("adopt", "adept"), "adopt"),
        (format!("{SMALL}    acess: policy\n"), "access"),
        (
            format!("{SMALL}  provider:\n    client_id: [a]\n"),
            "client_ids",
        ),
        (
            format!("{SMALL}  roles:\n    - name: a\n      service_account: [a/b]\n"),
            "service_accounts",
        ),
        (format!("{SMALL}  webhok:\n    image: x\n"), "webhook"),
    ] {
        let error = Config::parse(&text).unwrap_err();
        assert!(
            error.help().unwrap().contains(nearest),
            "{error}: {:?}",
            error.help()
        );
    }
}

#[test]
fn values_are_those_of_the_options() {
    for bad in [
        format!("{SMALL}    access: public\n"),
        SMALL.replace("s3://oidc", "s3://my.bucket"),
        SMALL.replace("prod\n  keys", "a b\n  keys"),
        format!("{SMALL}  apiserver:\n    files: [a]\n    phase: never\n"),
        format!("{SMALL}  apiserver:\n    files: [a]\n    distro: debian\n"),
    ] {
        assert!(Config::parse(&bad).is_err(), "{bad}");
    }
    let good = format!(
        "{SMALL}    access: cloudfront\n  apiserver:\n    files: [a]\n    phase: sign\n    distro: kubeadm\n"
    );
    let cluster = Config::parse(&good).unwrap().cluster.unwrap();
    let rows = crate::config::rows::rows("cluster", &cluster);
    let value = |name: &str| rows.iter().find(|(row, _)| row == name).unwrap().1.clone();
    assert_eq!(value("cluster.publish.access"), "cloudfront");
    assert_eq!(value("cluster.apiserver.phase"), "sign");
}

#[test]
fn every_key_that_is_written_has_a_row_with_its_value() {
    let text = format!(
        "{SMALL}    region: eu-west-1\n    certificate_arn: arn:aws:acm:us-east-1:1:certificate/c\n    max_age: 60s\n    \
         read_back: false\n  issuer: https://h/a\n  roles:\n    - name: app\n      service_accounts: [a/b, a/c]\n      \
         policy_arns: [arn:aws:iam::aws:policy/x]\n      max_session: 2h\n  webhook:\n    image: i\n    replicas: 3\n"
    );
    let cluster = Config::parse(&text).unwrap().cluster.unwrap();
    let rows: std::collections::BTreeMap<_, _> = crate::config::rows::rows("cluster", &cluster)
        .into_iter()
        .collect();
    let written = crate::config::rows::written(&text);
    assert!(written.len() == 14, "{written:?}");
    for (name, value) in &written {
        let shown = rows.get(name).unwrap_or_else(|| panic!("{name}"));
        let same = if name.ends_with("max_session") {
            "7200s"
        } else {
            value
        };
        assert_eq!(shown, same, "{name}");
    }
    // What is not written has a row too.
    for name in ["keys.rotated", "publish.bucket_owner", "apiserver"] {
        let name = format!("cluster.{name}");
        assert!(
            rows.contains_key(&name) && !written.contains_key(&name),
            "{name}"
        );
    }
}
