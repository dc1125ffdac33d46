//! EKS (REST, JSON) and IAM and STS (query, XML), as far as a registration needs them.

use std::collections::BTreeMap;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{Answer, World};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-central-1";
const SERVICE_LINKED: &str = "AWSServiceRoleForAmazonEKSConnector";

#[derive(Debug, Clone)]
pub(crate) struct FakeCluster {
    pub(crate) status: String,
    pub(crate) connected: bool,
    pub(crate) activation_id: String,
    pub(crate) code: String,
    pub(crate) role_arn: String,
    pub(crate) token: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeRole {
    pub(crate) path: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) trust: String,
    pub(crate) inline: BTreeMap<String, String>,
    pub(crate) attached: Vec<String>,
}

/// What a request is called in policies, and whether it changes anything.
pub(crate) fn name(method: &str, path: &str, body: &[u8]) -> (String, bool) {
    let name = match (method, path.split('/').nth(1).unwrap_or_default()) {
        ("GET", "clusters") => "eks:DescribeCluster".to_owned(),
        ("POST", "cluster-registrations") => "eks:RegisterCluster".to_owned(),
        ("DELETE", "cluster-registrations") => "eks:DeregisterCluster".to_owned(),
        _ => {
            let form = form(body);
            let service = if form["Version"].starts_with("2011") {
                "sts"
            } else {
                "iam"
            };
            format!("{service}:{}", form["Action"])
        }
    };
    let action = name.split(':').nth(1).unwrap();
    let is_write = !["Get", "List", "Describe"]
        .iter()
        .any(|read| action.starts_with(read));
    (name, is_write)
}

/// An error in the protocol of the call's service.
pub(crate) fn refusal(name: &str, status: u16, code: &str, text: &str) -> Answer {
    if name.starts_with("eks:") {
        let body = json!({"message": text, "clusterName": "x"}).to_string();
        return (status, Some(("x-amzn-errortype", code.to_owned())), body);
    }
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    (status, None, body)
}

pub(crate) fn answer(world: &mut World, method: &str, path: &str, body: &[u8]) -> Answer {
    let (name, is_write) = name(method, path, body);
    if name.starts_with("eks:") {
        let input = serde_json::from_slice(body).unwrap_or(Value::Null);
        if is_write {
            world.writes.push((name.clone(), input.clone()));
        }
        return eks(world, &name, path.rsplit('/').next().unwrap(), &input);
    }
    let form = form(body);
    if is_write {
        world.writes.push((name.clone(), json!(form)));
    }
    let answer = query(world, &name, &form);
    let action = &form["Action"];
    match answer {
        Ok(result) => (
            200,
            None,
            format!(
                "<{action}Response><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
            ),
        ),
        Err((status, code)) => refusal(&name, status, code, "of the test server"),
    }
}

fn eks(world: &mut World, name: &str, of: &str, input: &Value) -> Answer {
    match name {
        "eks:DescribeCluster" => match described(world, of) {
            Some(cluster) => (200, None, json!({"cluster": cluster}).to_string()),
            None => refusal(name, 404, "ResourceNotFoundException", "No cluster found"),
        },
        "eks:DeregisterCluster" => match described(world, of) {
            Some(cluster) => {
                world.clusters.remove(of);
                (200, None, json!({"cluster": cluster}).to_string())
            }
            None => refusal(name, 404, "ResourceNotFoundException", "No cluster found"),
        },
        _ => register(world, name, input),
    }
}

fn register(world: &mut World, name: &str, input: &Value) -> Answer {
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    let (cluster, token) = (text("name"), text("clientRequestToken"));
    if let Some(known) = world.clusters.get(&cluster) {
        if world.idempotent && known.token == token {
            let code = known.code.clone();
            let mut answer = described(world, &cluster).unwrap();
            answer["connectorConfig"]["activationCode"] = json!(code);
            return (200, None, json!({"cluster": answer}).to_string());
        }
        return refusal(
            name,
            409,
            "ResourceInUseException",
            "Cluster already exists",
        );
    }
    let role_arn = input["connectorConfig"]["roleArn"]
        .as_str()
        .unwrap()
        .to_owned();
    let role = role_arn.rsplit('/').next().unwrap();
    let known = world.roles.get(role);
    if !known.is_some_and(|role| role.trust.contains("ssm.amazonaws.com")) {
        return refusal(
            name,
            400,
            "InvalidRequestException",
            "Nonexistent role or missing ssm service principal in trust policy",
        );
    }
    if !world.service_linked_role {
        return refusal(
            name,
            400,
            "InvalidParameterException",
            "Role AWSServiceRoleForAmazonEKSConnector is not available",
        );
    }
    world.registered += 1;
    let code = format!("cAnArYcOdE{:010}", world.registered);
    let made = FakeCluster {
        status: "PENDING".into(),
        connected: true,
        activation_id: format!("0f8fad5b-d9cb-469f-a165-{:012}", world.registered),
        code: code.clone(),
        role_arn,
        token,
        tags: serde_json::from_value(input["tags"].clone()).unwrap_or_default(),
        created: Timestamp::now(),
    };
    world.clusters.insert(cluster.clone(), made);
    let mut answer = described(world, &cluster).unwrap();
    answer["connectorConfig"]["activationCode"] = json!(code);
    (200, None, json!({"cluster": answer}).to_string())
}

