use std::fs;
use std::path::PathBuf;

use irsa_core::kid::Kid;

use super::*;

/// A node whose manifest names these files, all of them below the directory that it mounts.
fn standing(root: &Path, issuer: &str, keys: &[&str], signing: &str) -> Standing {
    let line = |key| format!("    - --service-account-key-file=/etc/kubernetes/pki/{key}\n");
    let flags = keys.iter().map(line).collect::<Vec<_>>().concat();
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: kube-apiserver, namespace: kube-system}}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --service-account-issuer={issuer}
{flags}    - --service-account-signing-key-file=/etc/kubernetes/pki/{signing}
    volumeMounts:
    - {{name: k8s-certs, mountPath: /etc/kubernetes/pki, readOnly: true}}
  volumes:
  - {{name: k8s-certs, hostPath: {{path: /etc/kubernetes/pki, type: DirectoryOrCreate}}}}
"
    );
    let path = root.join("kube-apiserver.yaml");
    fs::write(&path, text).unwrap();
    Standing::read(path, Role::ApiServer).unwrap()
}

fn pending(standing: Standing) -> Pending {
    Pending {
        standing,
        unproved: Unproved {
            reason: "sign".into(),
            started: 1.0,
            written: Written::Yes,
        },
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("keys-example")
        .join(name)
}

fn kid_of(name: &str) -> Kid {
    let key = fs::read(example(name)).unwrap();
    let keys = irsa_core::block::KeyFile::parse(&key);
    let (_, key) = keys.apiserver_keys().unwrap().remove(0);
    key.kid()
}

#[test]
fn a_key_that_cannot_be_read_here_proves_nothing_and_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    let pki = root.join("etc/kubernetes/pki");
    fs::create_dir_all(&pki).unwrap();
    fs::copy(example("p256.pub"), pki.join("good.pub")).unwrap();
    fs::copy(example("rsa2048.pub"), pki.join("last.pub")).unwrap();
    fs::write(pki.join("garbage.pub"), "no key").unwrap();
    fs::create_dir(pki.join("folder.pub")).unwrap();
    fs::write(pki.join("garbage.key"), "no key").unwrap();
    let keys = [
        "missing.pub",
        "good.pub",
        "garbage.pub",
        "folder.pub",
        "last.pub",
    ];
    let both: BTreeSet<_> = [kid_of("p256.pub"), kid_of("rsa2048.pub")].into();
    for signing in ["missing.key", "garbage.key", "folder.pub"] {
        let standing = standing(root, "https://oidc.example.com/prod", &keys, signing);
        let goal = pending(standing).goal(root).unwrap();
        assert_eq!(goal.kids, both, "{signing}");
        assert_eq!(goal.signing, None, "{signing}");
        assert_eq!(goal.issuer.as_str(), "https://oidc.example.com/prod");
    }
    let none = standing(root, "https://oidc.example.com/prod", &keys[2..4], "x.key");
    assert_eq!(pending(none).goal(root).unwrap().kids, BTreeSet::new());
}

#[test]
fn without_an_issuer_to_look_for_the_way_back_is_named() {
    let home = tempfile::tempdir().unwrap();
    let standing = standing(home.path(), "http://oidc.example.com", &["a.pub"], "a.key");
    let manifest = standing.path.display().to_string();
    let failure = pending(standing).goal(home.path()).unwrap_err();
    let message = failure.message();
    assert!(message.contains("cannot be proved"), "{message}");
    assert!(message.contains(&manifest), "{message}");
}
