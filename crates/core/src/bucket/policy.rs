//! The bucket policy: our statements put into it, those of others kept.

use serde_json::{Value, json};

use super::{Access, BucketChange, BucketError, BucketWanted, MAX_POLICY_BYTES};
use crate::partition::Partition;
use crate::strict_json;

const READ_SID: &str = "IrsaPublicRead";
const CDN_SID: &str = "IrsaCloudFrontRead";
const TLS_SID: &str = "IrsaDenyPlainHttp";

/// The policy to put in place, `None` if that which is there does it.
pub(super) fn plan(
    wanted: &BucketWanted,
    policy: Option<&str>,
) -> Result<Option<BucketChange>, BucketError> {
    if wanted.access == Access::None {
        return Ok(None);
    }
    let bucket = &wanted.bucket;
    let mut document = match policy {
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
    let (sid, read) = read_statement(wanted);
    let taken = |sid| BucketError::StatementTaken {
        bucket: bucket.clone(),
        sid,
    };
    let readable =
        add_resources(statements, sid, &read, &wanted.documents).ok_or_else(|| taken(sid))?;
    let partition = Partition::of_region(&wanted.region).name;
    let everything = [
        format!("arn:{partition}:s3:::{bucket}"),
        format!("arn:{partition}:s3:::{bucket}/*"),
    ];
    let deny = json!({
        "Sid": TLS_SID, "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    });
    add_resources(statements, TLS_SID, &deny, &everything).ok_or_else(|| taken(TLS_SID))?;
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
    Ok(Some(BucketChange::Policy { json, readable }))
}

/// Refuses when opening the bucket to our statement would open it to another one too.
pub(super) fn nothing_else_becomes_public(
    wanted: &BucketWanted,
    policy: Option<&str>,
) -> Result<(), BucketError> {
    let Some(Ok(mut document)) = policy.map(|text| strict_json::parse(text.as_bytes())) else {
        return Ok(());
    };
    let text = |statement: &Value, key| {
        statement
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    for statement in statements(&mut document).into_iter().flatten() {
        let sid = text(statement, "Sid").unwrap_or_default();
        let wide = statement
            .get("Resource")
            .is_none_or(|resource| resource.to_string().contains('*'));
        let ours = sid == READ_SID && !wide;
        let allows = text(statement, "Effect").as_deref() == Some("Allow");
        if allows && !ours && is_public(statement.get("Principal")) {
            return Err(BucketError::OpensMore {
                bucket: wanted.bucket.clone(),
                sid,
            });
        }
    }
    Ok(())
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

fn read_statement(wanted: &BucketWanted) -> (&'static str, Value) {
    match &wanted.access {
        Access::CloudFront { distribution } => (
            CDN_SID,
            json!({
                "Sid": CDN_SID, "Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"},
                "Action": "s3:GetObject", "Resource": [],
                "Condition": {"StringEquals": {"AWS:SourceArn": distribution}},
            }),
        ),
        Access::Policy | Access::None => (
            READ_SID,
            json!({
                "Sid": READ_SID, "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": [],
            }),
        ),
    }
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
        .position(|statement| statement.get("Sid").and_then(Value::as_str) == Some(sid));
    let index = at.unwrap_or_else(|| {
        statements.push(ours.clone());
        statements.len() - 1
    });
    let statement = statements.get_mut(index)?.as_object_mut()?;
    let mut present: Vec<String> = match statement.get("Resource") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many
            .iter()
            .map(|resource| resource.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    let without = |map: &serde_json::Map<String, Value>| {
        let mut map = map.clone();
        map.remove("Resource");
        map
    };
    if without(statement) != without(ours.as_object()?) {
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
