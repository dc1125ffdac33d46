//! The bucket policy: our statements put into it, those of others kept.

use serde_json::{Map, Value, json};

use super::{Access, BucketChange, BucketError, BucketState, BucketWanted, MAX_POLICY_BYTES};
use crate::partition::Partition;
use crate::strict_json;

const READ_SID: &str = "IrsaPublicRead";
const CDN_SID: &str = "IrsaCloudFrontRead";
const TLS_SID: &str = "IrsaDenyPlainHttp";
/// As many documents of others are named.
const SHOWN: usize = 3;
/// Condition keys that name who is let in.
const LIMITS: [&str; 9] = [
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalOrgID",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:userid",
];

/// The policy to put in place, `None` if that which is there does it.
pub(super) fn plan(
    wanted: &BucketWanted,
    policy: Option<&str>,
) -> Result<Option<BucketChange>, BucketError> {
    let bucket = &wanted.bucket;
    let mut document = match policy {
        _ if matches!(
            wanted.access,
            Access::None | Access::CloudFront { distribution: None }
        ) =>
        {
            return Ok(None);
        }
        None => json!({"Version": "2012-10-17", "Statement": []}),
        Some(text) => {
            strict_json::parse(text.as_bytes()).map_err(|source| BucketError::PolicyText {
                bucket: bucket.clone(),
                source,
            })?
        }
    };
    let before = document.clone();
    let statements =
        statements(&mut document).ok_or_else(|| BucketError::PolicyShape(bucket.clone()))?;
    let taken = |sid| BucketError::StatementTaken {
        bucket: bucket.clone(),
        sid,
    };
    let (sid, read, reader, closed) = match &wanted.access {
        Access::CloudFront {
            distribution: Some(arn),
        } => {
            let closed = take_public_read(statements);
            let (read, reader) = distribution_read(statements, arn);
            (CDN_SID, read, reader, closed)
        }
        _ => (READ_SID, public_read(), None, Vec::new()),
    };
    let readable =
        add_resources(statements, sid, &read, &wanted.documents).ok_or_else(|| taken(sid))?;
    deny_plain_http(statements, wanted).ok_or_else(|| taken(TLS_SID))?;
    if document == before {
        return Ok(None);
    }
    let json = document.to_string();
    if json.len() > MAX_POLICY_BYTES {
        return Err(BucketError::PolicyTooLarge {
            bucket: bucket.clone(),
            bytes: json.len(),
        });
    }
    Ok(Some(BucketChange::Policy {
        before: policy.map(str::to_owned),
        json,
        readable,
        reader,
        closed,
    }))
}

