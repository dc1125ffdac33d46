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
