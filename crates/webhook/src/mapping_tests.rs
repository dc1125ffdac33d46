use super::*;

const R: &str = "arn:aws:iam::111122223333:role/s3-reader";

fn one(key: &str, fields: &str) -> String {
    format!(r#"{{"{key}":{{"RoleARN":"{R}"{fields}}}}}"#)
}

#[test]
fn k6_k7_entries_are_found_exactly_and_by_namespace_star() {
    let mappings = Mappings::parse(&one("ns/sa", "")).unwrap();
    assert_eq!(mappings.find("ns", "sa").unwrap().role, R);
    assert!(mappings.find("ns", "other").is_none());
    assert!(mappings.find("other", "sa").is_none());

    let mappings = Mappings::parse(&one("*/sa", "")).unwrap();
    assert_eq!(mappings.find("anything", "sa").unwrap().role, R);
    assert!(mappings.exact("anything", "sa").is_none());
    assert_eq!(Mappings::parse("{}").unwrap().len(), 0);
}

#[test]
fn the_exact_entry_wins_and_then_the_most_specific_pattern() {
    let text = r#"{
        "*/*": {"RoleARN": "every"},
        "*/sa": {"RoleARN": "any namespace"},
        "test-*/sa": {"RoleARN": "test namespaces"},
        "test-1/sa": {"RoleARN": "exact"},
        "test-*/*-job": {"RoleARN": "jobs"}
    }"#;
    let mappings = Mappings::parse(text).unwrap();
    let find = |namespace, name| mappings.find(namespace, name).unwrap().role.as_str();
    assert_eq!(find("test-1", "sa"), "exact");
    assert_eq!(find("test-2", "sa"), "test namespaces");
    assert_eq!(find("test-2", "night-job"), "jobs");
    assert_eq!(find("prod", "sa"), "any namespace");
    assert_eq!(find("prod", "other"), "every");
}

/// D12. Upstream's README and kOps both write `test-*/sa`, and upstream never matches it. Decision: it matches.
#[test]
fn d12_stars_stand_for_any_characters() {
    let mappings = Mappings::parse(&one("test-*/sa", "")).unwrap();
    assert!(mappings.find("test-a", "sa").is_some());
    assert!(mappings.find("test-", "sa").is_some());
    assert!(mappings.find("prod", "sa").is_none());
    for (pattern, text, expected) in [
        ("", "", true),
        ("*", "", true),
        ("a*b*c", "abc", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("*a", "aab", false),
        ("**", "x", true),
        ("a", "", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern} {text}"
        );
    }
}

/// D10. Upstream takes 300 and the API server then refuses the pod. Decision: raised to 600, 0 means the default.
#[test]
fn d10_expirations_are_within_what_the_api_server_accepts() {
    for (written, expected) in [
        ("300", Some(600)),
        ("0", None),
        ("-1", Some(600)),
        ("20000", Some(20_000)),
        ("99999999999", Some(1 << 32)),
    ] {
        let text = one("ns/sa", &format!(r#","TokenExpiration":{written}"#));
        let mappings = Mappings::parse(&text).unwrap();
        assert_eq!(
            mappings.find("ns", "sa").unwrap().token_expiration,
            expected,
            "{written}"
        );
    }
}

/// D11. Upstream injects an empty audience, which STS refuses. Decision: the webhook's default, also for `""`.
#[test]
fn d11_no_audience_is_the_default_audience() {
    for fields in ["", r#","Audience":"""#, r#","audience":null"#] {
        let mappings = Mappings::parse(&one("ns/sa", fields)).unwrap();
        assert_eq!(
            mappings.find("ns", "sa").unwrap().audience,
            None,
            "{fields}"
        );
    }
    let mappings = Mappings::parse(&one("ns/sa", r#","AUDIENCE":"a","Other":1"#)).unwrap();
    let entry = mappings.find("ns", "sa").unwrap();
    assert_eq!(entry.audience.as_deref(), Some("a"));
}

/// D14. Upstream panics. Decision: passed over, and said.
#[test]
fn d14_keys_without_slash_and_null_entries_are_passed_over() {
    let text = format!(
        r#"{{"nothing":null,"noslash":{{"RoleARN":"x"}},"/sa":{{}},"ns/":{{}},"ns/sa":{{"RoleARN":"{R}"}}}}"#
    );
    let mappings = Mappings::parse(&text).unwrap();
    assert_eq!(mappings.len(), 1);
    assert_eq!(mappings.problems.len(), 4, "{:?}", mappings.problems);
}

#[test]
fn what_go_refuses_is_refused() {
    for bad in [
        "bad json",
        "[]",
        "",
        r#"{"ns/sa":1}"#,
        r#"{"ns/sa":{"RoleARN":1}}"#,
        r#"{"ns/sa":{"UseRegionalSTS":"true"}}"#,
        r#"{"ns/sa":{"TokenExpiration":1.5}}"#,
    ] {
        assert!(Mappings::parse(bad).is_err(), "{bad}");
    }
}
