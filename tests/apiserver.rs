use crate::util::{Home, repository};

const OURS: &str = "https://oidc.example.com/prod";

/// A node's manifests and keys below `node`, as kubeadm leaves them.
fn node() -> Home {
    let home = Home::new();
    for component in ["apiserver", "controller-manager"] {
        let golden = format!("tests/golden/kubeadm/stock-{component}-1-36/before.yaml");
        let text = std::fs::read_to_string(repository(&golden)).unwrap();
        home.write(
            &format!("node/etc/kubernetes/manifests/kube-{component}.yaml"),
            text,
        );
    }
    home.irsa(&["keys", "generate", "--out", "node/etc/kubernetes/pki"])
        .ok();
    home
}

const API_SERVER: &str = "node/etc/kubernetes/manifests/kube-apiserver.yaml";
const MANAGER: &str = "node/etc/kubernetes/manifests/kube-controller-manager.yaml";

fn patch<'a>(home: &'a Home, more: &[&str]) -> crate::util::Irsa<'a> {
    let fixed = [
        "apiserver",
        "patch",
        "--issuer",
        OURS,
        "--backup",
        "backup",
        API_SERVER,
        MANAGER,
    ];
    home.irsa(&[&fixed, more].concat())
}

fn check<'a>(home: &'a Home, more: &[&str]) -> crate::util::Irsa<'a> {
    home.irsa(
        &[
            &["apiserver", "check", "--root", "node", API_SERVER, MANAGER],
            more,
        ]
        .concat(),
    )
}

#[test]
fn two_passes_and_back_again_byte_for_byte() {
    let home = node();
    let stock = home.read(API_SERVER);
    let dry = patch(&home, &["--dry-run"]).ok().stdout;
    assert!(
        dry.contains(&format!("+    - --service-account-issuer={OURS}")),
        "{dry}"
    );
    assert!(dry.ends_with("nothing was written\n"), "{dry}");
    assert_eq!(home.read(API_SERVER), stock);
    patch(&home, &["--check"]).code(3);

    let done = patch(&home, &[]).ok().stdout;
    assert!(
        done.contains("next: the kubelet starts the pod anew"),
        "{done}"
    );
    assert!(
        done.contains("kube-controller-manager.yaml: nothing to do"),
        "{done}"
    );
    let accepted = home.read(API_SERVER);
    patch(&home, &["--check"]).ok();
    patch(&home, &[]).ok();
    assert_eq!(
        home.read(API_SERVER),
        accepted,
        "a second run changes nothing"
    );

    patch(&home, &["--phase", "sign"]).ok();
    assert!(home.read(API_SERVER).contains(&format!(
        "issuer={OURS}\n    - --service-account-issuer=https://kubernetes"
    )));
    let listed = std::fs::read_dir(home.path("node/etc/kubernetes/manifests"))
        .unwrap()
        .count();
    assert_eq!(
        listed, 2,
        "the kubelet runs whatever lies beside a manifest"
    );

    home.irsa(&["apiserver", "revert", "--backup", "backup", API_SERVER])
        .ok();
    assert_eq!(home.read(API_SERVER), accepted);
    home.irsa(&["apiserver", "revert", "--backup", "backup", API_SERVER])
        .ok();
    assert_eq!(home.read(API_SERVER), stock);
    let refused = home
        .irsa(&["apiserver", "revert", "--backup", "backup", API_SERVER])
        .code(1)
        .stderr;
    assert!(refused.contains("there is no backup of"), "{refused}");
}

#[test]
fn signing_before_accepting_is_refused_and_nothing_is_written() {
    let home = node();
    let stock = home.read(API_SERVER);
    let error = patch(&home, &["--phase", "sign"]).code(1).stderr;
    assert!(
        error.contains("phase sign comes after phase accept"),
        "{error}"
    );
    assert_eq!(home.read(API_SERVER), stock);
    assert!(!home.path("backup").exists());
}

#[test]
fn one_file_that_is_refused_stops_all() {
    let home = node();
    let stock = home.read(API_SERVER);
    home.write("other.yaml", "a: b\n");
    let error = patch(&home, &["other.yaml"]).code(1).stderr;
    assert!(error.contains("other.yaml was not changed"), "{error}");
    assert_eq!(home.read(API_SERVER), stock);
}

#[test]
fn what_somebody_changed_since_is_not_undone() {
    let home = node();
    patch(&home, &[]).ok();
    let changed = home.read(API_SERVER).replace("--v=", "--w=") + "# mine\n";
    home.write(API_SERVER, &changed);
    let error = home
        .irsa(&["apiserver", "revert", "--backup", "backup", API_SERVER])
        .code(1)
        .stderr;
    assert!(
        error.contains("was changed since irsa patched it"),
        "{error}"
    );
    assert_eq!(home.read(API_SERVER), changed);
}

