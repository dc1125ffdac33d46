//! Into S3: one issuer of the command line, or those of the configuration file.

use std::path::PathBuf;

use irsa_core::store_url::S3Location;
use irsa_issuer::source::IssuerSpec;

use super::front::{self, Front, Issuers};
use super::result::Run;
use super::s3::{self, Access, Reach, Work};
use super::{Mode, S3Args, configured, finish, placed, render};
use crate::args::{DocumentArgs, FetchArgs};
use crate::commands::warn_of_issuer;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings;

/// What is to be put into S3.
pub(super) struct Plan<'a> {
    pub(super) document: &'a DocumentArgs,
    pub(super) keys: Vec<PathBuf>,
    pub(super) root: S3Location,
    pub(super) withdraw: &'a [String],
    pub(super) mode: Mode,
}

/// Puts documents into S3, behind a distribution if that was asked for, or shows what that takes.
pub(super) async fn s3(
    plan: Plan<'_>,
    reach: &Reach,
    args: &S3Args,
    fetch: &FetchArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    let (document, root, mode) = (plan.document, plan.root, plan.mode);
    let one = !plan.keys.is_empty();
    let cdn = args.access == Some(Access::CloudFront);
    if args.certificate_arn.is_some() && !cdn {
        return Err(Failure::usage(
            "a certificate is for a CloudFront distribution",
            "add --access cloudfront, or leave --certificate-arn out",
        ));
    }
    let specs = if one {
        Vec::new()
    } else {
        configured(document, context)?
    };
    let front = if cdn {
        let mut issuers = Issuers::default();
        for spec in &specs {
            issuers.add(reach, spec, &reach.place(&root, &spec.issuer)?);
        }
        if one && let Some(spec) = named(document, context)? {
            issuers.add(reach, &spec, &root);
        }
        let store = s3::store(reach, &root, args).await?;
        Some(front::ensure(reach, &store, args, &issuers, mode).await?)
    } else {
        None
    };
    let issuers = if one {
        let Some(spec) = one_in_s3(document, plan.keys, &root, reach, front.as_ref(), context)?
        else {
            return distribution_first(front, mode, context);
        };
        vec![(render(&spec)?, root.clone())]
    } else {
        placed(&specs, |issuer| reach.place(&root, issuer))?
    };
    // Whom the STS of another store reaches, AWS need not.
    if !reach.is_compatible() {
        for (documents, _) in &issuers {
            warn_of_issuer(documents.issuer());
        }
    }
    if cdn {
        for (documents, location) in &issuers {
            front::check_place(documents.issuer(), location)?;
        }
    }
    let work = Work {
        root,
        issuers: &issuers,
        withdraw: plan.withdraw,
        mode,
        front: front.as_ref(),
    };
    let (run, error) = s3::run(reach, &work, args, fetch).await?;
    finish(run, error, mode, one, context)
}

/// The issuer that the command line names, without its keys.
fn named(document: &DocumentArgs, context: &Context) -> Result<Option<IssuerSpec>, Failure> {
    if document.issuer.issuer.is_none() {
        return Ok(None);
    }
    let (issuer, jwks_uri) = document.require(context)?;
    Ok(Some(IssuerSpec {
        issuer,
        jwks_uri,
        keys: Vec::new(),
    }))
}

/// What is shown while the issuer has no name yet, because its distribution has no domain.
fn distribution_first(
    front: Option<Front>,
    mode: Mode,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut run = Run::new(&[], Vec::new(), true);
    run.bucket = front.map(|front| front.changes).unwrap_or_default();
    run.bucket
        .push("then the documents, at the domain of the distribution".to_owned());
    context.print(&run)?;
    Ok(if mode == Mode::Compare {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// The issuer of a command line: as it was given, or derived from its place; none while that is a distribution which is
/// not there.
fn one_in_s3(
    document: &DocumentArgs,
    keys: Vec<PathBuf>,
    root: &S3Location,
    reach: &Reach,
    front: Option<&Front>,
    context: &Context,
) -> Result<Option<IssuerSpec>, Failure> {
    if let Some(spec) = named(document, context)? {
        return Ok(Some(IssuerSpec { keys, ..spec }));
    }
    let jwks_uri = settings::parse_jwks_uri(document.jwks_uri.as_deref())?;
    let derived = match front {
        Some(front) => front.issuer(root)?,
        None => Some(reach.issuer(root)?),
    };
    let Some(issuer) = derived else {
        return Ok(None);
    };
    tracing::info!(%issuer, "issuer URL derived from where the documents stand: it can never be changed");
    Ok(Some(IssuerSpec {
        issuer,
        jwks_uri,
        keys,
    }))
}
