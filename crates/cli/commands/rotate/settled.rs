//! What a command line must not ask for, whatever the world looks like.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_core::policy::{RotationPolicy, SHORTEST_LEASE, spell};

use super::args::Args;
use super::places::{Buckets, KeysPlace, StatePlace};
use crate::commands::publish::target::Target;
use crate::report::Failure;

/// Where the ring and the private keys are. Neither may be where documents are served from, and the place of keys on a
/// node is not where keys rest: what is retired on one node goes from there.
pub(super) fn settled(args: &Args) -> Result<(StatePlace, KeysPlace), Failure> {
    let state = args.state.clone().ok_or_else(|| {
        Failure::usage(
            "no place for the key ring",
            "add --state DIR: a directory of this host, mode 0700; or --state secret:NAMESPACE/NAME for several nodes",
        )
    })?;
    if args.to.is_empty() {
        return Err(Failure::usage(
            "no place for the documents",
            "add --to dir:PATH or --to s3://BUCKET/PREFIX",
        ));
    }
    let keys = KeysPlace::beside(&state, args.private_keys.clone())?;
    if let StatePlace::Directory(directory) = &state {
        apart(directory, "the key ring", &args.to)?;
    }
    let KeysPlace::Directory(directory) = &keys else {
        return Ok((state, keys));
    };
    apart(directory, "private keys", &args.to)?;
    let node = &args.node;
    if node.here.is_some()
        && *directory == node.root.join(node.key_directory.trim_start_matches('/'))
    {
        return Err(Failure::usage(
            format!(
                "private keys would rest where they are placed for kube-apiserver: {}",
                node.key_directory
            ),
            "give --state or --private-keys another directory, or --key-directory",
        ));
    }
    Ok((state, keys))
}

/// Refuses documents that caches may keep for longer than a key waits before it signs.
pub(super) fn kept_no_longer_than_waited(
    args: &Args,
    policy: &RotationPolicy,
) -> Result<(), Failure> {
    let kept = args.bucket.max_age;
    let waited = policy.longest_kept();
    let written = args.to.iter().any(|to| matches!(to, Target::S3(_)));
    if !written || kept <= waited {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "the documents may be kept for {} (--max-age), and a key signs when caches have had {} to see it",
            spell(kept),
            spell(waited)
        ),
        format!(
            "give --cache {}s or more, or a shorter --max-age",
            kept.as_secs()
        ),
    ))
}

/// Refuses a lease that ends before the last write of its run can arrive.
pub(super) fn lease_outlives(buckets: &Buckets<'_>, lease: Duration) -> Result<(), Failure> {
    if lease >= SHORTEST_LEASE || !buckets.are_remote() {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "a lease of {} is shorter than a write to S3 may take to arrive, expected at least {}",
            spell(lease),
            spell(SHORTEST_LEASE)
        ),
        "leave --lease out, or give --lease 20m or more",
    ))
}

/// Refuses a place below a directory that is served, by whatever names the two are reached.
fn apart(directory: &Path, what: &str, targets: &[Target]) -> Result<(), Failure> {
    let inside = real(directory)?;
    for target in targets {
        if let Target::Directory(root) = target
            && inside.starts_with(real(root)?)
        {
            return Err(Failure::usage(
                format!(
                    "{what} would rest in \"{}\", below \"{}\", which is served",
                    directory.display(),
                    root.display()
                ),
                "give --state and --private-keys a directory outside of --to",
            ));
        }
    }
    Ok(())
}

/// Where a path leads: without links and dots as far as it exists, and what is still to be made below that.
fn real(path: &Path) -> Result<PathBuf, Failure> {
    let fail = |error| {
        Failure::system(
            &format!("\"{}\" cannot be looked at", path.display()),
            &error,
        )
    };
    let whole = std::path::absolute(path).map_err(fail)?;
    let mut missing = Vec::new();
    for there in whole.ancestors() {
        match there.canonicalize() {
            Ok(there) => return Ok(there.join(missing.iter().rev().collect::<PathBuf>())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A name, or dots after something that does not exist: those lead nowhere.
                missing.push(
                    there
                        .components()
                        .next_back()
                        .map_or("".into(), |last| last.as_os_str().to_owned()),
                );
            }
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(whole)
}
