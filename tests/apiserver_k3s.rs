use std::os::unix::fs::PermissionsExt as _;

use crate::util::{Home, Irsa};

const OURS: &str = "https://oidc.example.com/prod";
const STOCK: &str = "etc/rancher/k3s/config.yaml";

fn run<'a>(home: &'a Home, command: &str, more: &[&str], file: &str) -> Irsa<'a> {
    let fixed = ["apiserver", command];
    let wanted: &[&str] = match command {
        "revert" => &["--backup", "b"],
        "check" => &["--issuer", OURS],
        _ => &["--issuer", OURS, "--backup", "b"],
    };
    home.irsa(&[&fixed, wanted, more, &[file]].concat())
}

#[test]
fn a_stock_server_has_no_configuration_and_gets_one_for_root_alone() {
    let home = Home::new();
    // What cannot be written is not promised.
    for more in [&["--dry-run"][..], &[]] {
        let ran = run(&home, "patch", more, STOCK).code(2);
        assert!(ran.stderr.contains("mkdir -p "), "{}", ran.stderr);
    }
    std::fs::create_dir_all(home.path("etc/rancher/k3s")).unwrap();
    run(&home, "patch", &["--check"], STOCK).code(3);
    run(&home, "patch", &["--dry-run"], STOCK).ok();
    assert!(!home.path(STOCK).exists(), "a look writes nothing");
    run(&home, "check", &[], STOCK).code(3);
    run(&home, "patch", &[], STOCK).ok();
    let mode = home.path(STOCK).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    run(&home, "patch", &["--phase", "sign"], STOCK).ok();
    let signed = home.read(STOCK);
    let first = signed.lines().nth(1).unwrap();
    assert_eq!(
        first,
        format!("- service-account-issuer={OURS}"),
        "{signed}"
    );
    run(&home, "check", &[], STOCK).ok();
    for _ in 0..2 {
        run(&home, "revert", &[], STOCK).ok();
    }
    assert!(!home.path(STOCK).exists(), "as it was");
}

#[test]
fn a_configuration_that_says_nothing_of_its_own_is_taken_where_it_is_named() {
    let home = Home::new();
    for text in ["", "# token: a\n", "{}\n", "---\n", "token: a\n"] {
        // Nothing says whose file it is.
        home.write("config.yaml", text);
        run(&home, "patch", &[], "config.yaml").code(1);
        for (more, file) in [
            (&["--distro", "k3s"][..], "config.yaml"),
            (&[], "etc/rancher/rke2/config.yaml"),
        ] {
            home.write(file, text);
            run(&home, "patch", more, file).ok();
            let after = home.read(file);
            assert!(
                after.contains(&format!("- service-account-issuer={OURS}\n")),
                "{after}"
            );
            assert!(
                after.starts_with(text.trim_start_matches("{}\n")),
                "{after}"
            );
            run(&home, "patch", &[more, &["--check"]].concat(), file).ok();
            run(&home, "revert", &[], file).ok();
            assert_eq!(home.read(file), text);
        }
    }
    // What is another's stays another's, and what is not there is not made for those who always have a file.
    home.write("m.yaml", "machine: {type: controlplane}\n");
    run(&home, "patch", &["--distro", "k3s"], "m.yaml").code(1);
    let error = run(&home, "patch", &["--distro", "kubeadm"], "none.yaml")
        .code(1)
        .stderr;
    assert!(error.contains("\"none.yaml\" cannot be read"), "{error}");
}

/// k3s would never read it, and whoever typed it would think that the phase is through.
#[test]
fn a_mistyped_name_is_no_file_to_begin() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("etc/rancher/k3s")).unwrap();
    for name in ["typo.yaml", "etc/rancher/k3s/confg.yaml"] {
        for command in ["patch", "check"] {
            let error = run(&home, command, &["--distro", "k3s"], name)
                .code(1)
                .stderr;
            assert!(
                error.contains(&format!("{name}\" cannot be read")),
                "{error}"
            );
        }
        assert!(!home.path(name).exists());
    }
    let checked = run(&home, "check", &[], STOCK).code(3);
    assert!(
        checked.stderr.contains("does not exist"),
        "{}",
        checked.stderr
    );
    let patched = run(&home, "patch", &[], STOCK).ok().stdout;
    assert!(patched.contains("there was no such file"), "{patched}");
}

#[test]
fn a_file_that_cannot_be_written_leaves_no_record_of_a_change() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("etc/rancher/k3s")).unwrap();
    // A link that leads nowhere: there is no file, and none can be made.
    std::os::unix::fs::symlink("nowhere/config.yaml", home.path(STOCK)).unwrap();
    let error = run(&home, "patch", &[], STOCK).code(1).stderr;
    assert!(error.contains("a link that leads nowhere"), "{error}");
    let error = run(&home, "revert", &[], STOCK).code(1).stderr;
    assert!(error.contains("there is no backup of"), "{error}");
}

