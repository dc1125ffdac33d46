use serde_json::{Value, json};

use super::super::{ACTION, TrustPolicy};
use super::*;

const ARN: &str = "arn:aws:iam::123456789012:oidc-provider/h/a";

fn presented() -> Presented {
    Presented {
        provider: ProviderArn::parse(ARN).unwrap(),
        audience: "sts.amazonaws.com".into(),
        subject: "system:serviceaccount:demo:app".into(),
    }
}

fn policy(version: &str, statements: &Value) -> TrustPolicy {
    TrustPolicy::parse(&json!({"Version": version, "Statement": statements}).to_string()).unwrap()
}

fn with(members: &Value) -> Value {
    let mut statement =
        json!({"Effect": "Allow", "Principal": {"Federated": ARN}, "Action": ACTION});
    for (name, value) in members.as_object().unwrap() {
        let statement = statement.as_object_mut().unwrap();
        match value {
            Value::Null => statement.remove(name),
            value => statement.insert(name.clone(), value.clone()),
        };
    }
    statement
}

fn of(statements: &Value) -> Verdict {
    evaluate(&policy("2012-10-17", statements), &presented())
}

/// `true`, `false`, or `None` for what only AWS knows.
fn decided(condition: &Value) -> Option<bool> {
    let verdict = of(&json!([with(&json!({"Condition": condition}))]));
    (!verdict.undecided).then_some(verdict.allowed)
}

#[test]
fn conditions_hold_as_in_iam() {
    let app = "system:serviceaccount:demo:app";
    for (condition, expected) in [
        // keys have no case, values have
        (json!({"StringEquals": {"H/A:SUB": app}}), Some(true)),
        (
            json!({"StringEquals": {"h/a:sub": "System:serviceaccount:demo:app"}}),
            Some(false),
        ),
        (json!({"StringLike": {"h/a:aud": "*"}}), Some(true)),
        (json!({"StringLike": {"h/a:aud": "sts.*.com"}}), Some(true)),
        (json!({"StringNotLike": {"h/a:aud": "sts.*"}}), Some(false)),
        // a list is one of them, of a negated operator none of them
        (
            json!({"StringNotEquals": {"h/a:aud": ["a", "sts.amazonaws.com"]}}),
            Some(false),
        ),
        (
            json!({"StringNotEquals": {"h/a:aud": ["a", "b"]}}),
            Some(true),
        ),
        // Null
        (json!({"Null": {"h/a:aud": "false"}}), Some(true)),
        (json!({"Null": {"h/a:aud": false}}), Some(true)),
        (json!({"Null": {"h/a:aud": "True"}}), Some(false)),
        (json!({"Null": {"h/b:aud": "true"}}), Some(true)),
        (json!({"Null": {"h/a:amr": "false"}}), Some(false)),
        // absent keys
        (json!({"StringEquals": {"h/b:sub": app}}), Some(false)),
        (json!({"StringNotEquals": {"h/b:sub": app}}), Some(true)),
        (
            json!({"StringEqualsIfExists": {"h/b:sub": app}}),
            Some(true),
        ),
        (
            json!({"ForAllValues:StringEquals": {"h/b:aud": "x"}}),
            Some(true),
        ),
        (
            json!({"ForAnyValue:StringEquals": {"h/b:aud": "x"}}),
            Some(false),
        ),
        (
            json!({"ForAnyValue:StringNotEquals": {"h/b:aud": "x"}}),
            Some(false),
        ),
        // quantifiers on a claim that is there
        (
            json!({"ForAllValues:StringEquals": {"h/a:aud": "x"}}),
            Some(false),
        ),
        (
            json!({"ForAllValues:StringLike": {"h/a:aud": ["x", "sts.*"]}}),
            Some(true),
        ),
        (
            json!({"ForAnyValue:StringNotEquals": {"h/a:aud": "x"}}),
            Some(true),
        ),
        (
            json!({"StringEqualsIfExists": {"h/a:sub": "x"}}),
            Some(false),
        ),
        // what IAM makes of a claim that is no ARN is not documented
        (json!({"ArnLike": {"h/a:sub": "*"}}), None),
        (json!({"ArnNotEquals": {"h/a:aud": "x"}}), None),
        // keys may have more colons than one
        (
            json!({"StringEquals": {"aws:RequestTag/team:unit": "x"}}),
            None,
        ),
        (
            json!({"StringEquals": {"h/a:sub:more": "system:serviceaccount:demo:app"}}),
            Some(false),
        ),
        (json!({"StringNotEquals": {"h/a:x:sub": app}}), Some(true)),
        // what only AWS knows
        (json!({"IpAddress": {"AWS:SourceIp": "10.0.0.0/8"}}), None),
        (json!({"StringLike": {"sts:RoleSessionName": "*"}}), None),
        // one that fails decides, whatever comes before it
        (
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "StringEquals": {"h/a:sub": "x"}}),
            Some(false),
        ),
    ] {
        assert_eq!(decided(&condition), expected, "{condition}");
    }
}

