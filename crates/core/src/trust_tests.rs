use super::condition::like;
use super::evaluate::{Outcome, Presented, evaluate};
use super::lint::{KnownProvider, Level, lint};
use super::*;

const ARN: &str = "arn:aws:iam::123456789012:oidc-provider/h/a";

fn provider() -> ProviderArn {
    ProviderArn::parse(ARN).unwrap()
}

fn grant(subjects: &[&str]) -> Grant {
    Grant {
        provider: provider(),
        audience: "sts.amazonaws.com".into(),
        subjects: subjects
            .iter()
            .map(|text| Subject::parse(text, true).unwrap())
            .collect(),
    }
}

fn policy(statements: &Value) -> TrustPolicy {
    TrustPolicy::parse(&json!({"Version": "2012-10-17", "Statement": statements}).to_string())
        .unwrap()
}

fn statement(condition: &Value) -> Value {
    json!({"Effect": "Allow", "Principal": {"Federated": ARN}, "Action": ACTION, "Condition": condition})
}

fn presented(subject: &str) -> Presented {
    Presented {
        provider: provider(),
        audience: "sts.amazonaws.com".into(),
        subject: format!("system:serviceaccount:{subject}"),
    }
}

#[test]
fn a_new_policy_has_both_conditions() {
    let (made, added) = TrustPolicy::default().with(&grant(&["demo/app"]));
    assert_eq!(added.len(), 1);
    assert_eq!(
        serde_json::from_str::<Value>(&made.to_json().unwrap()).unwrap()["Statement"],
        json!([statement(
            &json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com", "h/a:sub": "system:serviceaccount:demo:app"}})
        )])
    );
    let (same, none) = made.with(&grant(&["demo/app", "demo/app"]));
    assert_eq!((same, none), (made.clone(), vec![]));
    assert_eq!(lint(&made, None), []);
}

