//! `irsa publish`.

pub mod directory;
pub mod front;
mod into;
pub mod result;
pub mod s3;
pub mod sync;
pub mod target;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::source::IssuerSpec;

use self::into::Plan;
use self::result::{Run, Single};
use self::s3::{Access, Reach};
use self::sync::SyncError;
pub use self::target::Target;
use crate::args::{self, DocumentArgs, FetchArgs};
use crate::aws::AwsArgs;
use crate::commands::{warn_of_deviations, warn_of_issuer};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;
use crate::report::{self, Failure};
use crate::settings;

/// Put an issuer's documents where relying parties fetch them: into a directory, or into S3.
///
/// The JWKS is written first, each document is replaced whole, and what was written is read back. A key that is
/// published stays published unless it is named with --withdraw: dropping one refuses every token that it signed. A
/// second run changes nothing. In S3 every write says what it replaces, so that of two runs at once one loses and says
/// so; then both documents are fetched through the issuer URL as AWS STS does, without credentials or redirects.
///
/// Without keys, all issuers of the configuration file are published, each at the path of its URL below the target; with
/// --issuer that one alone, at the same place.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer and its documents.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where to: dir:PATH, the directory that is served at the issuer URL, or s3://BUCKET[/PREFIX]; in S3 the issuer
    /// URL need not be given: it is then that of the bucket in its Region, BUCKET.s3.REGION.amazonaws.com/PREFIX
    #[arg(long, value_name = "TARGET", value_parser = Target::parse)]
    pub to: Target,
    /// Key files and certificates in PEM, and directories of *.pub files: all keys to be published
    #[arg(value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
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
    /// What concerns S3 alone.
    #[command(flatten)]
    pub s3: S3Args,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Reading back.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Publishing to S3.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "S3")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct S3Args {
    /// Make the bucket if it is missing: without ACLs, with versions, tagged irsa:managed; --access policy unless said
    /// otherwise
    #[arg(long)]
    pub create_bucket: bool,
    /// Set up who reads the bucket [default: its settings are not looked at]
    #[arg(long, value_enum)]
    pub access: Option<Access>,
    /// The ACM certificate (us-east-1) for an issuer at a host name of your own, with --access cloudfront
    #[arg(long, value_name = "ARN")]
    pub certificate_arn: Option<String>,
    /// Set up a bucket although nothing proves that it is for these issuers: neither tag nor documents, and not empty
    #[arg(long)]
    pub adopt_bucket: bool,
    /// The account that the bucket must belong to [default: that of the credentials; none for other stores]
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub bucket_owner: Option<String>,
    /// Write to a store that ignores If-None-Match and If-Match: only if nothing else ever writes there
    #[arg(long)]
    pub allow_unconditional_writes: bool,
    /// Cache-Control of the documents: how long relying parties may keep them [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = args::cache_life)]
    pub max_age: Option<Duration>,
    /// Do not fetch the documents through the issuer URL
    #[arg(long)]
    pub no_read_back: bool,
    /// Issuers at once
    #[arg(long, value_name = "N", default_value = "16", value_parser = at_once)]
    pub parallel: usize,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Write,
    /// What would be written is shown.
    Show,
    /// The same, and differences are the exit code.
    Compare,
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
        s3,
        aws,
        fetch,
    } = args;
    let mode = match (dry_run, check) {
        (true, _) => Mode::Show,
        (_, true) => Mode::Compare,
        _ => Mode::Write,
    };
    let one = !keys.is_empty();
    match to {
        Target::Directory(root) => {
            refuse_s3_options(&s3, &aws, context)?;
            let issuers = if one {
                let (issuer, jwks_uri) = document.require(context)?;
                let spec = IssuerSpec {
                    issuer,
                    jwks_uri,
                    keys,
                };
                warn_of_issuer(&spec.issuer);
                vec![(render(&spec)?, root)]
            } else {
                let specs = configured(&document, context)?;
                for spec in &specs {
                    warn_of_issuer(&spec.issuer);
                }
                let place =
                    |issuer: &IssuerUrl| Ok(root.join(issuer.path().trim_start_matches('/')));
                placed(&specs, place)?
            };
            context.block_on(async {
                let (run, error) = directory::run(&issuers, &withdraw, mode).await;
                finish(run, error, mode, one, context)
            })
        }
        Target::S3(root) => context.block_on(Box::pin(async {
            let reach = Reach::new(aws.load(fetch.ca_file.as_deref()).await?)?;
            let plan = Plan {
                document: &document,
                keys,
                root,
                withdraw: &withdraw,
                mode,
            };
            into::s3(plan, &reach, &s3, &fetch, context).await
        })),
    }
}

