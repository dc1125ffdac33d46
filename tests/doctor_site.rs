use std::sync::{Arc, Mutex};

use irsa_testkit::s3::ACCOUNT;
use irsa_testkit::web::{Answer, Request, Web};
use serde_json::{Value, json};

use crate::tls::{Chain, free_port};
use crate::util::{Home, Irsa, Server};

pub(crate) const SUBJECT: &str = "system:serviceaccount:demo:app";

/// What the double of IAM and STS has.
#[derive(Clone)]
pub(crate) struct Iam {
    pub(crate) provider: Option<(String, String, String)>,
    pub(crate) trust: Option<String>,
    pub(crate) refusal: Option<(&'static str, &'static str)>,
}

/// An issuer over TLS, a token, and a double of IAM and STS that says what the test tells it to.
pub(crate) struct Site {
    pub(crate) home: Home,
    pub(crate) issuer: String,
    pub(crate) iam: Arc<Mutex<Iam>>,
    web: Web,
    _serve: Server,
}

impl Site {
    pub(crate) fn new() -> Self {
        let home = Home::new();
        let chain = Chain::new();
        home.write("ca.pem", &chain.ca);
        let port = free_port();
        let issuer = format!("https://localhost:{port}/prod");
        let listen = format!("127.0.0.1:{port}");
        let serve = chain.serve(&home, &chain.whole(), &issuer, &listen);
        serve.address();
        let ca = home
            .irsa(&["thumbprint", "--pem", "ca.pem"])
            .ok()
            .stdout
            .trim()
            .to_owned();
        let iam = Arc::new(Mutex::new(Iam {
            provider: Some((issuer.clone(), "sts.amazonaws.com".into(), ca)),
            trust: None,
            refusal: None,
        }));
        let shared = Arc::clone(&iam);
        let site = Self {
            home,
            web: Web::start(move |request| answer(&request, &shared.lock().unwrap().clone())),
            issuer,
            iam,
            _serve: serve,
        };
        site.trust(SUBJECT);
        let token = site.mint(&site.issuer, "sts.amazonaws.com");
        site.home.write("token", token);
        site
    }

    pub(crate) fn name(&self) -> &str {
        self.issuer.strip_prefix("https://").unwrap()
    }

    pub(crate) fn trust(&self, subject: &str) {
        let name = self.name();
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": arn(name)},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {format!("{name}:aud"): "sts.amazonaws.com", format!("{name}:sub"): subject}},
        }]});
        self.iam.lock().unwrap().trust = Some(policy.to_string());
    }

    pub(crate) fn mint(&self, issuer: &str, audience: &str) -> String {
        let args = ["token", "mint", "--key", "sa.key", "--subject", "demo/app"];
        let more = ["--issuer", issuer, "--audience", audience];
        let slash = ["--allow-trailing-slash"];
        let args = [&args[..], &more, &slash].concat();
        self.home.irsa(&args).ok().stdout
    }

    pub(crate) fn irsa(&self, more: &[&str]) -> Irsa<'_> {
        let args = ["doctor", "--issuer", &self.issuer, "--token-file", "token"];
        let role = ["--role-arn", "arn:aws:iam::123456789012:role/app"];
        self.with_aws(&[&args[..], &role, more].concat())
    }

    pub(crate) fn with_aws(&self, args: &[&str]) -> Irsa<'_> {
        self.home
            .irsa(args)
            .env("AWS_ENDPOINT_URL", &self.web.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("IRSA_CA_FILE", "ca.pem")
            .env("IRSA_LOG", "warn")
    }

    pub(crate) fn report(&self, code: i32, more: &[&str]) -> Value {
        let ran = self.irsa(&[more, &["-o", "json"]].concat()).code(code);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{name}")
}

/// IAM's and STS's query protocol, as far as doctor speaks it.
fn answer(request: &Request, iam: &Iam) -> Answer {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let action = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .unwrap_or_default();
    match result(action, &body, iam) {
        Ok(inner) => Answer::new(
            200,
            format!(
                "<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"
            ),
        ),
        Err((status, code, message)) => Answer::new(
            status,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            ),
        ),
    }
}

const MISSING: (u16, &str, &str) = (404, "NoSuchEntity", "there is none");

/// What is inside of the answer, or status, code and message of a refusal.
fn result(
    action: &str,
    body: &str,
    iam: &Iam,
) -> Result<String, (u16, &'static str, &'static str)> {
    match action {
        "GetCallerIdentity" => Ok(format!(
            "<Arn>arn:aws:iam::{ACCOUNT}:user/u</Arn><UserId>u</UserId><Account>{ACCOUNT}</Account>"
        )),
        "ListOpenIDConnectProviders" => {
            let member = iam.provider.as_ref().map(|(url, _, _)| {
                let name = url.strip_prefix("https://").unwrap_or(url);
                format!("<member><Arn>{}</Arn></member>", arn(name))
            });
            let list = member.unwrap_or_default();
            Ok(format!(
                "<OpenIDConnectProviderList>{list}</OpenIDConnectProviderList>"
            ))
        }
        "GetOpenIDConnectProvider" => {
            let asked_for = |url: &str| {
                let arn = arn(url.strip_prefix("https://").unwrap());
                body.contains(&arn.replace(':', "%3A").replace('/', "%2F"))
            };
            let found = iam.provider.as_ref().filter(|(url, _, _)| asked_for(url));
            let (url, client, thumbprint) = found.ok_or(MISSING)?;
            Ok(format!(
                "<Url>{url}</Url><ClientIDList><member>{client}</member></ClientIDList>\
                 <ThumbprintList><member>{thumbprint}</member></ThumbprintList>"
            ))
        }
        "GetRole" => {
            let trust = iam.trust.as_ref().ok_or(MISSING)?;
            let trust = trust.replace('&', "&amp;").replace('<', "&lt;");
            Ok(format!(
                "<Role><Path>/</Path><RoleName>app</RoleName><RoleId>AROA</RoleId>\
                 <Arn>arn:aws:iam::{ACCOUNT}:role/app</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
                 <AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument></Role>"
            ))
        }
        "AssumeRoleWithWebIdentity" => match iam.refusal {
            Some((code, message)) => Err((400, code, message)),
            None => Ok(
                "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/app/x</Arn><AssumedRoleId>A</AssumedRoleId></AssumedRoleUser>\
                 <Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>very-secret</SecretAccessKey>\
                 <SessionToken>session-secret</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>"
                    .into(),
            ),
        },
        _ => Err((400, "InvalidAction", "by the double")),
    }
}

pub(crate) fn named(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let bad =
        checks.filter(|check| matches!(check["verdict"].as_str(), Some("warning" | "failure")));
    bad.map(|check| check["id"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report:#}"))
}
