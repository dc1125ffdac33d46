//! The section "kube-apiserver, distribution by distribution" of the README: its lines are taken from there and run by
//! a shell. The clusters' own tools are replaced by scripts that hand out an example file or only note how they were
//! called, so that our half of each line does its real work on a real file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::util::{Home, repository};

const OURS: &str = "https://oidc.example.com/prod";
const TOOLS: [&str; 7] = [
    "eksctl",
    "kind",
    "kops",
    "kubeadm",
    "kubectl",
    "systemctl",
    "talosctl",
];

/// The text under this heading.
fn section() -> String {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let heading = "\n## kube-apiserver, distribution by distribution\n";
    let (_, rest) = readme
        .split_once(heading)
        .expect("the README has this section");
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The command lines of the block after a mark, with continued lines joined and comments left out.
fn lines_after(mark: &str) -> Vec<String> {
    let section = section();
    let (_, rest) = section
        .split_once(mark)
        .unwrap_or_else(|| panic!("{mark} is in the README"));
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let block = rest.split("```").next().unwrap().replace("\\\n", " ");
    let lines = block
        .lines()
        .map(|line| line.split("   #").next().unwrap().trim().to_owned());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// A directory with the tools, and `before.yaml` as what the cluster has.
struct Bench {
    home: Home,
    before: String,
}

impl Bench {
    fn new(case: &str) -> Self {
        let home = Home::new();
        let before =
            fs::read_to_string(repository("tests/golden").join(case).join("before.yaml")).unwrap();
        home.write("before.yaml", &before);
        let ours = env!("CARGO_BIN_EXE_irsa");
        let mut scripts = vec![(
            "irsa".to_owned(),
            // Backups of root would go to the system's directory.
            format!(
                "case \"$1 $2\" in 'apiserver patch') exec {ours} \"$@\" --backup backup ;; esac\nexec {ours} \"$@\"\n"
            ),
        )];
        for tool in TOOLS {
            let text = format!(
                "echo \"{tool} $*\" >> calls\ncase \"$*\" in\n*tls*) printf %s cHVibGlj ;;\n'get '* | *' get '*) cat before.yaml ;;\nesac\n"
            );
            scripts.push((tool.to_owned(), text));
        }
        for (name, text) in scripts {
            let path = home.path(&home.write(&format!("bin/{name}"), format!("#!/bin/sh\n{text}")));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { home, before }
    }

    /// Runs a line; what is printed.
    fn run(&self, line: &str) -> String {
        let script = format!("ISSUER={OURS} NODE=10.0.0.1 CLUSTER=demo\n{line}");
        let path = format!(
            "{}:{}",
            self.home.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let ended = Command::new("sh")
            .args(["-euc", &script])
            .current_dir(self.home.path(""))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home.path(""))
            .output()
            .unwrap();
        let text = [ended.stdout, ended.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(ended.status.success(), "{line}\n{text}");
        text
    }

    /// How the clusters' tools were called since the last question.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.home.path("calls")).unwrap_or_default();
        drop(fs::remove_file(self.home.path("calls")));
        calls.lines().map(str::to_owned).collect()
    }

    /// Whether the file is in a phase: our own check of that says that nothing differs.
    fn demand(&self, file: &str, distro: &str, phase: &str) {
        let words = [
            "apiserver",
            "patch",
            "--check",
            "--distro",
            distro,
            "--phase",
            phase,
            "--issuer",
            OURS,
            file,
        ];
        self.home.irsa(&words).ok();
        assert!(self.home.read(file).contains(OURS), "{file}");
    }

    /// Undoes every change, back to the first byte.
    fn revert(&self, file: &str, times: usize) {
        for _ in 0..times {
            self.home
                .irsa(&["apiserver", "revert", "--backup", "backup", file])
                .ok();
        }
        assert_eq!(self.home.read(file), self.before, "{file}");
    }
}

/// The published examples of a distribution that have this result.
fn cases(distro: &str, result: &str) -> Vec<String> {
    let folder = repository("tests/golden").join(distro);
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let good = entries.filter(|case: &PathBuf| case.join(result).exists());
    let names =
        good.map(|case| format!("{distro}/{}", case.file_name().unwrap().to_str().unwrap()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert!(!names.is_empty(), "{distro} has an example with {result}");
    names
}

#[test]
fn the_lines_of_a_kubeadm_node_are_understood() {
    let lines = lines_after("**kubeadm**");
    assert_eq!(lines.len(), 2);
    let bench = Bench::new("kubeadm/stock-apiserver-1-36");
    bench
        .home
        .irsa(&["keys", "generate", "--out", "node/etc/kubernetes/pki"])
        .ok();
    fs::create_dir_all(bench.home.path("node/etc/kubernetes/manifests")).unwrap();
    let manifest = "node/etc/kubernetes/manifests/kube-apiserver.yaml";
    for (line, phase) in lines.iter().zip(["accept", "sign"]) {
        assert!(line.starts_with("irsa apiserver rollout --phase"), "{line}");
        bench.home.write(manifest, &bench.before);
        let words = line.replace("$ISSUER", OURS);
        let mut words: Vec<_> = words.split_whitespace().skip(1).collect();
        assert_eq!(words[3], phase);
        if phase == "sign" {
            let accept = [
                "apiserver",
                "patch",
                "--issuer",
                OURS,
                "--backup",
                "backup",
                manifest,
            ];
            bench.home.irsa(&accept).ok();
        }
        let before = bench.home.read(manifest);
        // Everything but the cluster is there: it comes as far as the kubeconfig.
        words.extend([
            "--manifest",
            manifest,
            "--root",
            "node",
            "--backup",
            "backup",
            "--kubeconfig",
            "none",
        ]);
        let error = bench.home.irsa(&words).code(1).stderr;
        assert!(
            error.contains("kubeconfig \"none\" cannot be used"),
            "{error}"
        );
        assert_eq!(bench.home.read(manifest), before);
    }
}

#[test]
fn kubeadm_s_own_configuration() {
    let lines = lines_after("`kubeadm upgrade` writes manifests anew");
    for case in cases("kubeadm-config", "sign.yaml") {
        let bench = Bench::new(&case);
        for line in &lines {
            bench.run(line);
        }
        let calls = bench.calls();
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls[0].starts_with("kubectl -n kube-system get configmap kubeadm-config"));
        assert_eq!(
            calls[1],
            "kubeadm init phase upload-config kubeadm --config cluster.yaml"
        );
        bench.demand("cluster.yaml", "kubeadm-config", "sign");
        bench.revert("cluster.yaml", 2);
    }
}

#[test]
fn k3s_and_rke2() {
    let lines = lines_after("**k3s** and **RKE2**");
    assert_eq!(lines.len(), 2);
    let told = "RKE2: `/etc/rancher/rke2/config.yaml`, `rke2-server`";
    assert!(section().contains(told), "what differs for RKE2 is said");
    for (distro, service) in [("k3s", "k3s"), ("rke2", "rke2-server")] {
        for case in cases(distro, "sign.yaml") {
            let bench = Bench::new(&case);
            let file = format!("etc/rancher/{distro}/config.yaml");
            bench.home.write(&file, &bench.before);
            for (line, phase) in lines.iter().zip(["accept", "sign"]) {
                let line = line.replace(
                    "systemctl restart k3s",
                    &format!("systemctl restart {service}"),
                );
                let line = line.replace("/etc/rancher/k3s/", &format!("etc/rancher/{distro}/"));
                bench.run(&line);
                assert_eq!(bench.calls(), [format!("systemctl restart {service}")]);
                bench.demand(&file, distro, phase);
            }
            bench.revert(&file, 2);
        }
    }
}

#[test]
fn talos() {
    let lines = lines_after("**Talos**");
    for case in cases("talos", "sign.yaml") {
        let bench = Bench::new(&case);
        for line in &lines {
            bench.run(line);
        }
        let calls = bench.calls();
        let names: Vec<_> = calls
            .iter()
            .map(|call| call.split(' ').nth(3).unwrap())
            .collect();
        assert_eq!(names, ["get", "apply-config", "apply-config"], "{calls:?}");
        bench.demand("machine-10.0.0.1.yaml", "talos", "sign");
        bench.revert("machine-10.0.0.1.yaml", 2);
    }
}

#[test]
fn kops() {
    let lines = lines_after("**kOps**");
    assert!(section().contains("then the same with `--phase sign`"));
    for case in cases("kops", "sign.yaml") {
        let bench = Bench::new(&case);
        for line in &lines {
            bench.run(line);
        }
        bench.demand("cluster.yaml", "kops", "accept");
        let accepted = bench.home.read("cluster.yaml");
        bench.home.write("before.yaml", accepted);
        for line in &lines {
            bench.run(&line.replace("--phase accept", "--phase sign"));
        }
        let calls = bench.calls();
        let kops = calls.iter().filter_map(|call| call.strip_prefix("kops "));
        let verbs: Vec<_> = kops.map(|call| call.split(' ').next().unwrap()).collect();
        assert_eq!(
            verbs,
            ["get", "replace", "update", "rolling-update"].repeat(2),
            "{calls:?}"
        );
        bench.demand("cluster.yaml", "kops", "sign");
        bench.revert("cluster.yaml", 2);
    }
}

/// A cluster that does not exist yet: one line, one change.
#[test]
fn cluster_api_eks_anywhere_and_kind() {
    let section = section();
    let kind = section
        .split("**kind**")
        .nth(1)
        .unwrap()
        .split('`')
        .nth(1)
        .unwrap()
        .to_owned();
    for (distro, file, lines, call) in [
        (
            "capi",
            "control-plane.yaml",
            lines_after("**Cluster API**"),
            "kubectl apply -f control-plane.yaml",
        ),
        (
            "eks-anywhere",
            "eksa-cluster.yaml",
            lines_after("**EKS Anywhere**"),
            "eksctl anywhere create cluster -f eksa-cluster.yaml",
        ),
        (
            "kind",
            "kind.yaml",
            vec![kind],
            "kind create cluster --config kind.yaml",
        ),
    ] {
        for case in cases(distro, "new.yaml") {
            let bench = Bench::new(&case);
            bench.home.write(file, &bench.before);
            for line in &lines {
                bench.run(line);
            }
            assert_eq!(bench.calls()[0], call, "{case}");
            bench.demand(file, distro, "new");
            bench.revert(file, 1);
            if distro == "eks-anywhere" {
                assert_eq!(bench.home.read("sa.pub"), "public");
            }
        }
    }
}

/// Every block of the section is run by one of the tests above: a new one needs a test too.
#[test]
fn no_block_is_left_out() {
    let blocks = section().matches("```sh\n").count();
    assert_eq!(
        blocks, 8,
        "the first one sets ISSUER and looks at a live cluster"
    );
    let live = lines_after("");
    assert_eq!(
        live,
        [
            format!("ISSUER={OURS}"),
            "irsa apiserver check --live --issuer $ISSUER".to_owned()
        ]
    );
    let home = Home::new();
    let words = [
        "apiserver",
        "check",
        "--live",
        "--issuer",
        OURS,
        "--kubeconfig",
        "none",
    ];
    let error = home.irsa(&words).code(1).stderr;
    assert!(
        error.contains("kubeconfig \"none\" cannot be used"),
        "{error}"
    );
}
