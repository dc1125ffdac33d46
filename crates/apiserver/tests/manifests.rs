//! Manifests that are not as kubeadm writes them: each is handled, or refused with the reason; none is damaged.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use irsa_apiserver::distro::Distro;
use irsa_apiserver::patch::{Manifest, PatchError, Patched};
use irsa_apiserver::plan::{Phase, Wanted};
use irsa_core::explain::Explain as _;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};

const OURS: &str = "https://oidc.example.com/prod";

fn wanted() -> Wanted {
    Wanted {
        issuer: IssuerUrl::parse(OURS, TrailingSlash::Refuse).unwrap(),
        jwks_uri: None,
        key_files: Vec::new(),
        signing_key_file: None,
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    }
}

fn accept(text: &str) -> Result<Patched, PatchError> {
    Manifest::read(text, Path::new("kube-apiserver.yaml"), None)?.patch(&wanted(), Phase::Accept)
}

fn refused(text: &str) -> String {
    let error = accept(text).unwrap_err();
    assert!(error.help().is_some(), "{error}");
    error.to_string()
}

fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n{spec}")
}

const FLAGS: &str = "    - --service-account-issuer=https://old.example.com\n    - --service-account-key-file=/pki/sa.pub\n";

#[test]
fn not_a_kube_apiserver_pod() {
    let text = pod("  containers:\n  - command:\n    - etcd\n    - --name=a\n");
    assert_eq!(
        refused(&text),
        "it is of no distribution that is known here"
    );
    let named = Manifest::read(&text, Path::new("x"), Some(Distro::Kubeadm)).unwrap_err();
    assert_eq!(named.to_string(), "it is not a file of kubeadm");
    assert_eq!(
        refused("just a text\n"),
        "it is of no distribution that is known here"
    );
    assert_eq!(refused(""), "it is of no distribution that is known here");
}

#[test]
fn the_container_beside_it_is_left_alone() {
    let other = "  - command:\n    - audit-shipper\n    - --service-account-issuer=https://not.ours\n    name: audit\n";
    let text = pod(&format!(
        "  containers:\n{other}  - command:\n    - kube-apiserver\n{FLAGS}"
    ));
    let after = accept(&text).unwrap().text;
    assert!(after.contains(other), "{after}");
    assert!(
        after.contains(&format!("    - --service-account-issuer={OURS}\n")),
        "{after}"
    );
    let twice = pod(&format!(
        "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}  - command:\n    - kube-apiserver\n{FLAGS}"
    ));
    assert_eq!(refused(&twice), "kube-apiserver is in it more than once");
}

#[test]
fn flags_in_one_string_for_a_shell() {
    for command in [
        "    - /bin/sh\n    - -c\n    - exec kube-apiserver --service-account-issuer=https://old.example.com --v=2\n",
        "    - kube-apiserver --service-account-issuer=https://old.example.com --v=2\n",
    ] {
        let text = pod(&format!(
            "  containers:\n  - name: kube-apiserver\n    command:\n{command}"
        ));
        assert!(refused(&text).contains("runs a shell"), "{command}");
    }
}

#[test]
fn command_and_args_side_by_side() {
    let text = pod(&format!(
        "  containers:\n  - command: [kube-apiserver, --v=2]\n    args:\n{FLAGS}"
    ));
    let after = accept(&text).unwrap().text;
    assert!(
        after.contains("command: [kube-apiserver, --v=2]\n"),
        "{after}"
    );
    assert!(
        after.contains(&format!(
            "old.example.com\n    - --service-account-issuer={OURS}\n"
        )),
        "{after}"
    );
}

#[test]
fn a_flag_and_its_value_as_two_items() {
    let text = pod(
        "  containers:\n  - command:\n    - kube-apiserver\n    - --service-account-issuer\n    - https://old.example.com\n    - --v=2\n",
    );
    let after = accept(&text).unwrap().text;
    assert!(
        after.contains(&format!(
            "    - https://old.example.com\n    - --service-account-issuer={OURS}\n"
        )),
        "{after}"
    );
}

#[test]
fn windows_line_ends_stay() {
    let text = pod(&format!(
        "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}"
    ))
    .replace('\n', "\r\n");
    let after = accept(&text).unwrap().text;
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    assert!(
        after.contains(&format!("    - --service-account-issuer={OURS}\r\n")),
        "{after}"
    );
}