/// As `DescribeCluster` returns it: without the code. The agents connect once their objects hold the right activation.
fn described(world: &World, name: &str) -> Option<Value> {
    let cluster = world.clusters.get(name)?;
    let code = &world
        .objects
        .get("v1/eks-connector/secrets/eks-connector-activation-config");
    let code = code.and_then(|secret| secret["data"]["code"].as_str());
    let right = base64::prelude::BASE64_STANDARD.encode(&cluster.code);
    let set = world
        .objects
        .get("apps/v1/eks-connector/statefulsets/eks-connector");
    let runs = set.is_some_and(|set| set.to_string().contains(&cluster.activation_id));
    let status = match cluster.status.as_str() {
        "PENDING" if runs && code == Some(&right) => "ACTIVE",
        status => status,
    };
    let mut answer = json!({
        "name": name,
        "arn": format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{name}"),
        "createdAt": cluster.created.as_second(),
        "status": status,
    });
    if !world.hides_tags {
        answer["tags"] = json!(cluster.tags);
    }
    if world.tells_tokens {
        answer["clientRequestToken"] = json!(cluster.token);
    }
    if cluster.connected {
        answer["connectorConfig"] = json!({
            "activationId": cluster.activation_id,
            "activationExpiry": cluster.created.as_second() + 3 * 86_400,
            "provider": "OTHER",
            "roleArn": cluster.role_arn,
        });
    }
    Some(answer)
}

fn query(
    world: &mut World,
    name: &str,
    form: &BTreeMap<String, String>,
) -> Result<String, (u16, &'static str)> {
    let absent = (404, "NoSuchEntity");
    let role = form.get("RoleName").cloned().unwrap_or_default();
    Ok(match name {
        "sts:GetCallerIdentity" => format!(
            "<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/Operator/me</Arn><UserId>A:me</UserId><Account>{ACCOUNT}</Account>"
        ),
        "iam:GetRole" if role == SERVICE_LINKED => {
            if !world.service_linked_role {
                return Err(absent);
            }
            role_xml(
                &role,
                &FakeRole {
                    path: "/aws-service-role/eks-connector.amazonaws.com/".into(),
                    ..FakeRole::default()
                },
            )
        }
        "iam:GetRole" => role_xml(&role, world.roles.get(&role).ok_or(absent)?),
        "iam:CreateServiceLinkedRole" => {
            assert_eq!(form["AWSServiceName"], "eks-connector.amazonaws.com");
            if world.service_linked_role {
                return Err((400, "InvalidInput"));
            }
            world.service_linked_role = true;
            role_xml(SERVICE_LINKED, &FakeRole::default())
        }
        "iam:CreateRole" => {
            if world.roles.contains_key(&role) {
                return Err((409, "EntityAlreadyExists"));
            }
            let mut made = FakeRole {
                path: "/".into(),
                trust: form["AssumeRolePolicyDocument"].clone(),
                ..FakeRole::default()
            };
            for number in 1.. {
                let (Some(key), Some(value)) = (
                    form.get(&format!("Tags.member.{number}.Key")),
                    form.get(&format!("Tags.member.{number}.Value")),
                ) else {
                    break;
                };
                made.tags.insert(key.clone(), value.clone());
            }
            world.roles.insert(role.clone(), made);
            role_xml(&role, &world.roles[&role])
        }
        _ => return policies(world, name, form),
    })
}

fn policies(
    world: &mut World,
    name: &str,
    form: &BTreeMap<String, String>,
) -> Result<String, (u16, &'static str)> {
    let absent = (404, "NoSuchEntity");
    let entry = form["RoleName"].clone();
    let role = world.roles.get_mut(&entry).ok_or(absent)?;
    Ok(match name {
        "iam:PutRolePolicy" => {
            role.inline
                .insert(form["PolicyName"].clone(), form["PolicyDocument"].clone());
            String::new()
        }
        "iam:GetRolePolicy" => {
            let document = role.inline.get(&form["PolicyName"]).ok_or(absent)?;
            let encoded: String =
                url::form_urlencoded::byte_serialize(document.as_bytes()).collect();
            let (role, policy) = (&form["RoleName"], &form["PolicyName"]);
            format!(
                "<RoleName>{role}</RoleName><PolicyName>{policy}</PolicyName><PolicyDocument>{encoded}</PolicyDocument>"
            )
        }
        "iam:ListRolePolicies" => {
            let names: String = role
                .inline
                .keys()
                .map(|name| format!("<member>{name}</member>"))
                .collect();
            format!("<PolicyNames>{names}</PolicyNames><IsTruncated>false</IsTruncated>")
        }
        "iam:ListAttachedRolePolicies" => {
            let all = role.attached.iter();
            let all: String = all
                .map(|arn| {
                    format!(
                        "<member><PolicyName>p</PolicyName><PolicyArn>{arn}</PolicyArn></member>"
                    )
                })
                .collect();
            format!("<AttachedPolicies>{all}</AttachedPolicies><IsTruncated>false</IsTruncated>")
        }
        "iam:DeleteRolePolicy" => {
            role.inline.remove(&form["PolicyName"]).ok_or(absent)?;
            String::new()
        }
        "iam:DetachRolePolicy" => {
            role.attached.retain(|arn| *arn != form["PolicyArn"]);
            String::new()
        }
        "iam:DeleteRole" => {
            if !role.inline.is_empty() || !role.attached.is_empty() {
                return Err((409, "DeleteConflict"));
            }
            world.roles.remove(&entry);
            String::new()
        }
        other => panic!("{other} is not known"),
    })
}

fn role_xml(name: &str, role: &FakeRole) -> String {
    let tags = role.tags.iter();
    let tags: String = tags
        .map(|(key, value)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>"))
        .collect();
    let path = if role.path.is_empty() {
        "/"
    } else {
        &role.path
    };
    format!(
        "<Role><Path>{path}</Path><RoleName>{name}</RoleName><RoleId>AROA</RoleId><Arn>arn:aws:iam::{ACCOUNT}:role{path}{name}</Arn><CreateDate>2026-11-22T00:00:00Z</CreateDate><Tags>{tags}</Tags></Role>"
    )
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}
