use super::*;

const R: &str = "arn:aws:iam::111122223333:role/s3-reader";

fn account(pairs: &[(&str, &str)]) -> Identity {
    let annotations = pairs
        .iter()
        .map(|(name, value)| (format!("eks.amazonaws.com/{name}"), *value))
        .collect::<Vec<_>>();
    Identity::from_annotations(
        "eks.amazonaws.com",
        annotations
            .iter()
            .map(|(key, value)| (key.as_str(), *value)),
    )
}

fn mapping(json: &str) -> Mapping {
    let text = format!("{{\"ns/sa\":{json}}}");
    let mappings = crate::mapping::Mappings::parse(&text).unwrap();
    mappings.find("ns", "sa").unwrap().clone()
}

fn role(injection: &Injection) -> &str {
    match &injection.mode {
        Mode::WebIdentity { role } => role,
        Mode::ContainerCredentials { .. } => "agent",
    }
}

#[test]
fn k1_a_service_account_says_everything() {
    let settings = Settings::default();
    let identity = account(&[
        ("role-arn", R),
        ("sts-regional-endpoints", "true"),
        ("token-expiration", "3600"),
    ]);
    let known = Known {
        identity: Some(&identity),
        ..Known::default()
    };
    let injection = decide(&settings, known, None, 0).unwrap();
    assert_eq!(role(&injection), R);
    assert_eq!(injection.audience, "sts.amazonaws.com");
    assert!(injection.regional_sts);
    assert_eq!(injection.expiration, 3_600);
    assert_eq!(injection.expiration_from, From::ServiceAccount);
}

/// K5: the annotation beats the flag both ways; what Go's `ParseBool` refuses is as none.
#[test]
fn k5_regional_endpoints() {
    for (annotation, flag, expected) in [
        (Some("true"), false, true),
        (Some("false"), false, false),
        (Some(""), false, false),
        (None, false, false),
        (Some("true"), true, true),
        (Some("false"), true, false),
        (Some(""), true, true),
        (None, true, true),
    ] {
        let settings = Settings {
            regional_sts: flag,
            ..Settings::default()
        };
        let mut pairs = vec![("role-arn", R)];
        pairs.extend(annotation.map(|value| ("sts-regional-endpoints", value)));
        let identity = account(&pairs);
        let known = Known {
            identity: Some(&identity),
            ..Known::default()
        };
        let injection = decide(&settings, known, None, 0).unwrap();
        assert_eq!(injection.regional_sts, expected, "{annotation:?} {flag}");
    }
}

#[test]
fn k8_k9_the_annotation_beats_the_config_map_and_its_removal_falls_back() {
    let settings = Settings::default();
    let entry = mapping(&format!("{{\"RoleARN\":\"{R}-map\"}}"));
    let annotated = account(&[("role-arn", R), ("token-expiration", "3600")]);
    let bare = account(&[]);
    let decide = |identity, mapping| {
        let known = Known {
            identity: Some(identity),
            mapping,
            ..Known::default()
        };
        decide(&settings, known, None, 0)
    };
    let both = decide(&annotated, Some(&entry)).unwrap();
    assert_eq!((role(&both), both.expiration), (R, 3_600));
    assert_eq!(both.origin, From::ServiceAccount);
    assert_eq!(role(&decide(&annotated, None).unwrap()), R);
    assert_eq!(decide(&bare, None), None);
    let mapped = decide(&bare, Some(&entry)).unwrap();
    assert_eq!(mapped.expiration, 86_400);
    assert_eq!(mapped.origin, From::ConfigMap("ns/sa".into()));
    let no_role = mapping("{\"RoleARN\":\"\"}");
    assert_eq!(decide(&bare, Some(&no_role)), None);
}

/// K11: what the two common values come from in the container credentials mode.
#[test]
fn k11_common_values_in_the_container_credentials_mode() {
    let settings = Settings::default();
    let identity = account(&[
        ("sts-regional-endpoints", "true"),
        ("token-expiration", "10000"),
    ]);
    let entry = mapping("{\"UseRegionalSTS\":true,\"TokenExpiration\":20000}");
    let decide = |identity, exact_mapping| {
        let known = Known {
            associated: true,
            identity,
            mapping: exact_mapping,
            exact_mapping,
        };
        let injection = decide(&settings, known, None, 0).unwrap();
        (injection.regional_sts, injection.expiration)
    };
    assert_eq!(decide(None, None), (false, 79_200));
    assert_eq!(decide(Some(&identity), None), (true, 10_000));
    assert_eq!(decide(None, Some(&entry)), (true, 20_000));
    assert_eq!(decide(Some(&identity), Some(&entry)), (true, 10_000));
    // A service account without annotations is still a known one: the ConfigMap is not asked.
    assert_eq!(decide(Some(&account(&[])), Some(&entry)), (false, 79_200));
}

