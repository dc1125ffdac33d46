//! `irsa publish`.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_core::change::{Change, Expected};
use irsa_core::publication::{self, Observed, PublicationError};
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::{self, Publisher};
use irsa_issuer::source::IssuerSpec;
use serde::Serialize;

use crate::args::DocumentArgs;
use crate::commands::warn_of_deviations;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

/// Write an issuer's documents where a web server serves them.
///
/// The JWKS is written first, each file is replaced whole, and what was written is read back. A key that is published
/// stays published unless it is named with --withdraw: dropping one refuses every token that it signed. A second run
/// changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer and its documents.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where to: dir:PATH, the directory that is served at the issuer URL
    #[arg(long, value_name = "dir:PATH", value_parser = target)]
    pub to: PathBuf,
    /// Key files and certificates in PEM, and directories of *.pub files: all keys to be published
    #[arg(required = true, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub keys: Vec<PathBuf>,
    /// The kid of a published key to drop (several: repeat it)
    // a kid is base64url and may begin with a hyphen
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub withdraw: Vec<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do nothing, and exit with 3 if something differs
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
}

#[derive(Serialize)]
struct Published {
    issuer: String,
    to: PathBuf,
    written: bool,
    changes: Vec<ChangeRow>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct ChangeRow {
    action: &'static str,
    path: String,
    added: Vec<String>,
    removed: Vec<String>,
}

impl From<&Change> for ChangeRow {
    fn from(change: &Change) -> Self {
        let kids = |keys: &[irsa_core::jwks::Jwk]| keys.iter().map(|jwk| jwk.kid.clone()).collect();
        Self {
            action: if change.expected == Expected::Absent {
                "create"
            } else {
                "update"
            },
            path: change.path.clone(),
            added: kids(&change.keys.added),
            removed: kids(&change.keys.removed),
        }
    }
}

impl Render for Published {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Publishes, or shows what publishing would do.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        document,
        to,
        keys,
        withdraw,
        dry_run,
        check,
    } = args;
    let (issuer, jwks_uri) = document.require(context)?;
    let (documents, loaded) = IssuerSpec {
        issuer,
        jwks_uri,
        keys,
    }
    .render()?;
    warn_of_deviations(&loaded);
    context.block_on(async {
        let directory = Directory::new(to.clone());
        let show = |changes: &[Change], written| {
            context.print(&Published {
                issuer: documents.issuer().to_string(),
                to: to.clone(),
                written,
                changes: changes.iter().map(ChangeRow::from).collect(),
                text: describe(changes, written),
            })
        };
        if dry_run || check {
            let observed = publish::observe(&directory, &documents).await?;
            warn_of_unpublished(&observed, &withdraw);
            let changes = match publication::plan(&documents, &observed, &withdraw) {
                Ok(changes) => changes,
                Err(error) if check => return Ok(differs(&error)),
                Err(error) => return Err(error.into()),
            };
            show(&changes, false)?;
            let differs = check && !changes.is_empty();
            return Ok(if differs {
                Exit::Differences
            } else {
                Exit::Done
            });
        }
        let directory = directory.lock()?;
        let changes = write(&directory, &documents, &withdraw).await?;
        show(&changes, true)?;
        Ok(Exit::Done)
    })
}

async fn write(
    publisher: &impl Publisher,
    documents: &irsa_core::documents::IssuerDocuments,
    withdraw: &[String],
) -> Result<Vec<Change>, Failure> {
    let observed = publish::observe(publisher, documents).await?;
    warn_of_unpublished(&observed, withdraw);
    let changes = publication::plan(documents, &observed, withdraw)?;
    publish::apply(publisher, &changes).await?;
    Ok(changes)
}

/// A withdrawal that was done before is no error, and a mistyped one should be seen.
fn warn_of_unpublished(observed: &Observed, withdraw: &[String]) {
    for kid in publication::not_published(observed, withdraw) {
        report::warning(&format!(
            "key \"{kid}\" is to be withdrawn and is not published"
        ));
    }
}

/// With `--check` what would stop a publication is a difference like any other.
fn differs(error: &PublicationError) -> Exit {
    report::warning(&format!("differs: {error}"));
    Exit::Differences
}

fn describe(changes: &[Change], written: bool) -> String {
    if changes.is_empty() {
        return "nothing to do: the documents are as they should be".to_owned();
    }
    let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
    let end = if written {
        "written and read back"
    } else {
        "nothing was written"
    };
    format!("{}\n{end}", lines.join("\n"))
}

/// Reads `dir:PATH`.
pub(crate) fn target(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("dir:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("write it like dir:/var/www/oidc".to_owned()),
    }
}
