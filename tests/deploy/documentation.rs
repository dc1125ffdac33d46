use clap::Parser as _;
use clap::error::ErrorKind;

use super::{files, text};
use crate::util::repository;

/// Every page: its path and text.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut names: Vec<_> = files("docs")
        .into_iter()
        .chain(files("deploy"))
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    names.push(repository("README.md"));
    let page = |path: &std::path::PathBuf| {
        (
            path.display().to_string(),
            std::fs::read_to_string(path).unwrap(),
        )
    };
    names.iter().map(page).collect()
}

/// Every heading of the troubleshooting page is a message of the program, or the name of an alert.
#[test]
fn headings_are_the_literal_messages() {
    let mut sources = String::new();
    for path in files("crates") {
        let name = path.to_string_lossy();
        if name.ends_with(".rs") && !name.contains("/tests/") && !name.contains("_tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Only what is compiled into the program: literals are broken over lines with a backslash.
            let text = text.split("#[cfg(test)]").next().unwrap();
            for piece in text.split("\\\n") {
                sources.push_str(piece.trim_start());
            }
            sources.push('\n');
        }
    }
    let sources = sources.replace("\\\"", "\"");
    let alerts = text("deploy/monitoring/alerts.yaml");
    let page = text("docs/troubleshooting.md");
    let headings: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    assert!(headings.len() > 50, "{}", headings.len());
    for heading in headings {
        if alerts.contains(&format!("alert: {heading}\n")) {
            continue;
        }
        for part in heading
            .split('…')
            .map(|part| part.trim_matches(['"', ' ']))
            .filter(|part| part.len() > 2)
        {
            assert!(
                sources.contains(part),
                "no source says \"{part}\" of heading \"{heading}\""
            );
        }
    }
}

/// Every command line in a block of code is one that irsa takes, as it stands.
#[test]
fn commands_in_blocks_are_taken() {
    let mut count = 0;
    for (page, text) in pages() {
        for code in blocks(&text) {
            for mut words in code.lines().flat_map(commands) {
                count += 1;
                // An ellipsis stands for arguments that were given before.
                if words.iter().any(|word| word == "…") {
                    continue;
                }
                if code.contains("export IRSA_ISSUER=") && words.len() > 2 {
                    words.extend(["--issuer", "https://oidc.example.com/prod"].map(str::to_owned));
                }
                if let Err(error) = irsa_cli::Cli::try_parse_from(&words) {
                    assert!(
                        shows_only_help(error.kind()),
                        "{page}: {}\n{error}",
                        words.join(" ")
                    );
                }
            }
        }
    }
    assert!(count > 40, "{count}");
}

/// A command in running text may leave its arguments out, and shows what it means with names in capitals; the names of
/// commands and flags must be right.
#[test]
fn commands_in_running_text_exist() {
    let mut count = 0;
    for (page, text) in pages() {
        let prose: String = text.split("\n```").step_by(2).collect();
        for quoted in prose.split('`').skip(1).step_by(2) {
            if !quoted.starts_with("irsa ") || quoted.contains(['|', '…', '<']) {
                continue;
            }
            for words in commands(&quoted.replace('\n', " ")) {
                count += 1;
                let Err(error) = irsa_cli::Cli::try_parse_from(&words) else {
                    continue;
                };
                let lacks = matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::ValueValidation
                        | ErrorKind::InvalidValue
                );
                assert!(
                    lacks || shows_only_help(error.kind()),
                    "{page}: {}\n{error}",
                    words.join(" ")
                );
            }
        }
    }
    assert!(count > 40, "{count}");
}

/// Links from one page to another, and to files of the repository, lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for (page, text) in pages() {
        let folder = std::path::Path::new(&page).parent().unwrap();
        for after in text.split("](").skip(1) {
            let target = after.split(')').next().unwrap().split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            count += 1;
            assert!(
                folder.join(target).exists(),
                "{page}: {target} does not exist"
            );
        }
    }
    assert!(count > 20, "{count}");
}

/// The oldest compiler that is promised is the one that everything is built with.
#[test]
fn the_promised_compiler_is_the_one_in_use() {
    let quoted = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let promised = quoted(&text("Cargo.toml"), "rust-version");
    let used = quoted(&text("rust-toolchain.toml"), "channel");
    assert_eq!(used.strip_suffix(".0"), Some(promised.as_str()));
}

fn shows_only_help(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// The blocks of shell in a page, with continued lines joined.
pub(super) fn blocks(page: &str) -> impl Iterator<Item = String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| {
        let (language, code) = block.split_once('\n').unwrap_or((block, ""));
        let shell = ["", "sh", "console", "bash"].contains(&language.trim());
        shell.then(|| code.replace("\\\n", " "))
    })
}

/// The commands of irsa in a line of shell, as words.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for mut command in shell_words(line) {
        if let Some(first) = command.first()
            && matches!(first.as_str(), "$" | "#")
        {
            command.remove(0);
        }
        if command.first().map(String::as_str) == Some("irsa") {
            found.push(command.iter().map(|word| filled(word)).collect());
        }
    }
    found
}

/// A word with the variables of the guides filled in.
fn filled(word: &str) -> String {
    word.replace("$ISSUER", "https://oidc.example.com/prod")
        .replace("$NODE", "10.0.0.11")
        .replace("$CLUSTER", "prod")
        .replace("KID", "Vx3kAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
}

/// Splits a line as a shell does, as far as the guides go: quotes, comments, and the ends of commands.
fn shell_words(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    let mut characters = line.chars().peekable();
    let push = |word: &mut String, begun: &mut bool, all: &mut Vec<Vec<String>>| {
        if std::mem::take(begun) {
            all.last_mut().unwrap().push(std::mem::take(word));
        }
    };
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                begun = true;
            }
            // A comment, unless it is root's prompt at the beginning of the line.
            (None, '#') if !begun && (all.len() > 1 || !all[0].is_empty()) => break,
            (None, ' ' | '\t') => push(&mut word, &mut begun, &mut all),
            (None, '&' | '|' | ';' | '>' | '<') => {
                push(&mut word, &mut begun, &mut all);
                // What is written to or read from is no word of the command.
                if matches!(c, '>' | '<') {
                    while characters.next_if(|next| *next == ' ').is_some() {}
                    while characters.next_if(|next| !next.is_whitespace()).is_some() {}
                } else {
                    all.push(Vec::new());
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    push(&mut word, &mut begun, &mut all);
    all
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let line = "# irsa keys inspect 'a b.pub' > out && kubectl get x | irsa token explain - # why";
    assert_eq!(
        commands(line),
        [
            vec!["irsa", "keys", "inspect", "a b.pub"],
            vec!["irsa", "token", "explain", "-"]
        ]
    );
}
