//! The same plan for people who change AWS with other tools: aws commands, Terraform, `CloudFormation`.

use irsa_core::provider::{ProviderArn, ProviderChange, ProviderWanted};
use irsa_core::role::{INLINE_POLICY, RoleChange, RoleWanted};
use irsa_core::trust::TrustPolicy;
use serde_json::{Map, Value, json};

/// A name that Terraform and `CloudFormation` take, from any text.
fn identifier(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// `CloudFormation` takes letters and digits only.
fn logical_id(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric();
    text.chars().filter(plain).collect()
}

/// A text for a shell, in single quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn aws(verb: &str, options: &[(&str, String)]) -> String {
    let mut line = format!("aws iam {verb}");
    for (name, value) in options {
        line = format!("{line} --{name} {value}");
    }
    line
}

fn words(list: &[String]) -> String {
    let words: Vec<String> = list.iter().map(|one| quoted(one)).collect();
    words.join(" ")
}

fn cli_tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let tag = |(key, value): (&String, &String)| quoted(&format!("Key={key},Value={value}"));
    let tags: Vec<String> = tags.into_iter().map(tag).collect();
    tags.join(" ")
}

/// The changes of a provider as aws commands, one a line.
pub fn provider_commands(arn: &ProviderArn, changes: &[ProviderChange]) -> String {
    let named = || ("open-id-connect-provider-arn", quoted(&arn.to_string()));
    let line = |change: &ProviderChange| match change {
        ProviderChange::Create(wanted) => {
            let mut options = vec![
                ("url", quoted(wanted.issuer.as_str())),
                ("client-id-list", words(&wanted.client_ids)),
            ];
            if !wanted.ca_thumbprints.is_empty() {
                options.push(("thumbprint-list", words(&wanted.ca_thumbprints)));
            }
            if !wanted.tags.is_empty() {
                options.push(("tags", cli_tags(&wanted.tags)));
            }
            aws("create-open-id-connect-provider", &options)
        }
        ProviderChange::AddClientId(id) => aws(
            "add-client-id-to-open-id-connect-provider",
            &[named(), ("client-id", quoted(id))],
        ),
        ProviderChange::RemoveClientId(id) => aws(
            "remove-client-id-from-open-id-connect-provider",
            &[named(), ("client-id", quoted(id))],
        ),
        ProviderChange::Thumbprints { list, .. } => aws(
            "update-open-id-connect-provider-thumbprint",
            &[named(), ("thumbprint-list", words(list))],
        ),
        ProviderChange::Tag(tags) => aws(
            "tag-open-id-connect-provider",
            &[named(), ("tags", cli_tags(tags))],
        ),
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The changes of a role as aws commands, one a line.
pub fn role_commands(name: &str, changes: &[RoleChange]) -> String {
    let named = || ("role-name", quoted(name));
    let line = |change: &RoleChange| match change {
        RoleChange::Create {
            path,
            trust,
            boundary,
            max_session,
            tags,
            ..
        } => {
            let mut options = vec![
                named(),
                ("path", quoted(path)),
                ("assume-role-policy-document", quoted(trust)),
            ];
            options.extend(
                boundary
                    .iter()
                    .map(|arn| ("permissions-boundary", quoted(arn))),
            );
            options.extend(
                max_session
                    .iter()
                    .map(|s| ("max-session-duration", s.to_string())),
            );
            if !tags.is_empty() {
                options.push(("tags", cli_tags(tags)));
            }
            aws("create-role", &options)
        }
        RoleChange::Trust { trust, .. } => aws(
            "update-assume-role-policy",
            &[named(), ("policy-document", quoted(trust))],
        ),
        RoleChange::Boundary(arn) => aws(
            "put-role-permissions-boundary",
            &[named(), ("permissions-boundary", quoted(arn))],
        ),
        RoleChange::MaxSession(seconds) => aws(
            "update-role",
            &[named(), ("max-session-duration", seconds.to_string())],
        ),
        RoleChange::Attach(arn) => aws(
            "attach-role-policy",
            &[named(), ("policy-arn", quoted(arn))],
        ),
        RoleChange::Inline(text) => aws(
            "put-role-policy",
            &[
                named(),
                ("policy-name", quoted(INLINE_POLICY)),
                ("policy-document", quoted(text)),
            ],
        ),
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A JSON value as an expression of Terraform: its own syntax for objects, with `${` and `%{` escaped.
fn hcl(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{pad}{} = {}\n", text(key), hcl(value, depth + 1))
            };
            let body: Vec<String> = members.iter().map(member).collect();
            format!("{{\n{}{end}}}", body.concat())
        }
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|one| hcl(one, depth)).collect();
            format!("[{}]", list.join(", "))
        }
        Value::String(one) => text(one),
        other => other.to_string(),
    }
}

fn text(value: &str) -> String {
    // The escapes of JSON are those of Terraform; a template begins with ${ or %{.
    Value::from(value)
        .to_string()
        .replace("${", "$${")
        .replace("%{", "%%{")
}

