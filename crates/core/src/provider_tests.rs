use super::*;
use crate::issuer::TrailingSlash;

fn issuer(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text, TrailingSlash::Allow).unwrap()
}

fn wanted(ids: &[&str], thumbprints: &[&str], prune: bool) -> ProviderWanted {
    ProviderWanted {
        issuer: issuer("https://h/a"),
        client_ids: ids.iter().map(ToString::to_string).collect(),
        ca_thumbprints: thumbprints.iter().map(ToString::to_string).collect(),
        tags: BTreeMap::from([("irsa:managed".into(), "true".into())]),
        prune,
    }
}

fn state(ids: &[&str], thumbprints: &[&str]) -> ProviderState {
    let ProviderWanted {
        client_ids,
        ca_thumbprints,
        tags,
        ..
    } = wanted(ids, thumbprints, false);
    ProviderState {
        url: "h/a".into(),
        client_ids,
        ca_thumbprints,
        tags,
    }
}

fn shown(wanted: &ProviderWanted, state: &ProviderState) -> Vec<String> {
    plan(wanted, Some(state))
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_arn_is_host_and_path_without_port() {
    for (url, arn) in [
        ("https://h/a", "arn:aws:iam::1:oidc-provider/h/a"),
        ("https://h:8443/a", "arn:aws:iam::1:oidc-provider/h/a"),
        ("https://h/a/", "arn:aws:iam::1:oidc-provider/h/a/"),
        ("https://h", "arn:aws:iam::1:oidc-provider/h"),
    ] {
        let made = ProviderArn::of(&issuer(url), "aws", "1");
        assert_eq!(made.to_string(), arn);
        assert_eq!(ProviderArn::parse(arn), Ok(made));
    }
    for bad in [
        "",
        "arn:aws:iam::1:role/r",
        "arn:aws:iam::1:oidc-provider/",
        "arn:aws:iam:eu-west-1:1:oidc-provider/h",
        "h/a",
    ] {
        assert!(ProviderArn::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn additions_come_before_removals_and_nothing_goes_unasked() {
    let (a, b) = ("a".repeat(40), "b".repeat(40));
    let there = state(&["old"], &[&a]);
    assert_eq!(
        shown(&wanted(&["old"], &[], false), &there),
        Vec::<String>::new()
    );
    assert_eq!(
        shown(&wanted(&["new"], &[], false), &there),
        ["add client ID new"]
    );
    assert_eq!(
        shown(&wanted(&["new"], &[&b], true), &there),
        [
            "add client ID new".to_owned(),
            format!("update thumbprints\n  + {b}\n  - {a}"),
            "remove client ID old".to_owned()
        ]
    );
    let kept = plan(&wanted(&["old"], &[&b], false), Some(&there)).unwrap();
    assert_eq!(
        kept,
        [ProviderChange::Thumbprints {
            list: vec![a, b.clone()],
            added: vec![b],
            removed: vec![]
        }]
    );
    let untagged = ProviderState {
        tags: BTreeMap::new(),
        ..there
    };
    // Somebody else's stays theirs: with our tag it could be deleted as ours.
    assert_eq!(
        shown(&wanted(&["old"], &[], false), &untagged),
        Vec::<String>::new()
    );
}

#[test]
fn a_missing_one_is_made_in_one_call() {
    let wanted = wanted(&["sts.amazonaws.com"], &[], false);
    assert_eq!(
        plan(&wanted, None).unwrap(),
        [ProviderChange::Create(wanted)]
    );
}

#[test]
fn what_iam_would_refuse_is_refused_first() {
    assert!(wanted(&["x"], &["zz"], false).checked().is_err());
    assert!(wanted(&[""], &[], false).checked().is_err());
    assert!(
        wanted(&["x"], &["a".repeat(40).as_str(); 6], false)
            .checked()
            .is_err()
    );
    let upper = wanted(&["x"], &[&"A".repeat(40)], false).checked().unwrap();
    assert_eq!(upper.ca_thumbprints, ["a".repeat(40)]);
    let http = ProviderWanted {
        issuer: issuer("http://localhost/a"),
        ..wanted(&["x"], &[], false)
    };
    assert!(matches!(http.checked(), Err(ProviderError::NotHttps(_))));
    let other = ProviderState {
        url: "H/a".into(),
        ..state(&[], &[])
    };
    assert!(matches!(
        plan(&wanted(&[], &[], false), Some(&other)),
        Err(ProviderError::OtherUrl { .. })
    ));
}
