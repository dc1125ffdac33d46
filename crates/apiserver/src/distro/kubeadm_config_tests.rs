//! kubeadm's own file, where what kubeadm does by itself counts as well.

use std::path::Path;

use irsa_core::issuer::{IssuerUrl, TrailingSlash};

use crate::patch::Manifest;
use crate::plan::{Phase, Wanted};

fn wanted(key_file: &str) -> Wanted {
    let ours = "https://oidc.example.com/prod";
    Wanted {
        issuer: IssuerUrl::parse(ours, TrailingSlash::Refuse).unwrap(),
        jwks_uri: None,
        key_files: vec![key_file.to_owned()],
        signing_key_file: None,
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    }
}

fn configuration(more: &str) -> String {
    format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{more}")
}

/// `certificatesDir` is what kubeadm mounts, under a name of its own: the same path again would make a pod that no kubelet
/// takes.
#[test]
fn the_directory_of_certificates_is_mounted_where_it_is() {
    for (file, mounted) in [
        ("/etc/kubernetes/ssl/new.pub", false),
        ("/etc/kubernetes/pki/new.pub", true),
        ("/etc/kubernetes/irsa/new.pub", true),
    ] {
        let text = configuration("certificatesDir: /etc/kubernetes/ssl\napiServer: {}\n");
        let manifest = Manifest::read(&text, Path::new("kubeadm.yaml"), None).unwrap();
        let patched = manifest.patch(&wanted(file), Phase::Accept).unwrap();
        assert_eq!(
            patched.text.contains("extraVolumes"),
            mounted,
            "{}",
            patched.text
        );
        assert!(
            patched.text.contains("/etc/kubernetes/ssl/sa.pub"),
            "{}",
            patched.text
        );
    }
}

/// The key that the distribution makes goes on signing, so what verifies it stays.
#[test]
fn a_new_cluster_verifies_its_own_tokens_when_only_a_public_half_is_named() {
    let text = configuration("apiServer: {}\n");
    let manifest = Manifest::read(&text, Path::new("kubeadm.yaml"), None).unwrap();
    let public = wanted("/etc/kubernetes/pki/new.pub");
    let patched = manifest.patch(&public, Phase::New).unwrap().text;
    let places: Vec<_> = ["/etc/kubernetes/pki/sa.pub", "/etc/kubernetes/pki/new.pub"]
        .map(|file| patched.find(file))
        .into();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{patched}"
    );
    // With a signing key of its own, nothing else is needed.
    let both = Wanted {
        signing_key_file: Some("/etc/kubernetes/pki/new.key".to_owned()),
        ..public
    };
    let patched = manifest.patch(&both, Phase::New).unwrap().text;
    assert!(!patched.contains("sa.pub"), "{patched}");
}
