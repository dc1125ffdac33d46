use crate::util::{Home, commands, repository};

#[test]
fn completions_and_manual_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.irsa(&["completions", shell]).ok().stdout;
        assert!(script.contains("quickstart"), "{shell}");
    }
    assert!(home.irsa(&["man"]).ok().stdout.contains("quickstart"));
    home.irsa(&["man", "--out", "man"]).ok();
    for page in ["irsa.1", "irsa-serve.1", "irsa-token-verify.1"] {
        assert!(home.path("man").join(page).exists(), "{page}");
    }
}

#[test]
fn the_readme_names_every_command_and_exit_code() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let help = Home::new().irsa(&["--help"]).ok().stdout;
    for command in commands(&help) {
        assert!(
            command == "help" || readme.contains(&format!("irsa {command}")),
            "{command}"
        );
    }
    for code in help
        .split("Exit codes:\n")
        .nth(1)
        .unwrap()
        .lines()
        .filter(|l| l.starts_with("  "))
    {
        let (code, meaning) = code.trim().split_once("  ").unwrap();
        assert!(
            readme.contains(&format!("| {code} | {meaning} |")),
            "{code} {meaning}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_changelog() {
    let version = Home::new().irsa(&["version"]).ok().stdout;
    let changelog = std::fs::read_to_string(repository("CHANGELOG.md")).unwrap();
    let number = version.split_whitespace().nth(1).unwrap();
    assert!(changelog.contains(&format!("[{number}]")) || changelog.contains("[Unreleased]"));
}

/// Every crate, and every folder of the top, has its line in the map.
#[test]
fn the_map_of_the_code_names_every_room() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let map = readme.split("## Map of the code").nth(1).unwrap();
    // What builds and the README's own commands leave here.
    let ignored = std::fs::read_to_string(repository(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let mut rooms = 0;
    for (folder, prefix) in [("crates", "crates/"), ("", "")] {
        for entry in std::fs::read_dir(repository(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().display());
            let passed_over =
                name == "crates" || name.starts_with('.') || ignored.contains(&name.as_str());
            if entry.path().is_dir() && !passed_over {
                rooms += 1;
                assert!(
                    map.contains(&format!("\n{name} ")),
                    "{name} is not in the map"
                );
            }
        }
    }
    assert!(rooms > 12, "{rooms}");
}
