//! What is rendered, byte for byte as people read it: `tests/golden/connector`. `IRSA_UPDATE_GOLDENS=1` writes it anew.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

use std::fs;
use std::path::Path;

use irsa_connector::activation::ActivationCode;
use irsa_connector::export;
use irsa_connector::grant::Grants;
use irsa_connector::image::Images;
use irsa_connector::manifest::agent::{self, AgentSettings};
use irsa_connector::manifest::console;
use irsa_connector::policy::{Scope, Work, agent_policy, operator_policy, trust_policy};
use serde_json::Value;

fn demand(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/connector");
    let path = folder.join(name);
    if std::env::var_os("IRSA_UPDATE_GOLDENS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{name} differs; is now:\n{text}\nIRSA_UPDATE_GOLDENS=1 takes it over"
    );
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn the_agents() {
    let settings = AgentSettings {
        cluster_arn: "arn:aws:eks:eu-central-1:111122223333:cluster/prod",
        region: "eu-central-1",
        activation_id: "0f8fad5b-d9cb-469f-a165-70867728950e",
        images: &Images::default(),
    };
    let code = ActivationCode::new("example-code-of-an-activation".to_owned().into());
    let all = agent::manifests(&settings, Some(&code));
    demand("agents.yaml", &export::yaml(&all).unwrap());
}

#[test]
fn the_console_s_rules() {
    let grants = Grants::parse([
        "arn:aws:iam::111122223333:role/Admin=full",
        "arn:aws:iam::111122223333:role/Dev=ns:team-a,team-b",
        "arn:aws:iam::111122223333:user/own=impersonate",
    ]);
    let all = console::manifests(&grants.unwrap()).unwrap();
    demand("console.yaml", &export::yaml(&all).unwrap());
}

#[test]
fn the_policies() {
    let scope = Scope {
        partition: "aws",
        region: "eu-central-1",
        account: "111122223333",
        cluster: "prod",
        role_arn: None,
    };
    let all = [Work::Register, Work::Deregister, Work::Observe, Work::View];
    demand(
        "operator-policy.json",
        &pretty(&operator_policy(&all, &scope)),
    );
    demand("agent-policy.json", &pretty(&agent_policy("aws")));
    demand("agent-trust-policy.json", &pretty(&trust_policy()));
}