#[test]
fn anchors_and_aliases() {
    let shared = format!(
        "  containers:\n  - command: &flags\n    - kube-apiserver\n{FLAGS}    env: *flags\n"
    );
    assert!(
        refused(&pod(&shared)).contains("cannot be made safely"),
        "{shared}"
    );
    // An anchor elsewhere is nobody's concern.
    let elsewhere = format!(
        "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}    a: &x 1\n    b: *x\n"
    );
    assert!(
        accept(&pod(&elsewhere))
            .unwrap()
            .text
            .contains("    a: &x 1\n    b: *x\n")
    );
}

#[test]
fn repeated_keys() {
    let text = pod(&format!(
        "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}    command:\n    - kube-apiserver\n"
    ));
    assert!(
        refused(&text).contains("not valid YAML"),
        "{}",
        refused(&text)
    );
}

#[test]
fn two_distributions_are_not_guessed_between() {
    let error = Manifest::read(
        "tls-san: [a]\nkube-apiserver-arg: [v=2]\n",
        Path::new("config.yaml"),
        None,
    )
    .unwrap_err();
    assert!(error.to_string().contains("k3s"), "{error}");
    assert_eq!(error.help().unwrap(), "say --distro k3s or --distro rke2");
    let by_path = Manifest::read(
        "tls-san: [a]\n",
        Path::new("/etc/rancher/rke2/config.yaml"),
        None,
    )
    .unwrap();
    assert_eq!(by_path.detected.distro, Distro::Rke2);
    let by_key = Manifest::read(
        "tls-san: [a]\nflannel-backend: none\n",
        Path::new("config.yaml"),
        None,
    )
    .unwrap();
    assert_eq!(by_key.detected.distro, Distro::K3s);
}

#[test]
fn an_issuer_in_two_places_of_eks_anywhere_is_refused() {
    let text = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\nspec:\n  podIamConfig:\n    serviceAccountIssuer: https://a\n  controlPlaneConfiguration:\n    apiServerExtraArgs:\n      service-account-issuer: https://b\n";
    assert!(
        refused(text).contains("joins them with a comma"),
        "{}",
        refused(text)
    );
}

#[test]
fn two_issuers_joined_with_a_comma_are_refused() {
    let text = pod(
        "  containers:\n  - command:\n    - kube-apiserver\n    - --service-account-issuer=https://a,https://b\n",
    );
    assert!(refused(&text).contains("never splits at commas"));
}

#[test]
fn another_version_of_a_format_is_named() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta9\nkind: ClusterConfiguration\n";
    assert_eq!(
        refused(text),
        "apiVersion \"kubeadm.k8s.io/v1beta9\" is not known here, expected kubeadm.k8s.io/v1beta4 or v1beta3"
    );
}

/// An error and its help.
fn told(text: &str, distro: Option<Distro>, phase: Phase) -> String {
    let read = Manifest::read(text, Path::new("m.yaml"), distro);
    let error = read
        .and_then(|manifest| manifest.patch(&wanted(), phase))
        .unwrap_err();
    format!("{error}; {}", error.help().unwrap())
}

#[test]
fn one_string_is_no_shell() {
    let text =
        pod("  containers:\n  - command: kube-apiserver --service-account-issuer=https://a\n");
    assert_eq!(
        refused(&text),
        "spec.containers[0].command should be a list of strings, one for each flag"
    );
}

#[test]
fn a_worker_of_talos_has_no_kube_apiserver() {
    let worker = "machine:\n  type: worker\ncluster:\n  controlPlane:\n    endpoint: https://10.0.0.1:6443\n";
    assert_eq!(
        refused(worker),
        "its machine.type is \"worker\": no kube-apiserver runs there"
    );
    accept(&worker.replace("worker", "controlplane")).unwrap();
    accept(&worker.replace("  type: worker\n", "  sysctls: {}\n")).unwrap();
}

#[test]
fn what_is_wrapped_around_a_file_is_named() {
    let map = "apiVersion: v1\nkind: ConfigMap\ndata:\n  ClusterConfiguration: |\n    kind: ClusterConfiguration\n";
    let list = "apiVersion: v1\nkind: List\nitems: []\n";
    for distro in [None, Some(Distro::KubeadmConfig)] {
        let said = told(map, distro, Phase::Accept);
        assert!(
            said.starts_with(
                "it is a ConfigMap, and what irsa changes is inside; take it out: kubectl"
            ),
            "{said}"
        );
        let said = told(list, distro, Phase::Accept);
        assert!(said.starts_with("it is a List, "), "{said}");
    }
}

