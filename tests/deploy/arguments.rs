use clap::Parser as _;
use irsa_cli::config::Config;
use serde_json::Value;

use super::{files, text, yaml};
use crate::util::{Home, repository};

/// Demands that irsa takes a command line.
fn taken(place: &str, words: &[String]) {
    let all = std::iter::once("irsa".to_owned()).chain(words.iter().cloned());
    if let Err(error) = irsa_cli::Cli::try_parse_from(all) {
        panic!("{place}: irsa {}\n{error}", words.join(" "));
    }
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Every container of a document, wherever a pod template stands in it.
fn containers(document: &Value, found: &mut Vec<Value>) {
    match document {
        Value::Object(map) => {
            for (name, value) in map {
                if matches!(name.as_str(), "containers" | "initContainers") {
                    found.extend(value.as_array().into_iter().flatten().cloned());
                }
                containers(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| containers(value, found)),
        _ => {}
    }
}

#[test]
fn every_container_runs_a_command_line_that_irsa_takes() {
    let rendered = files("tests/golden/helm").into_iter();
    let plain = files("deploy").into_iter().filter(|path| {
        let shown = path.to_string_lossy();
        shown.ends_with(".yaml") && !shown.contains("/templates/")
    });
    let mut seen = Vec::new();
    for path in rendered.chain(plain) {
        for document in yaml(&std::fs::read_to_string(&path).unwrap()) {
            let mut found = Vec::new();
            containers(&document, &mut found);
            for container in found {
                let place = format!("{}: {}", path.display(), container["name"]);
                let mut words = words(&container["args"]);
                if let Some((program, first)) = self::words(&container["command"]).split_first() {
                    assert!(program.ends_with("irsa"), "{place} runs {program}");
                    words.splice(0..0, first.iter().cloned());
                }
                taken(&place, &words);
                seen.push(words.first().unwrap().clone());
            }
        }
    }
    for command in ["serve", "webhook", "rotate", "bootstrap"] {
        assert!(
            seen.iter().any(|one| one == command),
            "no container runs irsa {command}: {seen:?}"
        );
    }
}

#[test]
fn every_unit_runs_a_command_line_that_irsa_takes() {
    let mut commands = 0;
    for path in files("deploy/systemd")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "service"))
    {
        let unit = std::fs::read_to_string(&path).unwrap().replace("\\\n", " ");
        for line in unit.lines() {
            let Some((key, command)) = line.split_once('=') else {
                continue;
            };
            if key.starts_with("Exec") && command.contains("irsa ") {
                let mut words = command
                    .trim_start_matches(['-', '+', '!', ':', '@'])
                    .split_whitespace();
                let program = words.next().unwrap();
                assert!(program.ends_with("/irsa"), "{}: {line}", path.display());
                // What systemd fills in from an environment file is the user's.
                let words: Vec<_> = words
                    .filter(|word| !word.starts_with('$'))
                    .map(str::to_owned)
                    .collect();
                taken(&path.display().to_string(), &words);
                commands += 1;
            }
        }
    }
    assert!(commands > 0);
}

#[test]
fn configuration_files_are_irsa_s() {
    Config::parse(&text("deploy/systemd/config.yaml")).unwrap();
    let home = Home::new();
    let mut configurations = 0;
    for path in files("tests/golden/helm") {
        for document in yaml(&std::fs::read_to_string(&path).unwrap()) {
            let Some(config) = document["data"]["config.yaml"].as_str() else {
                continue;
            };
            configurations += 1;
            let name = document["metadata"]["name"].as_str().unwrap();
            let parsed = Config::parse(config)
                .unwrap_or_else(|error| panic!("{}: {name}: {error}\n{config}", path.display()));
            if name.ends_with("-issuer") {
                // The public keys are files beside it, as in the pod.
                for (file, content) in document["data"].as_object().unwrap() {
                    home.write(&format!("etc/{file}"), content.as_str().unwrap());
                }
                for key in parsed.issuers.iter().flat_map(|issuer| &issuer.keys) {
                    let shown = format!("etc/{}", key.display());
                    home.irsa(&["keys", "inspect", &shown]).ok();
                }
                home.irsa(&["config", "show", "--config", "etc/config.yaml"])
                    .ok();
            }
        }
    }
    assert!(configurations >= 3, "{configurations}");
}

#[test]
fn the_image_is_made_of_files_that_exist_and_starts_irsa() {
    let dockerfile = text("deploy/container/Dockerfile").replace("\\\n", " ");
    let ignored = text("deploy/container/Dockerfile.dockerignore");
    let instructions: Vec<(&str, &str)> = dockerfile
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let of = |name: &str| {
        instructions
            .iter()
            .filter(move |(one, _)| *one == name)
            .map(|(_, rest)| *rest)
            .collect::<Vec<_>>()
    };
    let stages = of("FROM");
    assert_eq!(stages.len(), 2);
    assert_eq!(stages.last(), Some(&"scratch"));
    let channel = text("rust-toolchain.toml");
    let version = of("ARG")[0].strip_prefix("RUST_VERSION=").unwrap();
    assert!(
        channel.contains(&format!("channel = \"{version}\"")),
        "{version} is not the toolchain's:\n{channel}"
    );
    assert_eq!(of("USER"), ["65532:65532"]);
    for kept in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(
            repository(kept).exists(),
            "{kept} of Dockerfile.dockerignore does not exist"
        );
    }
    // What the build reads is let in: Cargo refuses a workspace of which a member is missing.
    let manifest = text("Cargo.toml");
    let members = manifest.split("members = [").nth(1).unwrap();
    let members = members.split(']').next().unwrap().split('"').skip(1);
    let members = members
        .step_by(2)
        .map(|member| member.split('/').next().unwrap());
    let read = [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        ".cargo",
        "deploy/container",
    ];
    for needed in read.into_iter().chain(members) {
        assert!(
            ignored.lines().any(|line| line == format!("!{needed}")),
            "{needed} is kept out of the build"
        );
    }
    for script in ["build-static", "check-static"] {
        assert!(
            dockerfile.contains(&format!("deploy/container/{script} /out/irsa")),
            "{script} is not run"
        );
    }
    let list = |text: &str| -> Vec<String> { serde_json::from_str(text).unwrap() };
    let entry = list(of("ENTRYPOINT")[0]);
    assert_eq!(entry, ["/irsa"]);
    let help =
        irsa_cli::Cli::try_parse_from(["irsa".to_owned()].into_iter().chain(list(of("CMD")[0])));
    assert_eq!(
        help.unwrap_err().kind(),
        clap::error::ErrorKind::DisplayHelp
    );
}
