//! A double of IAM and STS, written from their documented rules: providers and roles are there or not, a role on which
//! something hangs cannot be deleted, and a provider is made only for an issuer whose documents AWS can fetch.

use std::collections::BTreeMap;

use url::form_urlencoded;

use crate::s3::ACCOUNT;
use crate::web::Answer;

/// A provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    /// With its scheme, as it was given.
    pub url: String,
    /// Audiences.
    pub client_ids: Vec<String>,
    /// CA thumbprints.
    pub ca_thumbprints: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Its trust policy.
    pub trust: String,
    /// Attached policies.
    pub attached: Vec<String>,
    /// Inline policies.
    pub inline: BTreeMap<String, String>,
    /// Instance profiles that it is in.
    pub profiles: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What the double remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iam {
    /// The account of whoever asks.
    pub account: &'static str,
    /// Providers by ARN.
    pub providers: BTreeMap<String, Provider>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
}

impl Default for Iam {
    fn default() -> Self {
        Self {
            account: ACCOUNT,
            providers: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }
}

/// The parameters of a call.
#[derive(Debug)]
pub(crate) struct Call(BTreeMap<String, String>);

impl Call {
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(crate) fn action(&self) -> &str {
        self.text("Action")
    }

    /// Whether it only looks.
    pub(crate) fn reads(&self) -> bool {
        ["Get", "List"]
            .iter()
            .any(|verb| self.action().starts_with(verb))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        (1..)
            .map_while(|at| self.0.get(&format!("{name}.member.{at}")).cloned())
            .collect()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        (1..)
            .map_while(|at| {
                let key = self.0.get(&format!("Tags.member.{at}.Key"))?;
                let value = self.0.get(&format!("Tags.member.{at}.Value"))?;
                Some((key.clone(), value.clone()))
            })
            .collect()
    }
}

impl Iam {
    /// Answers a call. `reachable` says whether AWS can fetch an issuer's documents.
    pub(crate) fn answer(&mut self, call: &Call, reachable: impl Fn(&str) -> bool) -> Answer {
        let action = call.action();
        let answered = if action == "GetCallerIdentity" {
            let account = self.account;
            Ok(format!(
                "<Arn>arn:aws:iam::{account}:user/operator</Arn><UserId>U</UserId><Account>{account}</Account>"
            ))
        } else if action.contains("OpenIDConnectProvider") {
            self.provider_call(call, reachable)
        } else {
            self.role_call(call)
        };
        match answered {
            Ok(body) => Answer::new(
                200,
                format!(
                    "<{action}Response><{action}Result>{body}</{action}Result></{action}Response>"
                ),
            ),
            Err((status, code)) => Answer::new(
                status,
                format!(
                    "<ErrorResponse><Error><Code>{code}</Code><Message>by the double</Message></Error></ErrorResponse>"
                ),
            ),
        }
    }

    fn provider_call(
        &mut self,
        call: &Call,
        reachable: impl Fn(&str) -> bool,
    ) -> Result<String, (u16, &'static str)> {
        let arn = call.text("OpenIDConnectProviderArn").to_owned();
        if call.action() == "ListOpenIDConnectProviders" {
            let arn = |arn: &String| format!("<member><Arn>{arn}</Arn></member>");
            let arns = joined(self.providers.keys(), arn);
            return Ok(format!(
                "<OpenIDConnectProviderList>{arns}</OpenIDConnectProviderList>"
            ));
        }
        if call.action() == "CreateOpenIDConnectProvider" {
            return self.create_provider(call, reachable);
        }
        let Some(found) = self.providers.get_mut(&arn) else {
            return Err((404, "NoSuchEntity"));
        };
        match call.action() {
            "GetOpenIDConnectProvider" => {
                let url = found.url.trim_start_matches("https://");
                let (ids, thumbprints) =
                    (members(&found.client_ids), members(&found.ca_thumbprints));
                Ok(format!(
                    "<Url>{url}</Url><ClientIDList>{ids}</ClientIDList><ThumbprintList>{thumbprints}</ThumbprintList>{}",
                    tags(&found.tags)
                ))
            }
            "AddClientIDToOpenIDConnectProvider" => {
                found.client_ids.push(call.text("ClientID").to_owned());
                Ok(String::new())
            }
            "TagOpenIDConnectProvider" => {
                found.tags.extend(call.tags());
                Ok(String::new())
            }
            "DeleteOpenIDConnectProvider" => {
                self.providers.remove(&arn);
                Ok(String::new())
            }
            _ => Err((400, "InvalidAction")),
        }
    }