#[test]
fn a_healthy_node_has_no_problem_and_a_broken_one_has_each_named() {
    let home = node();
    let healthy = check(&home, &[]).ok().stdout;
    assert!(healthy.ends_with("no problem found\n"), "{healthy}");

    home.irsa(&[
        "keys",
        "generate",
        "--out",
        "node/etc/kubernetes/pki",
        "--name",
        "other",
    ])
    .ok();
    let broken = home
        .read(API_SERVER)
        .replace("--service-account-signing-key-file=/etc/kubernetes/pki/sa.key", "--service-account-signing-key-file=/etc/kubernetes/pki/other.key")
        .replace("issuer=https://kubernetes.default.svc.cluster.local", "issuer=https://a.example.com,https://b.example.com\n    - --api-audiences=sts.amazonaws.com\n    - --service-account-jwks-uri=http://x");
    home.write(API_SERVER, broken);
    let mut keys = home.read("node/etc/kubernetes/pki/sa.pub");
    keys.push_str(&std::fs::read_to_string(repository("keys-example/rsa2048-pkcs1.pub")).unwrap());
    home.write("node/etc/kubernetes/pki/sa.pub", keys);
    let found = check(&home, &[]).code(3).stdout;
    for expected in [
        "never splits at commas",
        "\"sts.amazonaws.com\": pod tokens made for AWS",
        "is \"http://x\", expected an https URL",
        "other.key\" (kid ",
        "is not loaded",
        "kube-controller-manager signs with key",
    ] {
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    let line = found
        .lines()
        .find(|line| line.contains("never splits"))
        .unwrap();
    assert!(line.contains("kube-apiserver.yaml:"), "{line}");
}

#[test]
fn what_is_wanted_can_come_from_the_file() {
    let home = node();
    home.write(
        "irsa.yaml",
        "apiserver:\n  issuer: https://oidc.example.com/prod\n  key_files: [/etc/kubernetes/pki/new.pub]\n",
    );
    let found = check(&home, &["--config", "irsa.yaml"]).code(3).stdout;
    assert!(
        found.contains("expected \"https://oidc.example.com/prod\""),
        "{found}"
    );
    home.irsa(&[
        "apiserver",
        "patch",
        "--config",
        "irsa.yaml",
        "--backup",
        "b",
        API_SERVER,
    ])
    .ok();
    assert!(
        home.read(API_SERVER)
            .contains("--service-account-key-file=/etc/kubernetes/pki/new.pub")
    );
    home.write(
        "bad.yaml",
        "apiserver:\n  issuer: https://h/p\n  key_files: [relative.pub]\n",
    );
    home.irsa(&["apiserver", "patch", "--config", "bad.yaml", API_SERVER])
        .code(2);
}

#[test]
fn the_audience_of_sts_is_never_given_to_the_api_server() {
    let home = node();
    let error = patch(&home, &["--api-audience", "sts.amazonaws.com"])
        .code(2)
        .stderr;
    assert!(
        error.contains("would be accepted by the cluster"),
        "{error}"
    );
    patch(&home, &["--phase", "retire"]).code(2);
    patch(&home, &["--remove-issuer", OURS]).code(2);
}

/// The flags of a signing key of its own, as a hostile or tired hand would type them.
fn sign_with<'a>(home: &'a Home, more: &[&str]) -> crate::util::Irsa<'a> {
    let key = home.path("other/new.key").display().to_string();
    let fixed = ["--phase", "sign", "--signing-key-file", &key];
    patch(home, &[&fixed, more].concat())
}

#[test]
fn a_key_that_no_api_server_verifies_does_not_sign() {
    let home = node();
    patch(&home, &[]).ok();
    let accepted = home.read(API_SERVER);
    // Nothing can be seen of either file: none is on this host.
    let error = sign_with(&home, &[]).code(1).stderr;
    assert!(
        error.contains("no --key-file names the file that has its public half"),
        "{error}"
    );
    assert!(error.contains("--allow-unverified-key"), "{error}");
    assert_eq!(home.read(API_SERVER), accepted);
    sign_with(&home, &["--allow-unverified-key", "--dry-run"]).ok();
    sign_with(
        &home,
        &["--key-file", "/etc/kubernetes/pki/sa.pub", "--dry-run"],
    )
    .ok();
    // kube-controller-manager alone is no way around.
    let key = home.path("other/new.key").display().to_string();
    let words = [
        "apiserver",
        "patch",
        "--issuer",
        OURS,
        "--phase",
        "sign",
        "--signing-key-file",
        &key,
        MANAGER,
    ];
    let error = home.irsa(&words).code(1).stderr;
    assert!(error.contains("no --key-file names"), "{error}");
}

