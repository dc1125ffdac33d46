use super::*;

const OURS: &str = "kube-apiserver-arg: [service-account-issuer=https://a.example.com]\n";

fn layers(texts: &[&str]) -> Vec<Layer> {
    let layer = |(number, text): (usize, &&str)| Layer {
        path: format!("{number}.yaml").into(),
        text: (*text).to_owned(),
    };
    texts.iter().enumerate().map(layer).collect()
}

#[test]
fn drop_ins_are_those_that_k3s_reads() {
    let base_of = |path: &str| base(FilePath::new(path), Distro::Rke2);
    let config = FilePath::new("/etc/rancher/rke2/config.yaml");
    assert_eq!(
        base_of("/etc/rancher/rke2/config.yaml").as_deref(),
        Some(config)
    );
    assert_eq!(
        base_of("/etc/rancher/rke2/config.yaml.d/50-a.YML").as_deref(),
        Some(config)
    );
    assert_eq!(
        directory(config),
        FilePath::new("/etc/rancher/rke2/config.yaml.d")
    );
    for plain in ["/etc/conf.d/a.yaml", "/etc/config.yaml.d/a.txt"] {
        assert_eq!(base_of(plain).as_deref(), Some(FilePath::new(plain)));
    }
    assert_eq!(base(config, Distro::Kubeadm), None);
    assert!(!is_drop_in(FilePath::new("a.yaml.bak")));
}

#[test]
fn a_later_list_replaces_ours_and_a_later_addition_may_add() {
    let cases = [
        ("kube-apiserver-arg: [v=2]\n", Some("is replaced by")),
        ("kube-apiserver-arg:\n", Some("is replaced by")),
        (
            "kube-apiserver-arg: api-audiences=a\n",
            Some("is replaced by"),
        ),
        ("kube-apiserver-arg+: [v=2]\n", None),
        (
            "kube-apiserver-arg+: [--api-audiences=a]\n",
            Some("adds token flags"),
        ),
        (
            "kube-controller-manager-arg: [bind-address=0.0.0.0]\n",
            None,
        ),
        ("", None),
        ("# nothing\n", None),
        ("a: [\n", Some("cannot be read")),
    ];
    for (text, expected) in cases {
        let error = allow("", OURS, &[], &layers(&[text])).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(!message.is_empty(), expected.is_some(), "{text}: {message}");
        assert!(message.contains(expected.unwrap_or_default()), "{message}");
    }
    // The last one wins, and is the one to change.
    let later = layers(&[OURS, "kube-apiserver-arg: [v=2]\n", "token: a\n"]);
    let error = allow(OURS, OURS, &[], &later).unwrap_err().to_string();
    assert!(error.contains("\"1.yaml\""), "{error}");
}

#[test]
fn a_new_list_does_not_take_the_place_of_an_earlier_one() {
    for text in [
        "kube-apiserver-arg: [v=2]\n",
        "kube-apiserver-arg+: [v=2]\n",
    ] {
        let earlier = layers(&[text]);
        let error = allow("token: a\n", OURS, &earlier, &[]).unwrap_err();
        assert!(matches!(error, LayerError::Replaces { .. }), "{error}");
        // It was replaced before.
        allow("kube-apiserver-arg: []\n", OURS, &earlier, &[]).unwrap();
    }
    allow("", OURS, &layers(&["token: a\n"]), &[]).unwrap();
}

#[test]
fn what_is_in_force_elsewhere_is_said() {
    let found = |text, earlier: &[&str], later: &[&str]| {
        let all = differences(text, &layers(earlier), &layers(later)).unwrap();
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        found(OURS, &["kube-apiserver-arg: [v=2]\n"], &["token: a\n"]),
        [""; 0]
    );
    assert_eq!(found("", &[], &["kube-apiserver-arg: [v=2]\n"]), [""; 0]);
    let replaced = "kube-apiserver-arg is replaced by that of \"0.yaml\", which is read after it";
    assert_eq!(
        found(OURS, &[], &["kube-apiserver-arg: [v=2]\n"]),
        [replaced]
    );
    assert_eq!(found("", &[], &[OURS]), [replaced]);
    let elsewhere =
        "the token flags of kube-apiserver-arg are in \"0.yaml\", which is read before it";
    assert_eq!(found("token: a\n", &[OURS], &[]), [elsewhere]);
}

/// What k3s sets by itself is written out beside ours: from a domain that another file changes it would be wrong.
#[test]
fn a_domain_or_directory_of_another_file_is_asked_for_in_this_one() {
    const DOMAIN: &str = "cluster-domain: corp.example\n";
    let with = |more: &str| format!("{more}{OURS}");
    let said = |before: &str, earlier: &[&str], later: &[&str]| {
        let error = allow(before, &with(before), &layers(earlier), &layers(later)).err();
        error.map(|error| (error.to_string(), error.help().unwrap()))
    };
    let (message, help) = said("", &[DOMAIN], &[]).unwrap();
    assert_eq!(
        message,
        "cluster-domain is \"corp.example\" in \"0.yaml\", which is read with it"
    );
    assert!(help.starts_with("write cluster-domain: corp.example into this file too"));
    assert!(said("", &[], &[DOMAIN]).is_some());
    assert!(said("cluster-domain: a.example\n", &[], &[DOMAIN]).is_some());
    assert!(said("", &["data-dir: /data\n", DOMAIN], &[]).is_some());
    for fine in [
        said(DOMAIN, &[], &[DOMAIN]),
        // The last one decides.
        said(DOMAIN, &["cluster-domain: a.example\n"], &[]),
        said("", &[], &["node-label: [a=b]\n"]),
    ] {
        assert_eq!(fine, None);
    }
    // A change of something else needs none of it.
    let other = "node-label: [a=b]\n";
    assert!(allow("", other, &layers(&[DOMAIN]), &[]).is_ok());
    let found = differences(OURS, &layers(&[DOMAIN]), &[]).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}

/// A file that its owner writes anew is no place for a change.
#[test]
fn what_rancher_writes_is_to_be_set_in_rancher() {
    let rancher = Layer {
        path: "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml".into(),
        text: OURS.to_owned(),
    };
    let new = "kube-apiserver-arg: [service-account-issuer=https://b.example.com]\n";
    let error = allow("", new, &[], &[rancher]).unwrap_err();
    let help = error.help().unwrap();
    assert!(
        help.contains("machineGlobalConfig") && !help.contains("instead"),
        "{help}"
    );
}
