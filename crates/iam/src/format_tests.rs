use std::collections::BTreeMap;

use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::provider;
use irsa_core::role;
use irsa_core::trust::{Grant, Subject};

use super::*;

fn wanted() -> ProviderWanted {
    ProviderWanted {
        issuer: IssuerUrl::parse("https://oidc.example.com/prod", TrailingSlash::Refuse).unwrap(),
        client_ids: vec!["sts.amazonaws.com".into()],
        ca_thumbprints: Vec::new(),
        tags: BTreeMap::from([("team".into(), "it's ${us}".into())]),
        prune: false,
    }
}

fn role_wanted() -> RoleWanted {
    let provider = ProviderArn::of(&wanted().issuer, "aws", "123456789012");
    let grant = Grant {
        provider,
        audience: "sts.amazonaws.com".into(),
        subjects: vec![Subject::parse("demo/app", false).unwrap()],
    };
    RoleWanted {
        name: "demo-app".into(),
        path: Some("/irsa/".into()),
        grants: vec![grant],
        policy_arns: vec!["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess".into()],
        inline: Some(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}"}]}"#.into()),
        boundary: None,
        max_session: Some(7200),
        tags: BTreeMap::new(),
    }
}

#[test]
fn commands_are_quoted_for_a_shell() {
    let arn = ProviderArn::of(&wanted().issuer, "aws", "123456789012");
    let changes = provider::plan(&wanted(), None).unwrap();
    assert_eq!(
        provider_commands(&arn, &changes),
        "aws iam create-open-id-connect-provider --url 'https://oidc.example.com/prod' --client-id-list 'sts.amazonaws.com' \
         --tags 'Key=team,Value=it'\\''s ${us}'"
    );
    let changes = role::plan(&role_wanted(), None).unwrap();
    let lines = role_commands("demo-app", &changes);
    let verbs: Vec<&str> = lines
        .lines()
        .map(|line| line.split(' ').nth(2).unwrap())
        .collect();
    assert_eq!(
        verbs,
        ["create-role", "attach-role-policy", "put-role-policy"]
    );
}

#[test]
fn terraform_escapes_what_would_be_a_template() {
    let text = provider_terraform(&wanted());
    assert_eq!(
        text,
        "resource \"aws_iam_openid_connect_provider\" \"oidc_example_com_prod\" {\n  url            = \"https://oidc.example.com/prod\"\n  \
         client_id_list = [\"sts.amazonaws.com\"]\n  tags           = {\n    \"team\" = \"it's $${us}\"\n  }\n}\n"
    );
    let wanted = role_wanted();
    let (trust, _) = wanted.trust(&TrustPolicy::default());
    let text = role_terraform(&wanted, &trust);
    assert!(
        text.contains("resource \"aws_iam_role\" \"demo_app\"") && text.contains("jsonencode({"),
        "{text}"
    );
    assert!(
        text.contains("$${aws:username}") && text.contains("\"oidc.example.com/prod:sub\" = "),
        "{text}"
    );
    assert_eq!(
        text.matches('{').count(),
        text.matches('}').count(),
        "{text}"
    );
}

#[test]
fn cloudformation_is_a_template() {
    let wanted = role_wanted();
    let (trust, _) = wanted.trust(&TrustPolicy::default());
    let template: Value = serde_json::from_str(&role_cloudformation(&wanted, &trust)).unwrap();
    let role = &template["Resources"]["Roledemoapp"];
    assert_eq!(role["Type"], "AWS::IAM::Role");
    assert_eq!(role["Properties"]["MaxSessionDuration"], 7200);
    let statement = &role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(statement["Action"], "sts:AssumeRoleWithWebIdentity");
    let template: Value = serde_json::from_str(&provider_cloudformation(&self::wanted())).unwrap();
    assert_eq!(
        template["Resources"]["OidcProvider"]["Properties"]["Url"],
        "https://oidc.example.com/prod"
    );
}