#[test]
fn k10_names_become_arns_when_an_account_is_given() {
    let account_id = crate::role::Account::new("111122223333", "aws").unwrap();
    let settings = Settings {
        account: Some(account_id),
        ..Settings::default()
    };
    let decide = |value| {
        let identity = account(&[("role-arn", value)]);
        let known = Known {
            identity: Some(&identity),
            ..Known::default()
        };
        decide(&settings, known, None, 0).map(|injection| role(&injection).to_owned())
    };
    assert_eq!(decide("s3-reader").as_deref(), Some(R));
    assert_eq!(decide(R).as_deref(), Some(R));
    // Upstream composes `…:role/` of an empty annotation and injects it. Decision: an empty annotation is no role.
    assert_eq!(decide(""), None);
}

/// D7, D8: the life is spread when it is one day, whether by default or by wish, and never otherwise.
#[test]
fn d7_d8_the_life_of_agent_tokens_is_spread_over_two_hours() {
    let settings = Settings::default();
    let known = Known {
        associated: true,
        ..Known::default()
    };
    let life = |pod, entropy| decide(&settings, known, pod, entropy).unwrap().expiration;
    let mut seen = std::collections::BTreeSet::new();
    for entropy in 0..10_000_u64 {
        seen.insert(life(None, entropy.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    }
    assert!(seen.iter().all(|it| (79_200..=86_400).contains(it)));
    assert_eq!(life(None, 0), 79_200);
    assert_eq!(life(None, 7_200), 86_400);
    assert_eq!(life(None, 7_201), 79_200);
    assert_eq!(
        life(None, u64::MAX),
        79_200 + i64::try_from(u64::MAX % 7_201).unwrap()
    );
    assert_eq!(life(Some(86_399), 5), 86_399);
    assert_eq!(life(Some(86_400), 5), 79_205);
    let annotated = account(&[("token-expiration", "86400")]);
    let known = Known {
        identity: Some(&annotated),
        ..known
    };
    assert_eq!(
        decide(&settings, known, None, 5).unwrap().expiration,
        79_205
    );
    let identity = account(&[("role-arn", R), ("token-expiration", "86400")]);
    let known = Known {
        identity: Some(&identity),
        ..Known::default()
    };
    assert_eq!(
        decide(&settings, known, None, 5).unwrap().expiration,
        86_400,
        "the web identity mode spreads nothing"
    );
}

/// D9. Upstream forgets the flags when it has not seen the service account. Decision: the flags hold.
#[test]
fn d9_flags_hold_for_an_unknown_service_account_in_the_container_credentials_mode() {
    let mut settings = Settings {
        regional_sts: true,
        ..Settings::default()
    };
    settings.set_token_expiration(7_200);
    let known = Known {
        associated: true,
        ..Known::default()
    };
    let injection = decide(&settings, known, None, 0).unwrap();
    assert_eq!(
        (injection.regional_sts, injection.expiration),
        (true, 7_200)
    );
}

#[test]
fn the_pods_wish_beats_all_and_flags_are_raised() {
    let mut settings = Settings::default();
    settings.set_token_expiration(1);
    assert_eq!(settings.token_expiration(), 600);
    let identity = account(&[("role-arn", R), ("token-expiration", "3600")]);
    let known = Known {
        identity: Some(&identity),
        ..Known::default()
    };
    let injection = decide(&settings, known, Some(7_200), 0).unwrap();
    assert_eq!(
        (injection.expiration, injection.expiration_from),
        (7_200, From::Pod)
    );
}

#[test]
fn a_role_that_iam_cannot_know_is_injected_and_said() {
    let settings = Settings::default();
    let identity = account(&[("role-arn", "s3-reader"), ("audience", "")]);
    let known = Known {
        identity: Some(&identity),
        ..Known::default()
    };
    let injection = decide(&settings, known, None, 0).unwrap();
    assert_eq!(role(&injection), "s3-reader");
    let reasons: Vec<_> = injection.notes().iter().map(Note::reason).collect();
    assert_eq!(reasons, ["InvalidRoleARN", "EmptyAudience"]);
}
