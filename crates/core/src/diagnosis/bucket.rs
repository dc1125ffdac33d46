//! The bucket of the documents: whose it is, and who reads it.

use serde_json::Value;

use super::facts::{BucketSeen, Existence};
use super::{Check, Diagnosis, Seen, StsAnswer};
use crate::bucket::PublicAccessBlock;
use crate::issuer::DISCOVERY_PATH;
use crate::strict_json;
use crate::trust::condition::like;

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    let seen = match &facts.bucket {
        Seen::Found(seen) => seen,
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen("bucket", unseen));
            return;
        }
    };
    let subject = format!("s3://{}", seen.location.bucket());
    match &seen.existence {
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("bucket", unseen)),
        Seen::Found(Existence::Ours) => diagnosis.push(Check::ok("bucket", &subject, "is there")),
        Seen::Found(Existence::Foreign(account)) => {
            let message = format!("the bucket does not belong to account {account}");
            diagnosis.push(
                Check::failure("bucket", &subject, message)
                    .why("whoever owns it chooses the keys of this issuer: perhaps the name was free for a while")
                    .help("if another account of yours has it, say so with --bucket-owner ACCOUNT; if none has: irsa iam provider delete at once"),
            );
            return;
        }
        Seen::Found(Existence::Missing) => {
            missing(diagnosis, &subject);
            return;
        }
    }
    access(diagnosis, seen, &subject);
}

/// Behind an issuer of S3 the discovery document says the same.
fn missing(diagnosis: &mut Diagnosis<'_>, subject: &str) {
    let answer = diagnosis.facts.discovery.outcome.as_ref().ok();
    let told = answer.is_some_and(|answer| {
        answer.status == 404 && String::from_utf8_lossy(&answer.body).contains("NoSuchBucket")
    });
    diagnosis.push(if told {
        Check::follows("bucket", subject, "takeover")
    } else {
        Check::failure("bucket", subject, "the bucket does not exist")
            .why("whoever makes a bucket of that name chooses the keys of this issuer")
            .help("irsa publish --to s3://BUCKET --create-bucket")
            .sts(StsAnswer::VerificationKey)
    });
}

fn access(diagnosis: &mut Diagnosis<'_>, seen: &BucketSeen, subject: &str) {
    let readable = diagnosis.readable;
    let account = account_block(diagnosis, seen, subject);
    let block = block(diagnosis, seen, subject);
    let policy = policy(diagnosis, seen, subject);
    diagnosis.unreadable = match (account, block, policy) {
        _ if readable => None,
        (Some(id), _, _) | (_, Some(id), _) | (_, _, Some(id)) => Some(id),
        _ if is_denied(diagnosis) && is_open(seen) => Some(inferred(diagnosis, seen, subject)),
        _ => None,
    };
}

fn is_denied(diagnosis: &Diagnosis<'_>) -> bool {
    let answer = diagnosis.facts.discovery.outcome.as_ref().ok();
    answer.is_some_and(|answer| answer.status == 403)
}

/// Whether bucket and policy were seen and let everybody read.
fn is_open(seen: &BucketSeen) -> bool {
    let block = seen.block.found();
    block.is_some_and(|block| !block.restrict_public_buckets)
        && seen.account_block.found().is_none()
        && matches!(seen.policy, Seen::Found(Some(_)))
}

/// The bucket is open and its documents are refused: what is left is above the bucket.
fn inferred(diagnosis: &mut Diagnosis<'_>, seen: &BucketSeen, subject: &str) -> &'static str {
    let id = "account-access-block";
    let look = match &seen.account_block {
        Seen::Unseen(unseen) => unseen.help.as_deref(),
        Seen::Found(_) => None,
    };
    let look = look.unwrap_or("aws s3control get-public-access-block --account-id ACCOUNT");
    diagnosis.push(
        Check::failure(
            id,
            subject,
            "the bucket lets everybody read the documents, and S3 refuses all the same",
        )
        .why("Block Public Access of the account or a policy of the organisation is stronger than the bucket's settings; or the documents are missing")
        .help(format!(
            "{look} shows it; have it opened, or publish behind a server or CDN: --access none or cloudfront"
        ))
        .sts(StsAnswer::VerificationKey),
    );
    id
}

fn account_block(
    diagnosis: &mut Diagnosis<'_>,
    seen: &BucketSeen,
    subject: &str,
) -> Option<&'static str> {
    let id = "account-access-block";
    match &seen.account_block {
        Seen::Unseen(unseen) => {
            if diagnosis.readable {
                let message =
                    "the documents are readable, so nothing above the bucket is in the way";
                diagnosis.push(Check::ok(id, subject, message));
            } else {
                diagnosis.push(Check::unseen(id, unseen));
            }
            None
        }
        Seen::Found(block) if !diagnosis.readable && closes(*block) => {
            let message = format!(
                "Block Public Access of the account is on: {}",
                named(*block)
            );
            diagnosis.push(
                Check::failure(id, subject, message)
                    .why("it is stronger than the settings of the bucket")
                    .help("have it opened for this account, or publish behind a server or CDN: --access none")
                    .sts(StsAnswer::VerificationKey),
            );
            Some(id)
        }
        Seen::Found(_) => {
            diagnosis.push(Check::ok(id, subject, "is not in the way"));
            None
        }
    }
}