fn block(kind: &str, name: &str, members: &[(&str, String)]) -> String {
    let width = members.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let lines: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("  {key:width$} = {value}\n"))
        .collect();
    format!("resource \"{kind}\" \"{name}\" {{\n{}}}\n", lines.concat())
}

/// The provider as Terraform (AWS provider 5.81 and later, where `thumbprint_list` is optional).
pub fn provider_terraform(wanted: &ProviderWanted) -> String {
    let mut members = vec![
        ("url", text(wanted.issuer.as_str())),
        ("client_id_list", hcl(&json!(wanted.client_ids), 1)),
    ];
    if !wanted.ca_thumbprints.is_empty() {
        members.push(("thumbprint_list", hcl(&json!(wanted.ca_thumbprints), 1)));
    }
    members.push(("tags", hcl(&json!(wanted.tags), 1)));
    block(
        "aws_iam_openid_connect_provider",
        &identifier(&wanted.issuer.iam_name()),
        &members,
    )
}

/// The role as Terraform.
pub fn role_terraform(wanted: &RoleWanted, trust: &TrustPolicy) -> String {
    let id = identifier(&wanted.name);
    let mut members = vec![("name", text(&wanted.name))];
    members.extend(wanted.path.iter().map(|path| ("path", text(path))));
    members.push((
        "assume_role_policy",
        format!("jsonencode({})", hcl(&document(trust), 1)),
    ));
    members.extend(
        wanted
            .boundary
            .iter()
            .map(|arn| ("permissions_boundary", text(arn))),
    );
    members.extend(
        wanted
            .max_session
            .iter()
            .map(|s| ("max_session_duration", s.to_string())),
    );
    members.push(("tags", hcl(&json!(wanted.tags), 1)));
    let mut blocks = vec![block("aws_iam_role", &id, &members)];
    let role = format!("aws_iam_role.{id}.name");
    for arn in &wanted.policy_arns {
        let name = format!(
            "{id}_{}",
            identifier(arn.rsplit('/').next().unwrap_or("policy"))
        );
        let members = [("role", role.clone()), ("policy_arn", text(arn))];
        blocks.push(block("aws_iam_role_policy_attachment", &name, &members));
    }
    if let Some(inline) = &wanted.inline {
        let policy: Value = serde_json::from_str(inline).unwrap_or_default();
        let members = [
            ("name", text(INLINE_POLICY)),
            ("role", role),
            ("policy", format!("jsonencode({})", hcl(&policy, 1))),
        ];
        blocks.push(block("aws_iam_role_policy", &id, &members));
    }
    blocks.join("\n")
}

fn document(trust: &TrustPolicy) -> Value {
    serde_json::from_str(&trust.to_pretty()).unwrap_or_default()
}

fn template(id: &str, kind: &str, properties: Map<String, Value>) -> String {
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {id: {"Type": kind, "Properties": properties}},
    });
    // Values always serialise.
    serde_json::to_string_pretty(&template).unwrap_or_default()
}

fn cfn_tags<'a>(tags: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    let tag = |(key, value)| json!({"Key": key, "Value": value});
    tags.into_iter().map(tag).collect()
}

/// The provider as a `CloudFormation` template.
pub fn provider_cloudformation(wanted: &ProviderWanted) -> String {
    let mut properties = Map::new();
    properties.insert("Url".into(), json!(wanted.issuer.as_str()));
    properties.insert("ClientIdList".into(), json!(wanted.client_ids));
    if !wanted.ca_thumbprints.is_empty() {
        properties.insert("ThumbprintList".into(), json!(wanted.ca_thumbprints));
    }
    properties.insert("Tags".into(), cfn_tags(&wanted.tags));
    template("OidcProvider", "AWS::IAM::OIDCProvider", properties)
}

/// The role as a `CloudFormation` template.
pub fn role_cloudformation(wanted: &RoleWanted, trust: &TrustPolicy) -> String {
    let mut properties = Map::new();
    properties.insert("RoleName".into(), json!(wanted.name));
    properties.insert("AssumeRolePolicyDocument".into(), document(trust));
    properties.insert("ManagedPolicyArns".into(), json!(wanted.policy_arns));
    let optional = [
        ("Path", wanted.path.as_ref().map(|path| json!(path))),
        (
            "PermissionsBoundary",
            wanted.boundary.as_ref().map(|arn| json!(arn)),
        ),
        (
            "MaxSessionDuration",
            wanted.max_session.map(|seconds| json!(seconds)),
        ),
        (
            "Policies",
            wanted.inline.as_ref().map(|inline| {
                let policy: Value = serde_json::from_str(inline).unwrap_or_default();
                json!([{"PolicyName": INLINE_POLICY, "PolicyDocument": policy}])
            }),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            properties.insert(name.to_owned(), value);
        }
    }
    properties.insert("Tags".into(), cfn_tags(&wanted.tags));
    let id = format!("Role{}", logical_id(&wanted.name));
    template(&id, "AWS::IAM::Role", properties)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
