use crate::util::Home;

const OURS: &str = "https://oidc.example.com/prod";
const FLAGS: &str = "    - --service-account-issuer=https://old.example.com\n    - --service-account-key-file=/etc/kubernetes/pki/sa.pub\n";
const KNOWN: &str = "a file of one of these is needed: kubeadm, kubeadm-config, capi, eks-anywhere, k3s, rke2, kind, talos, kops";

fn pod(containers: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n{containers}"
    )
}

fn api_server(more: &str) -> String {
    pod(&format!(
        "  - name: kube-apiserver\n    command:\n    - kube-apiserver\n{FLAGS}{more}"
    ))
}

fn patch<'a>(home: &'a Home, phase: &str) -> crate::util::Irsa<'a> {
    let words = [
        "apiserver",
        "patch",
        "--issuer",
        OURS,
        "--phase",
        phase,
        "--backup",
        "b",
        "m.yaml",
    ];
    home.irsa(&words)
}

/// What is wrong, the file, why it is refused, and what to do.
type Refused = (&'static str, String, &'static str, &'static str);

const UNKNOWN: &str = "it is of no distribution that is known here";
const SHELL: &str = "spec.containers[0].command runs a shell: the flags stand in one string, and cannot be edited one by one";
const LIST: &str = "write command as a list with one flag in each item; the file was not changed";
const MEND: &str = "the file was not changed; mend it first";

fn bad_forms() -> Vec<Refused> {
    let command = |items: &str| pod(&format!("  - name: kube-apiserver\n    command:\n{items}"));
    let word = "    - kube-apiserver --service-account-issuer=https://old.example.com\n";
    let two = api_server("") + &format!("  - command:\n    - kube-apiserver\n{FLAGS}");
    vec![
        (
            "another pod",
            pod("  - name: etcd\n    command:\n    - etcd\n"),
            UNKNOWN,
            KNOWN,
        ),
        ("no pod", "just a text\n".into(), UNKNOWN, KNOWN),
        ("an empty file", String::new(), UNKNOWN, KNOWN),
        (
            "two of them",
            two,
            "kube-apiserver is in it more than once",
            "the file was not changed; keep one component of a kind in a file",
        ),
        (
            "a shell",
            command(&format!("    - /bin/sh\n    - -c\n{word}")),
            SHELL,
            LIST,
        ),
        ("one word", command(word), SHELL, LIST),
        (
            "a wrapper",
            command(&format!("    - /go-runner\n    - --log-file=/a\n    - /usr/local/bin/kube-apiserver\n{FLAGS}")),
            "spec.containers[0].command runs kube-apiserver behind \"go-runner\": which of the flags are whose cannot be told",
            "write command with kube-apiserver as its first item; the file was not changed",
        ),
        (
            "an end of the flags",
            api_server("    - --\n    - --api-audiences=a\n"),
            "spec.containers[0].command[3] is \"--\": what follows are no flags, and the program takes nothing else",
            "take it out; the file was not changed",
        ),
        (
            "a name with hyphens",
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n  - name: --service-account-issuer\n    \
             value: https://old.example.com\n"
                .into(),
            "apiServer.extraArgs[0].name is the flag \"--service-account-issuer\": two hyphens more are put in front of it, and the program does not start",
            "write the name without hyphens in front; the file was not changed",
        ),
    ]
}

fn bad_yaml() -> Vec<Refused> {
    vec![
        (
            "an alias of the flags",
            api_server("    env: *flags\n").replace("command:", "command: &flags"),
            "the edit of spec.containers[0].command[2] cannot be made safely here: the result would say something else (an anchor, an alias or a merge key?)",
            "the file was not changed; write the part out without anchors and aliases and with comments on lines of their own, or make this edit by hand",
        ),
        (
            "a key twice",
            api_server("    command:\n    - kube-apiserver\n"),
            "it is not valid YAML: duplicate mapping key: command at line 12, column 5",
            MEND,
        ),
        (
            "a tab",
            pod("\t- command: [kube-apiserver]\n"),
            "it is not valid YAML: tabs disallowed within this context (block indentation) at line 7, column 2",
            MEND,
        ),
        (
            "issuers joined by a comma",
            api_server("").replace("old.example.com", "old.example.com,https://b.example.com"),
            "--service-account-issuer is \"https://old.example.com,https://b.example.com\", which kube-apiserver takes for one issuer: it never splits at commas",
            "write one --service-account-issuer for each of https://old.example.com and https://b.example.com; the file was not changed",
        ),
    ]
}

/// The whole of what is said is compared.
#[test]
fn what_cannot_be_changed_safely_is_refused_in_so_many_words_and_stays() {
    let home = Home::new();
    for (what, text, why, help) in bad_forms().into_iter().chain(bad_yaml()) {
        home.write("m.yaml", &text);
        for phase in ["accept", "new"] {
            let ran = patch(&home, phase).code(1);
            // The first edit of phase new is another one: there ours comes before the cluster's own.
            let why = if phase == "new" {
                why.replace("command[2]", "command[1]")
            } else {
                why.to_owned()
            };
            let expected = format!("error: m.yaml was not changed\n  why: {why}\n help: {help}\n");
            assert_eq!(ran.stderr.trim_start(), expected, "{what}, phase {phase}");
            assert_eq!(ran.stdout, "", "{what}");
            assert_eq!(home.read("m.yaml"), text, "{what}");
        }
    }
    home.write("m.yaml", b"\xff\xfe");
    let ran = patch(&home, "accept").code(1);
    assert!(
        ran.stderr.contains("\"m.yaml\" is not UTF-8 text"),
        "{}",
        ran.stderr
    );
    assert!(
        !home.path("b").exists(),
        "no backup of what was not changed"
    );
}

/// Unusual and clear: our words are added, every other byte stays, and the way back is exact.
#[test]
fn what_is_only_unusual_is_changed_and_nothing_else_of_it() {
    let beside = "  - name: audit\n    command:\n    - audit\n    - --service-account-issuer=https://not.ours\n";
    let handled = [
        (
            "a container beside it",
            api_server("").replace("  containers:\n", &format!("  containers:\n{beside}")),
        ),
        (
            "command and args",
            pod(&format!(
                "  - name: kube-apiserver\n    command: [kube-apiserver, --v=2]\n    args:\n{FLAGS}"
            )),
        ),
        (
            "flags in command and in args",
            pod(
                "  - command: [kube-apiserver, --service-account-issuer=https://old.example.com]\n    args: [--service-account-key-file=/etc/kubernetes/pki/sa.pub]\n",
            ),
        ),
        ("Windows line ends", api_server("").replace('\n', "\r\n")),
        (
            "an anchor elsewhere",
            api_server("    a: &x 1\n    b: *x\n"),
        ),
        (
            "no line end at the end",
            api_server("").trim_end().to_owned(),
        ),
    ];
    let home = Home::new();
    for (what, before) in &handled {
        home.write("m.yaml", before);
        patch(&home, "accept").ok();
        patch(&home, "sign").ok();
        let after = home.read("m.yaml");
        let windows = before.contains("\r\n");
        assert_eq!(
            after.matches("\r\n").count(),
            if windows {
                after.matches('\n').count()
            } else {
                0
            },
            "{what}"
        );
        let (ours, theirs) = (after.find(OURS), after.find("https://old.example.com"));
        assert!(
            ours.is_some() && ours < theirs,
            "{what}: ours is the first\n{after}"
        );
        // What is not ours is there word for word.
        let words = |text: &str| -> Vec<String> {
            let split = text
                .split_whitespace()
                .map(|word| word.trim_matches(['[', ']', ',', '\'']).to_owned());
            split
                .filter(|word| !word.contains(OURS) && word != "-")
                .collect()
        };
        assert_eq!(words(&after), words(before), "{what}\n{after}");
        patch(&home, "sign").ok();
        assert_eq!(
            home.read("m.yaml"),
            after,
            "{what}: a second run changes nothing"
        );
        for _ in 0..2 {
            home.irsa(&["apiserver", "revert", "--backup", "b", "m.yaml"])
                .ok();
        }
        assert_eq!(home.read("m.yaml"), *before, "{what}");
    }
}

/// A first pass over this node.
const ROLLOUT: [&str; 6] = [
    "apiserver",
    "rollout",
    "--phase",
    "accept",
    "--issuer",
    OURS,
];

#[test]
fn a_time_for_a_restart_has_bounds() {
    let home = Home::new();
    for time in ["4s", "61m", "1000000h"] {
        let words = [&ROLLOUT[..], &["--timeout", time]].concat();
        let error = home.irsa(&words).code(2).stderr;
        assert!(
            error.contains("is out of bounds, expected 5 s to 1 h"),
            "{error}"
        );
    }
    let help = home.irsa(&["apiserver", "rollout", "--help"]).ok().stdout;
    assert!(help.contains("irsa apiserver revert"), "{help}");
}

/// On k3s, RKE2 or Talos there is no static pod: what is for them is named.
#[test]
fn a_node_without_kubeadm_s_manifest_is_told_what_changes_its_flags() {
    let home = Home::new();
    let words = [&ROLLOUT[..], &["--manifest", "gone.yaml"]].concat();
    let error = home.irsa(&words).code(1).stderr;
    for part in [
        "there is no manifest of kube-apiserver at \"gone.yaml\"",
        "k3s, RKE2",
        "irsa apiserver patch",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_issuer_is_not_changed_where_kops_publishes_for_it() {
    let home = Home::new();
    let old = "https://s.example.com/prod";
    let spec = |issuer: &str, more: &str| {
        format!(
            "apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nspec:\n  serviceAccountIssuerDiscovery:\n    discoveryStore: s3://s.example.com/prod\n  \
             kubeAPIServer:\n    serviceAccountIssuer: {issuer}\n{more}"
        )
    };
    let check = |code| {
        home.irsa(&["apiserver", "check", "--issuer", OURS, "m.yaml"])
            .code(code)
            .stdout
    };
    home.write("m.yaml", spec(old, ""));
    let warned = patch(&home, "accept").ok().stderr;
    assert!(
        warned.contains("phase sign will be refused after it"),
        "{warned}"
    );
    let accepted = home.read("m.yaml");
    let refused = patch(&home, "sign").code(1).stderr;
    for part in [
        "m.yaml was not changed",
        "spec.serviceAccountIssuerDiscovery.discoveryStore is \"s3://s.example.com/prod\"",
        &format!("over that of \"{old}\""),
        "take spec.serviceAccountIssuerDiscovery out of the file",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(home.read("m.yaml"), accepted);
    let checked = check(3);
    assert!(
        checked.contains("note: m.yaml:5: spec.serviceAccountIssuerDiscovery"),
        "{checked}"
    );
    // Both publish for the same issuer.
    home.write(
        "m.yaml",
        spec(OURS, "    additionalServiceAccountIssuers: []\n"),
    );
    let checked = check(3);
    assert!(
        checked.contains("problem: m.yaml:5: spec.serviceAccountIssuerDiscovery"),
        "{checked}"
    );
    // Without it the way is free.
    let without = accepted.replace(
        "  serviceAccountIssuerDiscovery:\n    discoveryStore: s3://s.example.com/prod\n",
        "",
    );
    home.write("m.yaml", &without);
    patch(&home, "sign").ok();
}

#[test]
fn a_variable_of_the_container_is_what_it_stands_for() {
    let home = Home::new();
    let check = |env: &str| {
        let text = api_server(env).replace("https://old.example.com", "$(HOST)/prod");
        home.write("m.yaml", text);
        // There are other faults.
        let ran = home.irsa(&["apiserver", "check", "m.yaml"]).code(3);
        ran.stdout
    };
    let known = check("    env: [{name: HOST, value: \"https://oidc.example.com\"}]\n");
    assert!(
        known.contains("--service-account-issuer=https://oidc.example.com/prod\n"),
        "{known}"
    );
    assert!(!known.contains("cannot be seen"), "{known}");
    let plain = check("    env: [{name: HOST, value: \"http://oidc.example.com\"}]\n");
    assert!(plain.contains("expected an https URL"), "{plain}");
    for env in [
        "",
        "    env: [{name: HOST, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]\n",
    ] {
        let unknown = check(env);
        assert!(
            unknown.contains("\"$(HOST)/prod\", and the container's env has no plain value"),
            "{unknown}"
        );
        assert!(!unknown.contains("expected an https URL"), "{unknown}");
    }
}

#[test]
fn what_is_for_live_servers_is_refused_beside_files() {
    let home = Home::new();
    for (flag, value) in [
        ("--server", "https://127.0.0.1:1"),
        ("--kubeconfig", "k"),
        ("--service-account", "a/b"),
    ] {
        let check = ["apiserver", "check", "kube-apiserver.yaml", flag, value];
        let refused = home.irsa(&check).code(2).stderr;
        let said = format!("{flag} is for --live");
        assert!(refused.contains(&said), "{refused}");
    }
}