    fn create_provider(
        &mut self,
        call: &Call,
        reachable: impl Fn(&str) -> bool,
    ) -> Result<String, (u16, &'static str)> {
        let url = call.text("Url").to_owned();
        if !reachable(&url) {
            return Err((400, "OpenIdIdpCommunicationError"));
        }
        let name = url.trim_start_matches("https://");
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let host = host.split(':').next().unwrap_or_default();
        let name = if path.is_empty() {
            host.to_owned()
        } else {
            format!("{host}/{path}")
        };
        let arn = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{name}");
        if self.providers.contains_key(&arn) {
            return Err((409, "EntityAlreadyExists"));
        }
        let provider = Provider {
            url,
            client_ids: call.list("ClientIDList"),
            ca_thumbprints: call.list("ThumbprintList"),
            tags: call.tags(),
        };
        self.providers.insert(arn.clone(), provider);
        Ok(format!(
            "<OpenIDConnectProviderArn>{arn}</OpenIDConnectProviderArn>"
        ))
    }

    fn role_call(&mut self, call: &Call) -> Result<String, (u16, &'static str)> {
        let name = call.text("RoleName").to_owned();
        if call.action() == "CreateRole" {
            return self.create_role(name, call);
        }
        let Some(role) = self.roles.get_mut(&name) else {
            return Err((404, "NoSuchEntity"));
        };
        if call.reads() {
            return look(&name, role, call);
        }
        if call.action() != "DeleteRole" {
            return change(role, call).map(|()| String::new());
        }
        if !role.attached.is_empty() || !role.inline.is_empty() || !role.profiles.is_empty() {
            return Err((409, "DeleteConflict"));
        }
        self.roles.remove(&name);
        Ok(String::new())
    }

    fn create_role(&mut self, name: String, call: &Call) -> Result<String, (u16, &'static str)> {
        if self.roles.contains_key(&name) {
            return Err((409, "EntityAlreadyExists"));
        }
        let role = Role {
            trust: call.text("AssumeRolePolicyDocument").to_owned(),
            tags: call.tags(),
            ..Role::default()
        };
        let shown = shown(&name, &role);
        self.roles.insert(name, role);
        Ok(shown)
    }
}

/// What a call shows of a role.
fn look(name: &str, role: &Role, call: &Call) -> Result<String, (u16, &'static str)> {
    let (list, all) = match call.action() {
        "GetRole" => return Ok(shown(name, role)),
        "GetRolePolicy" => {
            let policy = call.text("PolicyName");
            let Some(text) = role.inline.get(policy) else {
                return Err((404, "NoSuchEntity"));
            };
            let text = encoded(text);
            return Ok(format!(
                "<RoleName>{name}</RoleName><PolicyName>{policy}</PolicyName><PolicyDocument>{text}</PolicyDocument>"
            ));
        }
        "ListAttachedRolePolicies" => {
            let one = |arn: &String| {
                format!("<member><PolicyArn>{arn}</PolicyArn><PolicyName>p</PolicyName></member>")
            };
            ("AttachedPolicies", joined(&role.attached, one))
        }
        "ListRolePolicies" => {
            let names: Vec<String> = role.inline.keys().cloned().collect();
            ("PolicyNames", members(&names))
        }
        "ListInstanceProfilesForRole" => {
            let one = |name: &String| {
                format!(
                    "<member><InstanceProfileName>{name}</InstanceProfileName><InstanceProfileId>I</InstanceProfileId>\
                     <Path>/</Path><Arn>a</Arn><CreateDate>2020-01-01T00:00:00Z</CreateDate><Roles/></member>"
                )
            };
            ("InstanceProfiles", joined(&role.profiles, one))
        }
        _ => return Err((400, "InvalidAction")),
    };
    Ok(format!(
        "<{list}>{all}</{list}><IsTruncated>false</IsTruncated>"
    ))
}

/// What a call changes of a role that stays.
fn change(role: &mut Role, call: &Call) -> Result<(), (u16, &'static str)> {
    let policy = call.text("PolicyName");
    match call.action() {
        "AttachRolePolicy" => role.attached.push(call.text("PolicyArn").to_owned()),
        "DetachRolePolicy" => role.attached.retain(|arn| arn != call.text("PolicyArn")),
        "PutRolePolicy" => {
            let document = call.text("PolicyDocument").to_owned();
            role.inline.insert(policy.to_owned(), document);
        }
        "DeleteRolePolicy" => {
            role.inline.remove(policy);
        }
        "UpdateAssumeRolePolicy" => call.text("PolicyDocument").clone_into(&mut role.trust),
        _ => return Err((400, "InvalidAction")),
    }
    Ok(())
}

fn shown(name: &str, role: &Role) -> String {
    format!(
        "<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>R</RoleId><Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn>\
         <CreateDate>2020-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument>{}</Role>",
        encoded(&role.trust),
        tags(&role.tags)
    )
}

/// IAM returns policies percent-encoded.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

fn members(list: &[String]) -> String {
    joined(list, |one| format!("<member>{one}</member>"))
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let one = |(key, value): (&String, &String)| {
        format!("<member><Key>{key}</Key><Value>{value}</Value></member>")
    };
    format!("<Tags>{}</Tags>", joined(tags, one))
}

fn joined<T>(list: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    let all: Vec<String> = list.into_iter().map(write).collect();
    all.concat()
}
