use std::fs;

use irsa_testkit::canary;

use crate::util::Home;

/// Runs every command that touches a private key, with a key whose every spelling is known, as talkatively as it can.
#[test]
fn no_command_shows_a_private_key() {
    let home = Home::new();
    let canary = canary::private_key();
    home.write("sa.key", canary.expose_pem());
    home.write("sa.pub", canary.public_key().to_pem());
    home.write("lax.key", canary.expose_pem());
    home.write("cut.key", canary.expose_pem().get(..150).unwrap());
    home.write("irsa.yaml", canary.expose_pem());
    chmod(&home, "sa.key", 0o600);
    chmod(&home, "cut.key", 0o600);
    let issuer = ["--issuer", "https://oidc.example.com/a"];
    let mint = [
        &["token", "mint", "--key", "sa.key", "--subject", "a/b"],
        &issuer[..],
    ]
    .concat();
    let commands: [&[&str]; 17] = [
        &["keys", "inspect", "sa.key", "cut.key", "sa.pub"],
        &["keys", "inspect", "-o", "json", "sa.key", "cut.key"],
        &["keys", "generate", "--out", ".", "--name", "sa"],
        &["jwks", "sa.key"],
        &["jwks", "--as-apiserver", "sa.key"],
        &["jwks", "cut.key"],
        &[&["discovery"], &issuer[..], &["sa.key"]].concat(),
        &[&["publish", "--to", "dir:public"], &issuer[..], &["sa.key"]].concat(),
        &mint,
        &[
            "token",
            "mint",
            "--key",
            "lax.key",
            "--subject",
            "a/b",
            "--issuer",
            "https://h",
        ],
        &[
            "token",
            "mint",
            "--key",
            "cut.key",
            "--subject",
            "a/b",
            "--issuer",
            "https://h",
        ],
        &[
            "token",
            "verify",
            "--issuer",
            "https://h",
            "--jwks",
            "sa.key",
            "sa.key",
        ],
        &["token", "explain", "sa.key"],
        &["thumbprint", "--pem", "sa.key"],
        &["quickstart", "--once", "--dir", "."],
        &["config", "show", "--config", "irsa.yaml"],
        &[
            "serve",
            "--issuer",
            "https://h",
            "--keys",
            "cut.key",
            "--listen",
            "127.0.0.1:0",
        ],
    ];
    for args in commands {
        let ran = home.irsa(args).env("IRSA_LOG", "trace").any();
        for (stream, text) in [("stdout", ran.stdout), ("stderr", ran.stderr)] {
            assert_eq!(
                canary::found_in(&text),
                None,
                "irsa {} on {stream}",
                args.join(" ")
            );
        }
    }
    for name in [
        "public/keys.json",
        "public/.well-known/openid-configuration",
        "sa.pub",
    ] {
        assert_eq!(
            canary::found_in(&fs::read_to_string(home.path(name)).unwrap()),
            None,
            "{name}"
        );
    }
    // The net catches something: the key file itself.
    assert!(canary::found_in(canary.expose_pem()).is_some());
}

#[test]
fn the_endpoint_shows_no_private_key() {
    let home = Home::new();
    let canary = canary::private_key();
    home.write("sa.key", canary.expose_pem());
    let server = home
        .irsa(&[
            "serve",
            "--keys",
            "sa.key",
            "--listen",
            "127.0.0.1:0",
            "--issuer",
            "https://oidc.example.com/a",
        ])
        .env("IRSA_LOG", "trace")
        .start();
    let (head, body) = crate::util::get(&server.address(), "/a/keys.json");
    server.signal("TERM");
    server.wait_for("SIGTERM");
    for text in [head, body, server.log()] {
        assert_eq!(canary::found_in(&text), None, "irsa serve");
    }
}

/// Cluster files hold join tokens, keys and passwords beside the flags; `canary-canary` is in each secret, the last one
/// in base64.
#[test]
fn no_diff_shows_what_else_is_in_a_cluster_s_file() {
    let home = Home::new();
    let base64 = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";
    let talos = format!(
        "machine:\n  type: controlplane\n  token: canary-canary\ncluster:\n  apiServer:\n    extraArgs: {{}}\n  controlPlane:\n    endpoint: https://10.0.0.1:6443\n  serviceAccount:\n    key: {base64}\n"
    );
    let k3s = "# token: canary-canary\ndatastore-endpoint: postgres://u:canary-canary@h/db\nkube-apiserver-arg:\n- etcd-servers=https://u:canary-canary@h # canary-canary\n- v=2\ntoken: canary-canary";
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command: [kube-apiserver, --x=canary-canary, '--service-account-issuer=https://old.example.com',\n      --service-account-key-file=/a/b/sa.pub]\n    env: [{{name: PASSWORD, value: canary-canary}}]\n    text: |\n      canary-canary\n      {base64}\n"
    );
    let issuer = "https://oidc.example.com/a";
    for (file, distro, text) in [
        ("machine.yaml", "talos", talos.as_str()),
        ("k3s.yaml", "k3s", k3s),
        ("pod.yaml", "kubeadm", &pod),
    ] {
        home.write(file, text);
        let patch = |more: &[&str]| {
            let words = [
                "apiserver",
                "patch",
                "--distro",
                distro,
                "--issuer",
                issuer,
                "--backup",
                "b",
                file,
            ];
            [&words[..], more]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let check = [
            "apiserver",
            "check",
            "--distro",
            distro,
            "--issuer",
            "https://x.example.com",
            file,
        ];
        let revert = ["apiserver", "revert", "--backup", "b", file, "-o", "json"];
        let words = |all: &[&str]| {
            all.iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        for args in [
            patch(&["--dry-run"]),
            patch(&["--dry-run", "-o", "json"]),
            patch(&["--check"]),
            patch(&[]),
            words(&check),
            patch(&["--phase", "sign"]),
            words(&revert[..5]),
            words(&revert),
        ] {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let ran = home.irsa(&args).env("IRSA_LOG", "trace").any();
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(issuer), "irsa {}\n{said}", args.join(" "));
            for secret in ["canary-canary", base64] {
                assert!(!said.contains(secret), "irsa {}\n{said}", args.join(" "));
            }
        }
        assert_eq!(home.read(file), text, "both phases, and back");
    }
}

fn chmod(home: &Home, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).unwrap();
}
