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
    let rows = cluster.rows();
    let value = |name: &str| rows.iter().find(|(row, _)| row == name).unwrap().1.clone();
    assert_eq!(value("cluster.publish.access"), "cloudfront");
    assert_eq!(value("cluster.apiserver.phase"), "sign");
}
