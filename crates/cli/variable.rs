//! Which environment variable holds what clap refuses: clap names the option that the variable stands for, which nobody typed.

use std::env;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// The same error, with the variable where an option that is named came from the environment.
pub fn named(mut error: Error, mut command: Command, typed: &[OsString]) -> Error {
    let value = text(&error, ContextKind::InvalidValue);
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let Some(shown) = text(&error, kind) else {
            continue;
        };
        // What is made of four hundred options is made only now that there is an error.
        command.build();
        let value = value.as_deref().filter(|_| kind == ContextKind::InvalidArg);
        if let Some(variable) = variable(&command, &shown, value, typed) {
            let named = format!("{variable}, which stands for {shown}");
            error.insert(kind, ContextValue::String(named));
        }
    }
    error
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The variable of an option, of this command or one below it, if the option was not typed and the variable holds this.
fn variable(
    command: &Command,
    shown: &str,
    value: Option<&str>,
    typed: &[OsString],
) -> Option<String> {
    let holds = |argument: &Arg| {
        let variable = argument.get_env()?;
        let held = env::var_os(variable)?;
        let held = held.to_string_lossy();
        let delimiter = argument.get_value_delimiter();
        let part = |value| delimiter.is_some_and(|by| held.split(by).any(|part| part == value));
        let same = value.is_none_or(|value| held == *value || part(value));
        (same && !is_typed(argument, typed)).then(|| variable.to_string_lossy().into_owned())
    };
    let mut arguments = command.get_arguments();
    let found = arguments.find_map(|argument| {
        (argument.to_string() == shown)
            .then(|| holds(argument))
            .flatten()
    });
    found.or_else(|| {
        let mut below = command.get_subcommands();
        below.find_map(|command| variable(command, shown, value, typed))
    })
}

fn is_typed(argument: &Arg, typed: &[OsString]) -> bool {
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    typed.iter().any(|word| {
        let word = word.to_string_lossy();
        let name = word.split_once('=').map_or(&*word, |(name, _)| name);
        long.as_deref() == Some(name) || short.as_ref().is_some_and(|short| word.starts_with(short))
    })
}