#[test]
fn a_record_of_a_change_that_was_never_written_is_no_change() {
    let home = Home::new();
    let file = home.write("etc/rancher/k3s/config.yaml", "token: a\n");
    run(&home, "patch", &[], &file).ok();
    // As a run leaves it that was killed between the record and the file.
    home.write(&file, "token: a\n");
    let told = run(&home, "revert", &[], &file).ok().stdout;
    assert!(told.contains("was recorded and never written"), "{told}");
    assert!(!told.contains("undone"), "{told}");
    run(&home, "revert", &[], &file).code(1);
}

#[test]
fn a_pipe_is_no_file() {
    let home = Home::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for command in ["patch", "check"] {
        let error = run(&home, command, &["--distro", "kubeadm"], "pipe")
            .code(1)
            .stderr;
        assert!(error.contains("\"pipe\" cannot be read"), "{error}");
    }
}

#[test]
fn what_would_stop_the_next_phase_is_said_in_this_one() {
    let home = Home::new();
    // Whose comment it is cannot be told when items move.
    let commented =
        "kube-apiserver-arg: [service-account-issuer=https://old.example.com, # old\n  v=2]\n";
    let file = home.write("etc/rancher/k3s/config.yaml", commented);
    let warned = run(&home, "patch", &[], &file).ok().stderr;
    let refused = run(&home, "patch", &["--phase", "sign"], &file).any();
    // Either both phases can be written, or the first one says that the second cannot.
    let said = warned.contains("phase sign will be refused after it");
    assert_eq!(
        said,
        refused.stderr.contains("was not changed"),
        "{warned}\n{}",
        refused.stderr
    );
    assert!(said, "{warned}");

    let file = home.write("etc/rancher/k3s/config.yaml", "token: a\n");
    let ran = run(&home, "patch", &[], &file).ok();
    assert!(
        ran.stdout.contains("stands for what is not shown"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stderr.contains("will be refused"), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("next: systemctl restart k3s"),
        "{}",
        ran.stdout
    );
    let ran = run(&home, "patch", &["--key-file", "/etc/irsa/new.pub"], &file).ok();
    assert!(
        ran.stdout
            .contains("next: place the key files on every server first; then systemctl"),
        "{}",
        ran.stdout
    );

    let near = format!("kube-apiserver-arg: [service-account-issuer={OURS}/]\n");
    let file = home.write("etc/rancher/k3s/config.yaml", near);
    let ran = run(&home, "patch", &[], &file).ok();
    assert!(
        ran.stderr.contains("differ in a slash at the end"),
        "{}",
        ran.stderr
    );
}

/// A list in a drop-in takes the place of the one in config.yaml: neither pass would change anything.
#[test]
fn a_drop_in_that_overrules_the_file_is_named() {
    let home = Home::new();
    let stock = "token: a\n";
    let file = home.write(STOCK, stock);
    let (audit, later) = (
        "etc/rancher/k3s/config.yaml.d/10-audit.yaml",
        "etc/rancher/k3s/config.yaml.d/20-later.yml",
    );
    home.write(audit, "kube-apiserver-arg: [v=2]\n");
    let refused = run(&home, "patch", &["--dry-run"], &file).code(1).stderr;
    assert!(
        refused.contains("kube-apiserver-arg is replaced by that of"),
        "{refused}"
    );
    assert!(
        refused.contains("10-audit.yaml instead, or first move its list"),
        "{refused}"
    );
    assert_eq!(home.read(&file), stock);

    // As it stood before irsa looked: the flags are there, and none of them is in force.
    let signed = format!(
        "kube-apiserver-arg:\n- service-account-issuer={OURS}\n- service-account-issuer=https://old.example.com\n- api-audiences=a\n"
    );
    home.write(&file, &signed);
    let checked = run(&home, "check", &[], &file).code(3).stdout;
    assert!(checked.contains("problem: "), "{checked}");
    assert!(checked.contains("10-audit.yaml"), "{checked}");

    // The drop-in itself is the place, and its list takes over from that of config.yaml.
    run(&home, "patch", &[], audit).ok();
    home.write(later, "kube-apiserver-arg+: [api-audiences=b]\n");
    let refused = run(&home, "patch", &["--phase", "sign"], audit)
        .code(1)
        .stderr;
    assert!(refused.contains("adds token flags"), "{refused}");
    home.write(
        later,
        "kube-apiserver-arg+: [v=3]\nkube-controller-manager-arg: [v=2]\n",
    );
    run(&home, "patch", &["--phase", "sign"], audit).ok();
    run(&home, "check", &[], audit).ok();

    // A new list in a drop-in would take the place of the one that is in force.
    let refused = run(
        &home,
        "patch",
        &[],
        "etc/rancher/k3s/config.yaml.d/30-irsa.yaml",
    )
    .code(1)
    .stderr;
    assert!(refused.contains("would replace that of"), "{refused}");
}
