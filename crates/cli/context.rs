//! What every command has: the configuration file, where each value came from, and the form of the output.

use std::collections::HashMap;
use std::future::Future;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::config::Config;
use crate::logging;
use crate::output::{self, Format, Render};
use crate::report::Failure;

/// Where a value came from, in falling precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A flag.
    Flag,
    /// An `IRSA_*` variable.
    Environment,
    /// The configuration file.
    File,
    /// Built in.
    Default,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// What every command has.
#[derive(Debug)]
pub struct Context {
    /// The configuration file; empty without one.
    pub config: Config,
    /// How results are written.
    pub output: Setting<Format>,
    /// What is logged.
    pub log: Setting<String>,
    /// How log lines are written.
    pub log_format: Setting<logging::LogFormat>,
    /// The options as typed, for commands that read the file again.
    pub global: GlobalArgs,
    /// The whole command line, for commands that describe it.
    pub definition: fn() -> clap::Command,
    sources: HashMap<String, ValueSource>,
}

impl Context {
    /// Reads the configuration file.
    pub fn new(
        global: &GlobalArgs,
        matches: &ArgMatches,
        definition: fn() -> clap::Command,
    ) -> Result<Self, Failure> {
        let config = match &global.config {
            Some(path) => Config::load(path).map_err(|error| Failure::refused(&error))?,
            None => Config::default(),
        };
        let sources = sources(matches);
        let GlobalArgs {
            config: _,
            output,
            log,
            log_format,
        } = global.clone();
        Ok(Self {
            output: pick(&sources, "output", output, config.output, Format::default()),
            log: pick(&sources, "log", log, config.log.clone(), "info".to_owned()),
            log_format: pick(
                &sources,
                "log_format",
                log_format,
                config.log_format,
                logging::LogFormat::default(),
            ),
            config,
            global: global.clone(),
            definition,
            sources,
        })
    }

    /// The value in force of an option: flag, then variable, then file, then default.
    pub fn setting<T>(
        &self,
        id: &str,
        given: Option<T>,
        file: Option<T>,
        default: T,
    ) -> Setting<T> {
        pick(&self.sources, id, given, file, default)
    }

    /// The value in force of a switch, which a variable can also set to `false`.
    pub fn flag(&self, id: &str, value: bool, file: Option<bool>) -> Setting<bool> {
        self.setting(id, self.is_typed(id).then_some(value), file, false)
    }

    /// Whether an option was given by flag or variable.
    pub fn is_typed(&self, id: &str) -> bool {
        matches!(
            self.sources.get(id),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    }

    /// The variable that an option's value is from, if it is from one.
    pub fn variable(&self, id: &str) -> Option<String> {
        let from = self.sources.get(id) == Some(&ValueSource::EnvVariable);
        from.then(|| format!("IRSA_{}", id.to_ascii_uppercase()))
    }

    /// Prints a result.
    pub fn print(&self, result: &impl Render) -> Result<(), Failure> {
        output::print(result, self.output.value)
    }

    /// Prints a result for as long as somebody reads.
    pub fn print_to_reader(&self, result: &impl Render) -> Result<(), Failure> {
        output::print_to_reader(result, self.output.value)
    }

    /// Starts logging, for commands that work on the network.
    pub fn start_logging(&self) -> Result<(), Failure> {
        logging::start(&self.log.value, self.log_format.value).map_err(|error| {
            Failure::usage(
                format!("log filter \"{}\" is refused: {error}", self.log.value),
                "use error, warn, info or debug",
            )
        })
    }

    /// Runs a command that needs the network. Others pay for no runtime.
    pub fn block_on<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.start_logging()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::system("the runtime cannot be started", &error))?;
        let done = runtime.block_on(work);
        // A look-up of a name may still hang on a thread of its own; a timeout must not wait for it.
        runtime.shutdown_background();
        done
    }
}

fn pick<T>(
    sources: &HashMap<String, ValueSource>,
    id: &str,
    given: Option<T>,
    file: Option<T>,
    default: T,
) -> Setting<T> {
    match (given, file) {
        (Some(value), _) => {
            let environment = sources.get(id) == Some(&ValueSource::EnvVariable);
            let origin = if environment {
                Origin::Environment
            } else {
                Origin::Flag
            };
            Setting { value, origin }
        }
        (None, Some(value)) => Setting {
            value,
            origin: Origin::File,
        },
        (None, None) => Setting {
            value: default,
            origin: Origin::Default,
        },
    }
}

/// The source of each option of the subcommand that was chosen.
fn sources(matches: &ArgMatches) -> HashMap<String, ValueSource> {
    let mut sources: HashMap<_, _> = matches
        .ids()
        .filter_map(|id| Some((id.to_string(), matches.value_source(id.as_str())?)))
        .collect();
    if let Some((_, inner)) = matches.subcommand() {
        sources.extend(self::sources(inner));
    }
    sources
}
