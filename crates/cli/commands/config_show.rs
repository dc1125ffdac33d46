//! `irsa config show`.

use clap::{Arg, Args as _, Subcommand};
use serde::Serialize;

use crate::args::{DocumentArgs, ServeArgs};
use crate::commands;
use crate::config::ClusterSection;
use crate::context::{Context, Origin};
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::Failure;
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
    let serve = ServeSettings::resolve(document, serve, &context.config, context)?;
    let name = |value: &dyn erased::Name| value.name();
    let mut settings = vec![
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
    ];
    let rows = serve
        .rows()
        .into_iter()
        .map(|(name, value, origin)| (name.to_owned(), value, origin));
    let rows = rows.chain(serve.issuer_rows());
    settings.extend(rows.map(|(name, value, origin)| Row {
        name,
        value,
        origin,
    }));
    let cluster = context.config.cluster.iter().flat_map(ClusterSection::rows);
    settings.extend(cluster.map(|(name, value)| Row {
        origin: if value.is_empty() {
            Origin::Default
        } else {
            Origin::File
        },
        name,
        value,
    }));
    let webhook = context.config.webhook.rows().into_iter();
    settings.extend(webhook.map(|(name, value)| Row {
        name,
        value,
        origin: Origin::File,
    }));
    let apiserver = context.config.apiserver.rows().into_iter();
    settings.extend(apiserver.map(|(name, value)| Row {
        name,
        value,
        origin: Origin::File,
    }));
    settings.extend(variables());
    if !serve.issuers.value.is_empty() {
        // What `irsa serve` would refuse is refused here too.
        serve.specs()?;
    }
    serve.server()?;
    context.print(&Settings { settings })?;
    Ok(Exit::Done)
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
