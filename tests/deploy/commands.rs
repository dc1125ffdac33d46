//! A block of commands in the documentation either is run here, line by line, or says in its first line what it needs.

use std::os::unix::fs::symlink;
use std::process::Command;

use clap::CommandFactory as _;

use super::documentation::{blocks, commands, pages};
use super::files;
use crate::util::{Home, eventually};

/// How the first line of a block begins that cannot be run here.
const MARK: &str = "# needs ";
/// What such a block may need.
const NEEDS: [&str; 4] = [
    "AWS",
    "a cluster",
    "a control-plane node",
    "an issuer of yours",
];
/// The port of the README's example.
const PORT: &str = "8480";
/// After the start of a server: a person takes longer to type the next line. It ends with the block, whatever comes.
const STARTED: &str = "server=$!
trap 'kill $server 2> /dev/null || :' EXIT
tries=0
while [ ! -e go ] && [ $tries -lt 1000 ]; do tries=$((tries + 1)); sleep 0.02; done
";

#[test]
fn blocks_without_a_mark_run_as_they_stand() {
    let mut ran = 0;
    for (page, text) in pages() {
        let home = Home::new();
        std::fs::create_dir(home.path("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_irsa"), home.path("bin/irsa")).unwrap();
        // Of one page in one directory: what a block makes, the next one uses.
        for code in blocks(&text).filter(|code| mark(code).is_none()) {
            let lines: Vec<_> = code
                .lines()
                .map(|line| line.trim_start_matches("$ "))
                .collect();
            if lines.iter().any(|line| !commands(line).is_empty()) {
                ran += run(&page, &home, &lines);
            }
        }
    }
    assert!(ran >= 10, "{ran}");
}

/// What is not run here is run by a test with a real peer, or with a double of AWS: each command, and each option of it.
#[test]
fn what_needs_more_is_tried_elsewhere() {
    let mut tests = String::from(" ");
    for folder in ["tests", "crates"] {
        for path in files(folder) {
            let shown = path.to_string_lossy().into_owned();
            let program = [".rs", ".py", "/run"]
                .iter()
                .any(|end| shown.ends_with(end));
            if program && shown.contains("/tests/") && !shown.ends_with("/deploy/commands.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Words alone, so that a list of arguments reads like a line of shell.
                let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
                for word in words.filter(|word| !word.is_empty()) {
                    tests.push_str(word);
                    tests.push(' ');
                }
            }
        }
    }
    let mut marked = 0;
    for (page, text) in pages() {
        for code in blocks(&text) {
            let Some(needs) = mark(&code) else { continue };
            assert!(
                NEEDS.iter().any(|one| needs.starts_with(one)),
                "{page}: \"{MARK}{needs}\": expected one of {NEEDS:?}"
            );
            for words in code.lines().flat_map(commands) {
                marked += 1;
                let (name, options) = named(&words);
                for tried in std::iter::once(&name).chain(&options) {
                    assert!(
                        tests.contains(&format!(" {tried} ")),
                        "{page}: no test runs {tried} of: {}",
                        words.join(" ")
                    );
                }
            }
        }
    }
    assert!(marked > 40, "{marked}");
}

/// What a block says that it needs.
fn mark(code: &str) -> Option<String> {
    let needs = code.lines().next()?.strip_prefix(MARK)?;
    Some(needs.to_owned())
}

/// Runs the lines of a block, as somebody does who types them; how many there were.
fn run(page: &str, home: &Home, lines: &[&str]) -> usize {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let path = format!(
        "{}:{}",
        home.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut script = String::from("set -eu\n");
    for line in lines {
        script.push_str(&line.replace(PORT, &address.port().to_string()));
        script.push('\n');
        if line.ends_with('&') {
            script.push_str(STARTED);
        }
    }
    let child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(home.path(""))
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path(""))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    if script.contains(STARTED) {
        eventually("the server of the block", || {
            std::net::TcpStream::connect(address).ok()
        });
        home.write("go", "");
    }
    let ended = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{page}\n{script}\n{text}");
    lines.iter().map(|line| commands(line).len()).sum()
}

/// The name of a command with that of its subcommands, and its long options.
fn named(words: &[String]) -> (String, Vec<String>) {
    let mut definition = irsa_cli::Cli::command();
    // Subcommands below the first are made when they are asked for.
    definition.build();
    let mut here = &definition;
    let mut name = Vec::new();
    let mut options = Vec::new();
    for word in words.iter().skip(1) {
        if let Some(option) = word.strip_prefix("--") {
            let option = option.split('=').next().unwrap();
            // The options of every command come before its name.
            if !name.is_empty() {
                options.push(format!("--{option}"));
            }
        } else if let Some(next) = here.find_subcommand(word) {
            here = next;
            name.push(word.as_str());
        }
    }
    (name.join(" "), options)
}

#[test]
fn a_command_is_named_without_its_arguments() {
    let words = [
        "irsa",
        "--config",
        "f",
        "iam",
        "role",
        "apply",
        "r",
        "--max-session=1h",
    ];
    let words = words.map(str::to_owned);
    let expected = (
        "iam role apply".to_owned(),
        vec!["--max-session".to_owned()],
    );
    assert_eq!(named(&words), expected);
}
