//! `irsa config show`.

use clap::{Arg, Args as _, Subcommand};
use serde::Serialize;

use crate::args::{DocumentArgs, ServeArgs};
use crate::commands;
use crate::config::Config;
use crate::config::rows::{rows, written};
use crate::context::{Context, Origin};
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::{self, Failure};
use crate::settings::ServeSettings;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Show(Box<Args>),
}

/// Show every setting with its value and where it came from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One issuer; many come from the configuration file.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// The endpoint.
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Serialize)]
struct Settings {
    settings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: String,
    origin: Origin,
}

impl Render for Settings {
    fn text(&self) -> String {
        output::table(
            ["SETTING", "VALUE", "ORIGIN"],
            self.settings.iter().map(|row| {
                [
                    row.name.clone(),
                    row.value.clone(),
                    format!("{:?}", row.origin).to_lowercase(),
                ]
            }),
        )
    }
}

/// Prints the settings.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { document, serve } = args;
    let serve = ServeSettings::resolve(document, serve, &context.config, context);
    let rows = serve
        .rows()
        .into_iter()
        .map(|(name, value, origin)| (name.to_owned(), value, origin));
    let rows = rows.chain(serve.issuer_rows());
    let mut settings = Vec::from(output_rows(context));
    settings.extend(rows.map(|(name, value, origin)| Row {
        name,
        value,
        origin,
    }));
    settings.extend(sections(context)?);
    settings.extend(variables());
    context.print(&Settings { settings })?;
    if let Err(half) = serve.whole() {
        // IRSA_ISSUER alone is enough for most commands; what was typed here was meant for this one.
        if serve.given_by.is_none() {
            return Err(half);
        }
        report::warning(&format!("irsa serve refuses this: {}", half.message()));
    } else if !serve.issuers.value.is_empty() {
        // What `irsa serve` would refuse is refused here too.
        serve.specs()?;
    }
    serve.server()?;
    Ok(Exit::Done)
}

/// What every command has: how it shows its result, and what it logs.
fn output_rows(context: &Context) -> [Row; 3] {
    let name = |value: &dyn erased::Name| value.name();
    [
        Row {
            name: "output".to_owned(),
            value: name(&context.output.value),
            origin: context.output.origin,
        },
        Row {
            name: "log".to_owned(),
            value: context.log.value.clone(),
            origin: context.log.origin,
        },
        Row {
            name: "log_format".to_owned(),
            value: name(&context.log_format.value),
            origin: context.log_format.origin,
        },
    ]
}

/// Every key of the sections that the file has.
fn sections(context: &Context) -> Result<Vec<Row>, Failure> {
    let Some(path) = &context.global.config else {
        return Ok(Vec::new());
    };
    let text = Config::read(path).map_err(|error| Failure::refused(&error))?;
    let written = written(&text);
    let has = |section: &str| {
        let mut names = written.keys().map(|name| name.split('.').next());
        names.any(|name| name == Some(section))
    };
    let config = &context.config;
    let mut all = Vec::new();
    if let Some(cluster) = &config.cluster {
        all.extend(rows("cluster", cluster));
    }
    if has("webhook") {
        all.extend(config.webhook.rows());
    }
    if has("apiserver") {
        all.extend(rows("apiserver", &config.apiserver));
    }
    let row = |(name, value): (String, String)| Row {
        origin: if written.contains_key(&name) {
            Origin::File
        } else {
            Origin::Default
        },
        name,
        value,
    };
    Ok(all.into_iter().map(row).collect())
}

/// The variables that `irsa serve` reads, that have no place in the file and that are set.
fn variables() -> Vec<Row> {
    let of = |define: fn(clap::Command) -> clap::Command| define(clap::Command::new("irsa"));
    let shown = of(Args::augment_args);
    let shown: Vec<_> = shown.get_arguments().map(Arg::get_id).collect();
    let serve = of(commands::serve::Args::augment_args);
    serve
        .get_arguments()
        .filter(|argument| !shown.contains(&argument.get_id()))
        .filter_map(|argument| {
            let value = std::env::var_os(argument.get_env()?)?;
            Some(Row {
                name: format!("serve --{}", argument.get_long()?),
                value: value.to_string_lossy().into_owned(),
                origin: Origin::Environment,
            })
        })
        .collect()
}

/// The spelling of a value that clap knows.
mod erased {
    use clap::ValueEnum;

    pub(super) trait Name {
        fn name(&self) -> String;
    }

    impl<T: ValueEnum> Name for T {
        fn name(&self) -> String {
            self.to_possible_value()
                .map(|value| value.get_name().to_owned())
                .unwrap_or_default()
        }
    }
}