fn deny_plain_http(statements: &mut Vec<Value>, wanted: &BucketWanted) -> Option<Vec<String>> {
    let partition = Partition::of_region(&wanted.region).name;
    let bucket = &wanted.bucket;
    let everything = [
        format!("arn:{partition}:s3:::{bucket}"),
        format!("arn:{partition}:s3:::{bucket}/*"),
    ];
    let deny = json!({
        "Sid": TLS_SID, "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    });
    add_resources(statements, TLS_SID, &deny, &everything)
}

/// Refuses when opening the bucket to our statement would open it to another one too.
pub(super) fn nothing_else_becomes_public(
    wanted: &BucketWanted,
    policy: Option<&str>,
) -> Result<(), BucketError> {
    let Some(Ok(mut document)) = policy.map(|text| strict_json::parse(text.as_bytes())) else {
        return Ok(());
    };
    for statement in statements(&mut document).into_iter().flatten() {
        let wide = statement
            .get("Resource")
            .is_none_or(|resource| resource.to_string().contains('*'));
        let ours = sid(statement) == READ_SID && !wide;
        if !ours && lets_everybody_in(statement) {
            return Err(BucketError::OpensMore {
                bucket: wanted.bucket.clone(),
                sid: sid(statement).to_owned(),
            });
        }
    }
    Ok(())
}

/// Refuses to make a bucket private when its policy serves other documents than the wanted ones to everybody, or has a
/// statement with which S3 takes no policy for a private bucket.
pub(super) fn nobody_else_is_cut_off(
    wanted: &BucketWanted,
    state: &BucketState,
) -> Result<(), BucketError> {
    let Some(Ok(mut document)) = state
        .policy
        .as_deref()
        .map(|text| strict_json::parse(text.as_bytes()))
    else {
        return Ok(());
    };
    let public = statements(&mut document)
        .into_iter()
        .flatten()
        .filter(|statement| lets_everybody_in(statement) && !is_limited(statement));
    for statement in public {
        let bucket = wanted.bucket.clone();
        let Some(mut documents) = public_resources(statement) else {
            let sid = sid(statement).to_owned();
            return Err(BucketError::Public { bucket, sid });
        };
        documents.retain(|arn| !wanted.documents.contains(arn));
        if !documents.is_empty() && !state.block.restrict_public_buckets {
            documents.truncate(SHOWN);
            return Err(BucketError::ServesOthers { bucket, documents });
        }
    }
    Ok(())
}

fn sid(statement: &Value) -> &str {
    let sid = statement.get("Sid").and_then(Value::as_str);
    sid.unwrap_or_default()
}

fn lets_everybody_in(statement: &Value) -> bool {
    let allows = statement.get("Effect").and_then(Value::as_str) == Some("Allow");
    allows && is_public(statement.get("Principal"))
}

/// Whether a condition names who is let in, so that S3 does not call the statement public (S3 User Guide, "The meaning
/// of public").
fn is_limited(statement: &Value) -> bool {
    let operators = statement.get("Condition").and_then(Value::as_object);
    operators.into_iter().flatten().any(|(operator, keys)| {
        !operator.contains("Not")
            && !operator.ends_with("IfExists")
            && keys
                .as_object()
                .into_iter()
                .flatten()
                .any(|(key, _)| LIMITS.iter().any(|limit| key.eq_ignore_ascii_case(limit)))
    })
}

/// Whether a principal is everybody; one that excludes somebody (`NotPrincipal`) is too.
fn is_public(principal: Option<&Value>) -> bool {
    match principal {
        None => true,
        Some(Value::String(one)) => one == "*",
        Some(Value::Array(many)) => many.iter().any(|one| one == "*"),
        Some(Value::Object(kinds)) => is_public(kinds.get("AWS").or(Some(&Value::Null))),
        Some(_) => false,
    }
}

fn public_read() -> Value {
    json!({
        "Sid": READ_SID, "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": [],
    })
}

/// Takes our statement for everybody out, as a private bucket cannot have it; what everybody could read by it.
fn take_public_read(statements: &mut Vec<Value>) -> Vec<String> {
    let mut closed = Vec::new();
    statements.retain(|statement| match public_resources(statement) {
        Some(resources) => {
            closed.extend(resources);
            false
        }
        None => true,
    });
    closed
}

/// The objects that our statement lets everybody read; `None` of any other statement.
fn public_resources(statement: &Value) -> Option<Vec<String>> {
    let statement = statement.as_object()?;
    let ours = without_resource(statement) == without_resource(public_read().as_object()?);
    resources(statement).filter(|arns| ours && arns.iter().all(|arn| !arn.contains('*')))
}

/// Our statement for distributions, with this one among those that are let in already, and its ARN if it is new there.
/// They may be gone, and may not: `CloudFront` gives no ID twice, so none of them is a stranger.
fn distribution_read(statements: &mut [Value], arn: &str) -> (Value, Option<String>) {
    let found = statements
        .iter_mut()
        .find(|statement| sid(statement) == CDN_SID);
    let source = found.and_then(|statement| {
        let condition = statement.get_mut("Condition")?;
        condition.get_mut("StringEquals")?.get_mut("AWS:SourceArn")
    });
    let account = arn.split("distribution/").next().unwrap_or(arn);
    let ours = |arns: &Vec<String>| arns.iter().all(|one| one.starts_with(account));
    let mut readers = source
        .as_deref()
        .and_then(texts)
        .filter(ours)
        .unwrap_or_default();
    let new = (!readers.iter().any(|one| one == arn)).then(|| arn.to_owned());
    let known = !readers.is_empty();
    readers.extend(new.clone());
    let readers = match readers.as_slice() {
        [one] => json!(one),
        many => json!(many),
    };
    if let (Some(source), true) = (source, known) {
        source.clone_from(&readers);
    }
    let read = json!({
        "Sid": CDN_SID, "Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject", "Resource": [],
        "Condition": {"StringEquals": {"AWS:SourceArn": readers}},
    });
    (read, new)
}

/// One text, or a list of texts.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn resources(statement: &Map<String, Value>) -> Option<Vec<String>> {
    texts(statement.get("Resource")?)
}

fn without_resource(statement: &Map<String, Value>) -> Map<String, Value> {
    let mut rest = statement.clone();
    rest.remove("Resource");
    rest
}

/// The statements; a policy may have a single one without a list (IAM JSON policy elements: Statement).
fn statements(document: &mut Value) -> Option<&mut Vec<Value>> {
    let statement = document.as_object_mut()?.get_mut("Statement")?;
    if statement.is_object() {
        *statement = Value::Array(vec![statement.take()]);
    }
    statement.as_array_mut()
}

/// Adds resources to the statement with this Sid, which must be like `ours` in all else; makes it if it is missing.
/// The resources that were missing are the answer, `None` if the statement is somebody else's.
fn add_resources(
    statements: &mut Vec<Value>,
    sid: &str,
    ours: &Value,
    resources: &[String],
) -> Option<Vec<String>> {
    let at = statements
        .iter()
        .position(|statement| self::sid(statement) == sid);
    let index = at.unwrap_or_else(|| {
        statements.push(ours.clone());
        statements.len() - 1
    });
    let statement = statements.get_mut(index)?.as_object_mut()?;
    let mut present = self::resources(statement)?;
    if without_resource(statement) != without_resource(ours.as_object()?) {
        return None;
    }
    let missing: Vec<String> = resources
        .iter()
        .filter(|resource| !present.contains(resource))
        .cloned()
        .collect();
    if missing.is_empty() {
        return Some(missing);
    }
    present.extend(missing.iter().cloned());
    statement.insert("Resource".to_owned(), json!(present));
    Some(missing)
}