#[test]
fn the_files_of_this_host_show_what_is_verified() {
    let home = Home::new();
    for name in ["old", "new"] {
        home.key(name, "ES256");
    }
    let at = |name: &str| home.path(name).display().to_string();
    let config = format!(
        "kube-apiserver-arg: [service-account-key-file={}]\n",
        at("old.pub")
    );
    let (file, key, public) = (
        home.write("rancher/k3s/config.yaml", config),
        at("new.key"),
        at("new.pub"),
    );
    let patch = |phase: &str, more: &[&str]| {
        let fixed = [
            "apiserver",
            "patch",
            "--issuer",
            OURS,
            "--backup",
            "b",
            "--phase",
            phase,
        ];
        home.irsa(&[&fixed, more, &[&file]].concat())
    };
    patch("accept", &[]).ok();
    for phase in ["sign", "new"] {
        // Not even when a file is named, and it is another one.
        let wrong = ["--signing-key-file", &key, "--key-file", &at("old.pub")];
        let error = patch(phase, &wrong).code(1).stderr;
        assert!(
            error.contains("is in none of the key files that are accepted"),
            "{error}"
        );
    }
    patch("accept", &["--key-file", &public]).ok();
    patch("sign", &["--signing-key-file", &key]).ok();
    // What signs is not to be retired either.
    let retire = ["--remove-key-file", &public];
    let error = patch("retire", &retire).code(1).stderr;
    assert!(
        error.contains("is in none of the key files that are accepted"),
        "{error}"
    );
    let typo = patch("retire", &["--remove-key-file", &at("odl.pub")]).ok();
    assert!(
        typo.stderr.contains("odl.pub\" among its flags"),
        "{}",
        typo.stderr
    );
    let retired = patch("retire", &["--remove-key-file", &at("old.pub")]).ok();
    assert_eq!(retired.stderr.matches("among its flags").count(), 0);
}

#[test]
fn a_key_that_is_not_where_the_flags_say_is_found() {
    let home = node();
    std::fs::remove_file(home.path("node/etc/kubernetes/pki/sa.pub")).unwrap();
    let found = check(&home, &[]).code(3).stdout;
    assert!(
        found.contains("\"/etc/kubernetes/pki/sa.pub\" does not exist on this host"),
        "{found}"
    );

    let home = node();
    let stock = home.read(API_SERVER);
    let none = stock.replace(
        "    - --service-account-key-file=/etc/kubernetes/pki/sa.pub\n",
        "",
    );
    assert_ne!(none, stock);
    home.write(API_SERVER, none);
    let found = check(&home, &[]).code(3).stdout;
    assert!(
        found.contains("--service-account-key-file is not set"),
        "{found}"
    );

    home.write(API_SERVER, stock);
    let manager = home.read(MANAGER).replace(
        "/etc/kubernetes/pki/sa.key",
        "/etc/kubernetes/pki/other/sa.key",
    );
    home.write(MANAGER, manager);
    let found = check(&home, &[]).ok().stdout;
    assert!(
        found.contains(
            "\"/etc/kubernetes/pki/other/sa.key\" is not on this host: its keys were not looked at"
        ),
        "{found}"
    );
    assert!(
        found.contains("kube-controller-manager signs with \"/etc/kubernetes/pki/other/sa.key\""),
        "{found}"
    );
    assert!(
        found.ends_with("no problem found, but for what the notes say\n"),
        "{found}"
    );
}

#[test]
fn one_file_is_patched_once() {
    let home = node();
    let before = home.read(API_SERVER);
    std::os::unix::fs::symlink(home.path(API_SERVER), home.path("link.yaml")).unwrap();
    let said = patch(&home, &["link.yaml"]).code(2).stderr;
    assert!(said.contains("\"link.yaml\" is given twice"), "{said}");
    assert_eq!(home.read(API_SERVER), before);
}

#[test]
fn an_issuer_that_aws_does_not_reach_is_warned_of() {
    let home = node();
    let issuer = ["--issuer", "https://oidc.svc.cluster.local"];
    let args = ["apiserver", "patch", "--dry-run", API_SERVER];
    let said = home.irsa(&[&args[..], &issuer].concat()).ok().stderr;
    assert!(said.contains("AWS cannot reach the issuer"), "{said}");
}