const fn closes(block: PublicAccessBlock) -> bool {
    block.restrict_public_buckets
}

fn named(block: PublicAccessBlock) -> String {
    let names = [
        ("BlockPublicAcls", block.block_public_acls),
        ("IgnorePublicAcls", block.ignore_public_acls),
        ("BlockPublicPolicy", block.block_public_policy),
        ("RestrictPublicBuckets", block.restrict_public_buckets),
    ];
    let on: Vec<&str> = names
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    on.join(", ")
}

fn block(diagnosis: &mut Diagnosis<'_>, seen: &BucketSeen, subject: &str) -> Option<&'static str> {
    let id = "bucket-access-block";
    match &seen.block {
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen(id, unseen));
            None
        }
        Seen::Found(block) if !diagnosis.readable && closes(*block) => {
            let message = format!("Block Public Access of the bucket is on: {}", named(*block));
            diagnosis.push(
                Check::failure(id, subject, message)
                    .why("with RestrictPublicBuckets nobody outside of the account reads the documents, whatever the policy says")
                    .help("irsa publish --to s3://BUCKET --access policy FILE... opens it as far as it must be")
                    .sts(StsAnswer::VerificationKey),
            );
            Some(id)
        }
        Seen::Found(_) => {
            diagnosis.push(Check::ok(id, subject, "is not in the way"));
            None
        }
    }
}

fn policy(diagnosis: &mut Diagnosis<'_>, seen: &BucketSeen, subject: &str) -> Option<&'static str> {
    let id = "bucket-policy";
    let text = match &seen.policy {
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen(id, unseen));
            return None;
        }
        Seen::Found(text) => text,
    };
    let parsed = text
        .as_deref()
        .and_then(|text| strict_json::parse(text.as_bytes()).ok());
    let discovery = seen.location.key(DISCOVERY_PATH.trim_start_matches('/'));
    let bucket = seen.location.bucket().as_str();
    let opens = |key: &str| {
        parsed
            .as_ref()
            .is_some_and(|policy| lets_everybody_read(policy, bucket, key))
    };
    // A name that no document has.
    let stranger = seen.location.key("irsa-doctor/no-such-document");
    let check = if opens(&stranger) {
        Check::warning(id, subject, "the policy lets everybody read more than the two documents")
            .why("what else is ever put into this bucket is public")
            .help("narrow it to the two documents: irsa publish --to s3://BUCKET --access policy writes such a statement")
    } else if diagnosis.readable || opens(&discovery) {
        Check::ok(id, subject, "lets nobody read more than the documents")
    } else {
        let told = diagnosis.has_failed("bucket-access-block")
            || diagnosis.has_failed("account-access-block");
        let message = match text {
            None => {
                "the bucket has no policy, so nobody outside of the account reads the documents"
            }
            Some(_) => "the policy does not let everybody read the documents",
        };
        if !is_denied(diagnosis) || told {
            Check::ok(id, subject, message)
        } else {
            diagnosis.push(
                Check::failure(id, subject, message)
                    .why("AWS fetches them without credentials")
                    .help("irsa publish --to s3://BUCKET --access policy FILE...")
                    .sts(StsAnswer::VerificationKey),
            );
            return Some(id);
        }
    };
    diagnosis.push(check);
    None
}

/// Whether the policy allows `s3:GetObject` of a key to everybody over TLS. Conditions keep an `Allow` from being for
/// everybody; a `Deny` counts when it has none.
fn lets_everybody_read(policy: &Value, bucket: &str, key: &str) -> bool {
    let statements = match policy.get("Statement") {
        Some(Value::Array(many)) => many.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    let applies = |statement: &Value, effect: &str| {
        statement.get("Effect").and_then(Value::as_str) == Some(effect)
            && statement.get("Condition").is_none()
            && is_everybody(statement.get("Principal"))
            && any(statement.get("Action"), |action| {
                like(&action.to_ascii_lowercase(), "s3:getobject")
            })
            && any(statement.get("Resource"), |resource| {
                // The partition does not matter here.
                let name = resource.splitn(6, ':').nth(5).unwrap_or(resource);
                like(name, &format!("{bucket}/{key}"))
            })
    };
    let has = |effect| statements.iter().any(|one| applies(one, effect));
    has("Allow") && !has("Deny")
}

fn is_everybody(principal: Option<&Value>) -> bool {
    match principal {
        Some(Value::Object(kinds)) => any(kinds.get("AWS"), |one| one == "*"),
        other => any(other, |one| one == "*"),
    }
}

fn any(value: Option<&Value>, fits: impl Fn(&str) -> bool) -> bool {
    match value {
        Some(Value::String(one)) => fits(one),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).any(fits),
        _ => false,
    }
}