#[test]
fn variables_have_values_or_none_or_are_known_to_aws() {
    let app = "system:serviceaccount:demo:app";
    for (condition, expected) in [
        // variables, and characters that would otherwise be wildcards
        (
            json!({"StringEquals": {"h/a:sub": "${h/a:sub}"}}),
            Some(true),
        ),
        (json!({"StringLike": {"h/a:sub": "${*}"}}), Some(false)),
        (
            json!({"StringEquals": {"h/a:aud": "${h/b:aud, 'sts.amazonaws.com'}"}}),
            Some(true),
        ),
        // one without a value is like nothing; the value of one of AWS is not known
        (
            json!({"StringEquals": {"h/a:aud": "${h/b:aud}"}}),
            Some(false),
        ),
        (
            json!({"StringNotEquals": {"h/a:aud": "${h/b:aud}"}}),
            Some(true),
        ),
        (
            json!({"StringEquals": {"h/a:sub": "${aws:PrincipalTag/name}"}}),
            None,
        ),
        (
            json!({"StringNotLike": {"h/a:sub": "*${aws:username, 'x'}"}}),
            None,
        ),
        (
            json!({"StringEquals": {"h/a:sub": ["${aws:username}", app]}}),
            Some(true),
        ),
    ] {
        assert_eq!(decided(&condition), expected, "{condition}");
    }
}

#[test]
fn variables_are_texts_in_the_old_version() {
    let statement = with(&json!({"Condition": {"StringEquals": {"h/a:sub": "${h/a:sub}"}}}));
    let old = policy("2008-10-17", &json!([statement]));
    assert!(!evaluate(&old, &presented()).allowed);
}

#[test]
fn principals_and_actions_may_be_named_by_what_they_are_not() {
    for (members, allowed) in [
        (json!({"Action": null, "NotAction": "sts:AssumeRole"}), true),
        (json!({"Action": null, "NotAction": "STS:*"}), false),
        (json!({"Action": null}), false),
        (json!({"NotAction": "sts:AssumeRole"}), false),
        (json!({"Action": "STS:assumerole*"}), true),
        (
            json!({"Principal": null, "NotPrincipal": {"Federated": ARN}}),
            false,
        ),
        (
            json!({"Principal": null, "NotPrincipal": {"AWS": "123456789012"}}),
            true,
        ),
        (json!({"Principal": {"AWS": "*"}}), true),
        // the same text as another kind of principal is another principal
        (json!({"Principal": {"AWS": ARN}}), false),
        (
            json!({"Principal": {"Service": "ec2.amazonaws.com", "Federated": [ARN]}}),
            true,
        ),
        (json!({"Effect": "allow"}), false),
    ] {
        assert_eq!(of(&json!([with(&members)])).allowed, allowed, "{members}");
    }
}

#[test]
fn what_only_aws_knows_can_turn_a_verdict_round() {
    let unknown = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}});
    let allow = with(&json!({}));
    let deny = with(&json!({"Effect": "Deny"}));
    let allow_if = with(&json!({"Condition": unknown}));
    let deny_if = with(&json!({"Effect": "Deny", "Condition": unknown}));
    for (statements, allowed, undecided) in [
        (json!([allow]), true, false),
        (json!([allow_if]), false, true),
        (json!([allow, allow_if]), true, false),
        (json!([allow, deny_if]), true, true),
        (json!([deny_if]), false, false),
        (json!([deny, allow_if]), false, false),
    ] {
        let verdict = of(&statements);
        assert_eq!(
            (verdict.allowed, verdict.undecided),
            (allowed, undecided),
            "{statements}"
        );
    }
}