/// Prints what happened, and says how it ended.
fn finish(
    run: Run,
    error: Option<SyncError>,
    mode: Mode,
    one: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let differs = mode == Mode::Compare && run.differs();
    match (error, one) {
        // With --check what would stop a publication is a difference like any other.
        (Some(error @ SyncError::Decide(_)), true) if mode == Mode::Compare => {
            report::warning(&format!("differs: {error}"));
            if context.output.value == Format::Json
                && let Some(single) = Single::of(run)
            {
                context.print(&single)?;
            }
            return Ok(Exit::Differences);
        }
        (Some(error), true) => return Err(error.into()),
        (None, true) => {
            if let Some(single) = Single::of(run) {
                context.print(&single)?;
            }
        }
        (error, false) => {
            context.print(&run)?;
            match error {
                Some(SyncError::Some { source, .. })
                    if mode == Mode::Compare && matches!(*source, SyncError::Decide(_)) => {}
                // Others were written.
                Some(error @ SyncError::Some { failed, total, .. }) if failed < total => {
                    return Err(Failure::from(error).midway());
                }
                Some(error) => return Err(error.into()),
                None => {}
            }
        }
    }
    Ok(if differs {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// The issuers of the configuration file, or the one of them that was named.
fn configured(document: &DocumentArgs, context: &Context) -> Result<Vec<IssuerSpec>, Failure> {
    let file = &context.config;
    let no_keys = |message: String| {
        let help = "name the files with the public keys, or a configuration file with issuers: and --config FILE";
        Failure::usage(message, help)
    };
    if file.issuers.is_empty() {
        return Err(no_keys("no keys given".to_owned()));
    }
    if document.jwks_uri.is_some() {
        let help = "set jwks_uri: of each issuer in the configuration file";
        return Err(Failure::usage("--jwks-uri is for one issuer", help));
    }
    let slash = context.flag(
        "allow_trailing_slash",
        document.issuer.allow_trailing_slash,
        file.allow_trailing_slash,
    );
    let mut specs = settings::specs(&file.issuers, settings::slash(slash.value))?;
    if let Some(named) = &document.issuer.issuer {
        specs.retain(|spec| spec.issuer.as_str() == named);
        if specs.is_empty() {
            let from = context.variable("issuer");
            let from = from.map_or_else(String::new, |name| format!(" (from {name})"));
            return Err(no_keys(format!(
                "issuer \"{named}\"{from} is not in the configuration file"
            )));
        }
    }
    Ok(specs)
}

/// Renders many issuers and finds their places. Two in one place would overwrite each other for ever.
fn placed<P: PartialEq>(
    specs: &[IssuerSpec],
    place: impl Fn(&IssuerUrl) -> Result<P, Failure>,
) -> Result<Vec<(IssuerDocuments, P)>, Failure> {
    let mut placed: Vec<(IssuerDocuments, P)> = Vec::with_capacity(specs.len());
    for spec in specs {
        let place = place(&spec.issuer)?;
        if let Some((other, _)) = placed.iter().find(|(_, taken)| *taken == place) {
            return Err(Failure::usage(
                format!(
                    "issuers {} and {} have the same place",
                    other.issuer(),
                    spec.issuer
                ),
                "publish them to different targets: --issuer URL takes one of the configuration file",
            ));
        }
        placed.push((render(spec)?, place));
    }
    Ok(placed)
}

fn render(spec: &IssuerSpec) -> Result<IssuerDocuments, Failure> {
    let (documents, loaded) = spec.render()?;
    warn_of_deviations(&loaded);
    for warning in loaded.warnings_of_private() {
        report::warning(&warning);
    }
    Ok(documents)
}

fn refuse_s3_options(args: &S3Args, aws: &AwsArgs, context: &Context) -> Result<(), Failure> {
    let S3Args {
        create_bucket,
        access,
        certificate_arn,
        adopt_bucket,
        bucket_owner,
        allow_unconditional_writes,
        max_age,
        no_read_back: _,
        parallel: _,
    } = args;
    let given = *create_bucket
        || access.is_some()
        || *adopt_bucket
        || certificate_arn.is_some()
        || bucket_owner.is_some()
        || *allow_unconditional_writes;
    if aws.given() {
        let help = "leave --region, --profile and --endpoint-url out, or write to s3://BUCKET";
        return Err(Failure::usage("a directory is not on AWS", help));
    }
    if max_age.is_some() {
        let help = "leave --max-age out: the web server in front of the directory says how long documents may be kept";
        return Err(Failure::usage("a directory has no Cache-Control", help));
    }
    // The variable is set for every command, and may stay.
    if context.is_typed("ca_file") && context.variable("ca_file").is_none() {
        let help = "leave --ca-file out, or write to s3://BUCKET, whose documents are read back through the issuer";
        return Err(Failure::usage("a directory is not fetched from", help));
    }
    if given {
        let help = "leave the options under \"S3\" out, or write to s3://BUCKET";
        return Err(Failure::usage("a directory has no bucket to set up", help));
    }
    Ok(())
}

/// Reads an AWS account ID.
pub fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account ID has twelve digits".to_owned())
    }
}

fn at_once(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=256).contains(count));
    count.ok_or_else(|| "a number from 1 to 256".to_owned())
}