#[test]
fn grants_are_merged_and_others_stay() {
    let ec2 = json!({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole", "NewMember": 1});
    let odd = statement(
        &json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com", "h/a:sub": "system:serviceaccount:x:y", "aws:SourceIp": "10.0.0.0/8"}}),
    );
    let before = policy(&json!([ec2, odd]));
    let (one, _) = before.with(&grant(&["demo/app"]));
    let (two, added) = one.with(&grant(&["demo/app", "demo/other", "demo/w-*"]));
    assert_eq!(added.len(), 2);
    let other = Grant {
        provider: ProviderArn::parse("arn:aws:iam::123456789012:oidc-provider/h/b").unwrap(),
        ..grant(&["demo/app"])
    };
    let (three, _) = two.with(&other);
    let statements = three.statements();
    assert_eq!(
        (statements.len(), statements[0], statements[1]),
        (5, &ec2, &odd)
    );
    assert_eq!(
        statements[2]["Condition"]["StringEquals"]["h/a:sub"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        statements[3]["Condition"]["StringLike"]["h/a:sub"],
        "system:serviceaccount:demo:w-*"
    );
    for subject in ["demo:app", "demo:other", "demo:w-1"] {
        assert!(evaluate(&three, &presented(subject)).allowed, "{subject}");
    }
    assert!(!evaluate(&three, &presented("demo:x")).allowed);
    let single = json!({"Version": "2012-10-17", "Statement": ec2}).to_string();
    let (merged, _) = TrustPolicy::parse(&single)
        .unwrap()
        .with(&grant(&["demo/app"]));
    assert_eq!(merged.statements().len(), 2);
}

#[test]
fn wildcards_must_be_spelt_out() {
    assert!(matches!(
        Subject::parse("demo/*", false),
        Err(TrustError::Wildcard(_))
    ));
    assert_eq!(
        Subject::parse("demo/*", true).unwrap().as_str(),
        "system:serviceaccount:demo:*"
    );
    for bad in [
        "*/*", "*/app", "**/a", "demo", "demo/", "Demo/*", "a:b/*", "demo/*:x",
    ] {
        assert!(Subject::parse(bad, true).is_err(), "{bad}");
    }
    let names: Vec<String> = (0..120)
        .map(|at| format!("demo/application-{at}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (long, _) = TrustPolicy::default().with(&grant(&names));
    assert!(matches!(long.to_json(), Err(TrustError::TooLong(_))));
}

#[test]
fn patterns_fit_as_in_iam() {
    for (pattern, text, fits) in [
        ("", "", true),
        ("*", "", true),
        ("*", "abc", true),
        ("a*c", "abbc", true),
        ("a*c", "ab", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*b*", "abc", true),
        ("a**", "a", true),
        ("abc", "abcd", false),
        ("*a*a*", "xaxax", true),
        ("*ab", "aab", true),
    ] {
        assert_eq!(like(pattern, text), fits, "{pattern} {text}");
    }
}

#[test]
fn the_condition_that_refuses_is_named() {
    let aud_sub = |aud: &str, sub: &str| json!({"StringEquals": {"h/a:aud": aud, "h/a:sub": sub}});
    let app = "system:serviceaccount:demo:app";
    for (condition, text) in [
        (
            aud_sub("other", app),
            "does not apply: StringEquals h/a:aud wants \"other\", the token has \"sts.amazonaws.com\"",
        ),
        (
            aud_sub("sts.amazonaws.com", "x"),
            "does not apply: StringEquals h/a:sub wants \"x\", the token has \"system:serviceaccount:demo:app\"",
        ),
        (
            json!({"StringEquals": {"h/a/:sub": app}}),
            "does not apply: StringEquals h/a/:sub wants \"system:serviceaccount:demo:app\", and tokens of this provider have no such key",
        ),
        (
            json!({"StringEquals": {"h/a:sub": "system:serviceaccount:demo:*"}}),
            "does not apply: StringEquals h/a:sub wants \"system:serviceaccount:demo:*\", the token has \"system:serviceaccount:demo:app\"",
        ),
        (
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            "cannot be judged from here: IpAddress aws:SourceIp is known to AWS only",
        ),
        (
            json!({"StringNotEquals": {"h/a:sub": app}}),
            "does not apply: StringNotEquals h/a:sub wants \"system:serviceaccount:demo:app\", the token has \"system:serviceaccount:demo:app\"",
        ),
        (aud_sub("sts.amazonaws.com", app), "lets the token in"),
        (
            json!({"StringLike": {"h/a:sub": ["x", "system:*:demo:a?p"]}}),
            "lets the token in",
        ),
        (
            json!({"StringEqualsIgnoreCase": {"h/a:sub": "SYSTEM:serviceaccount:demo:app"}}),
            "lets the token in",
        ),
        (
            json!({"ForAnyValue:StringEquals": {"h/a:aud": ["x", "sts.amazonaws.com"]}}),
            "lets the token in",
        ),
        (
            json!({"StringEqualsIfExists": {"h/b:sub": "x"}}),
            "lets the token in",
        ),
        (json!({"Null": {"h/a:sub": "false"}}), "lets the token in"),
        (
            json!({"NumericEquals": {"h/a:sub": "1"}}),
            "cannot be judged from here: NumericEquals h/a:sub is known to AWS only",
        ),
    ] {
        let verdict = evaluate(
            &policy(&json!([statement(&condition)])),
            &presented("demo:app"),
        );
        assert_eq!(verdict.statements[0].to_string(), text);
        assert_eq!(verdict.allowed, text == "lets the token in");
    }
}

#[test]
fn principals_actions_and_denials() {
    let condition = json!({});
    let mut other = statement(&condition);
    other["Principal"]["Federated"] = json!("arn:aws:iam::123456789012:oidc-provider/h/b");
    let mut wrong = statement(&condition);
    wrong["Action"] = json!("sts:AssumeRole");
    let mut any = statement(&condition);
    any["Action"] = json!(["sts:*"]);
    let mut deny = statement(&condition);
    deny["Effect"] = json!("Deny");
    let of = |statements: Value| evaluate(&policy(&statements), &presented("demo:app"));
    assert!(matches!(
        of(json!([other])).statements[0],
        Outcome::OtherPrincipal(_)
    ));
    assert!(matches!(
        of(json!([wrong])).statements[0],
        Outcome::OtherAction(_)
    ));
    assert!(of(json!([any])).allowed);
    let both = of(json!([any, deny]));
    assert!(!both.allowed && both.statements == [Outcome::Allows, Outcome::Denies]);
    assert_eq!(of(json!([1])).statements, [Outcome::Malformed]);
    for text in ["", "[]", "{}", r#"{"Statement":[],"Statement":[]}"#] {
        assert!(TrustPolicy::parse(text).is_err(), "{text}");
    }
}

#[test]
fn every_mistake_has_its_own_name() {
    let good =
        |sub: &str| json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com", "h/a:sub": sub}});
    let app = "system:serviceaccount:demo:app";
    let like = |sub: &str| json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com"}, "StringLike": {"h/a:sub": sub}});
    for (condition, rules) in [
        (good(app), vec![]),
        (json!({"StringEquals": {"h/a:sub": app}}), vec!["no-aud"]),
        (
            json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com"}}),
            vec!["no-sub"],
        ),
        (
            json!({"StringEquals": {"h/a/:aud": "sts.amazonaws.com", "h/a:sub": app}}),
            vec!["trailing-slash", "no-aud"],
        ),
        (
            json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com", "H/a:sub": app}}),
            vec!["key-case"],
        ),
        (
            json!({"StringEquals": {"https://h/a:aud": "sts.amazonaws.com", "h/a:sub": app}}),
            vec!["key-scheme", "no-aud"],
        ),
        (
            json!({"StringEquals": {"h/b:aud": "sts.amazonaws.com", "h/a:sub": app}}),
            vec!["other-provider", "no-aud"],
        ),
        (good("system:serviceaccount:demo:*"), vec!["literal-star"]),
        (good("demo:app"), vec!["not-a-subject"]),
        (like("*"), vec!["any-subject"]),
        (like("system:serviceaccount:*:*"), vec!["any-subject"]),
        (like("system:serviceaccount:demo:*"), vec!["wildcard"]),
        (
            json!({"StringEqualsIfExists": {"h/a:aud": "sts.amazonaws.com"}, "StringEquals": {"h/a:sub": app}}),
            vec!["loose-operator"],
        ),
        (
            json!({"ForAllValues:StringLike": {"h/a:sub": app}, "StringEquals": {"h/a:aud": "sts.amazonaws.com"}}),
            vec!["loose-operator"],
        ),
        (
            json!({"Null": {"h/a:aud": "false"}, "StringEquals": {"h/a:sub": app}}),
            vec!["no-aud"],
        ),
        (
            json!({"Null": {"h/a:sub": "true"}, "StringEquals": {"h/a:aud": "sts.amazonaws.com"}}),
            vec!["null-claim", "no-sub"],
        ),
        (
            json!({"StringLike": {"h/a:aud": "*"}, "StringEquals": {"h/a:sub": app}}),
            vec!["any-audience"],
        ),
    ] {
        let found: Vec<&str> = lint(&policy(&json!([statement(&condition)])), None)
            .iter()
            .map(|one| one.rule)
            .collect();
        assert_eq!(found, rules, "{condition}");
    }
}

#[test]
fn mistakes_outside_the_conditions() {
    let good = json!({"StringEquals": {"h/a:aud": "sts.amazonaws.com", "h/a:sub": "system:serviceaccount:demo:app"}});
    let rules = |statement: &Value, known: Option<&[KnownProvider]>| -> Vec<&'static str> {
        lint(&policy(&json!([statement])), known)
            .iter()
            .map(|one| one.rule)
            .collect()
    };
    let known = |arn: &str, id: &str| {
        [KnownProvider {
            arn: ProviderArn::parse(arn).unwrap(),
            client_ids: vec![id.into()],
        }]
    };
    assert_eq!(
        rules(&statement(&good), Some(&known(ARN, "sts.amazonaws.com"))),
        Vec::<&str>::new()
    );
    assert_eq!(
        rules(&statement(&good), Some(&known(ARN, "other"))),
        ["unknown-audience"]
    );
    assert_eq!(rules(&statement(&good), Some(&[])), ["stale-provider"]);
    let mut action = statement(&good);
    action["Action"] = json!("sts:AssumeRole");
    assert_eq!(rules(&action, None), ["wrong-action"]);
    let mut not_action = statement(&good);
    not_action["NotAction"] = not_action
        .as_object_mut()
        .unwrap()
        .remove("Action")
        .unwrap();
    assert_eq!(rules(&not_action, None), ["not-action"]);
    let mut url = statement(&good);
    url["Principal"]["Federated"] = json!("https://h/a");
    assert_eq!(rules(&url, None), ["principal-url"]);
    let mut any = statement(&good);
    any["Principal"] = json!("*");
    assert_eq!(rules(&any, None), ["any-principal"]);
    let ec2 = json!({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"});
    assert_eq!(rules(&ec2, None), Vec::<&str>::new());
    let finding = &lint(&policy(&json!([any])), None)[0];
    assert_eq!(
        (finding.level, finding.to_string()),
        (
            Level::Error,
            "error: statement 1: everybody may assume the role [any-principal]".into()
        )
    );
}