#[test]
fn where_one_issuer_fits_one_of_two_is_to_be_kept() {
    let joined = "https://a,https://b";
    let text = format!(
        "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\nspec:\n  podIamConfig:\n    serviceAccountIssuer: {joined}\n"
    );
    let said = told(&text, None, Phase::New);
    let command =
        format!("irsa apiserver patch --phase new --issuer URL --remove-issuer '{joined}' FILE");
    assert!(
        said.contains("keep exactly one") && said.contains(&command),
        "{said}"
    );
    // That command does it.
    let manifest = Manifest::read(&text, Path::new("m.yaml"), None).unwrap();
    let kept = Wanted {
        remove_issuers: vec![joined.to_owned()],
        ..wanted()
    };
    let after = manifest.patch(&kept, Phase::New).unwrap().text;
    assert_eq!(after, text.replace(joined, OURS));
}

#[test]
fn issuers_that_nobody_can_have_meant_are_refused() {
    for (issuers, fault) in [
        (
            ["https://a", "https://a"],
            "\"https://a\" is given twice, and kube-apiserver does not start with that",
        ),
        (["https://a", ""], "\"\" is empty"),
        (
            ["https://a", "https://b https://c"],
            "\"https://b https://c\" has a blank in it: one flag holds one issuer",
        ),
    ] {
        let items = issuers
            .map(|issuer| format!("  - {{name: service-account-issuer, value: \"{issuer}\"}}\n"));
        let text = format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n{}",
            items.concat()
        );
        assert_eq!(refused(&text), format!("--service-account-issuer {fault}"));
    }
}

#[test]
fn audiences_are_written_once() {
    for odd in ["x,x", ",x,", "x,x,"] {
        let text = pod(&format!(
            "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}    - --api-audiences={odd}\n"
        ));
        let after = accept(&text).unwrap().text;
        assert!(
            after.contains("--api-audiences=x\n") || odd == ",x,",
            "{after}"
        );
    }
    let text = pod(&format!(
        "  containers:\n  - command:\n    - kube-apiserver\n{FLAGS}    - --api-audiences=,\n"
    ));
    let after = accept(&text).unwrap().text;
    assert!(
        after.contains(&format!("--api-audiences=https://old.example.com,{OURS}\n")),
        "{after}"
    );
}

#[test]
fn the_next_step_fits_what_was_changed() {
    let next = |distro: Distro, phase, keys| distro.next(phase, keys);
    assert!(
        next(Distro::K3s, Phase::Accept, true)
            .starts_with("place the key files on every server first; then systemctl")
    );
    assert!(next(Distro::K3s, Phase::Accept, false).starts_with("systemctl restart k3s"));
    assert!(next(Distro::KubeadmConfig, Phase::Accept, false).starts_with("on a live cluster"));
    assert_eq!(
        next(Distro::KubeadmConfig, Phase::New, true),
        "kubeadm init --config FILE"
    );
}

#[test]
fn json_stays_json_through_both_phases() {
    let text = "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"spec\": {\n    \"containers\": [\n      {\n        \"command\": [\n          \"kube-apiserver\",\n          \"--service-account-issuer=https://old.example.com\",\n          \"--service-account-key-file=/etc/kubernetes/pki/sa.pub\"\n        ],\n        \"name\": \"kube-apiserver\"\n      }\n    ]\n  }\n}\n";
    let keys = Wanted {
        key_files: vec!["/etc/kubernetes/irsa/new.pub".to_owned()],
        signing_key_file: Some("/etc/kubernetes/irsa/new.key".to_owned()),
        ..wanted()
    };
    let patch = |text: &str, phase| {
        let manifest = Manifest::read(text, Path::new("m.yaml"), None).unwrap();
        manifest.patch(&keys, phase).unwrap().text
    };
    let accepted = patch(text, Phase::Accept);
    let signed = patch(&accepted, Phase::Sign);
    for made in [&accepted, &signed] {
        let tree: serde_json::Value = serde_json::from_str(made).unwrap();
        let flags = tree["spec"]["containers"][0]["command"].as_array().unwrap();
        let lines = made
            .lines()
            .filter(|line| line.trim_start().starts_with("\"--"));
        assert_eq!(
            lines.count() + 1,
            flags.len(),
            "each on its own line\n{made}"
        );
    }
    assert!(
        signed.contains(&format!(
            "\"kube-apiserver\",\n          \"--service-account-issuer={OURS}\",\n"
        )),
        "{signed}"
    );
}
