use super::*;
use crate::provider::ProviderArn;

fn wanted(subjects: &[&str]) -> RoleWanted {
    let grant = Grant {
        provider: ProviderArn::parse("arn:aws:iam::1:oidc-provider/h/a").unwrap(),
        audience: "sts.amazonaws.com".into(),
        subjects: subjects
            .iter()
            .map(|text| Subject::parse(text, true).unwrap())
            .collect(),
    };
    RoleWanted {
        name: "r".into(),
        path: None,
        grants: vec![grant],
        policy_arns: vec!["arn:aws:iam::aws:policy/A".into()],
        inline: Some("{\"a\": 1}".into()),
        boundary: None,
        max_session: None,
        tags: BTreeMap::new(),
    }
}

fn state() -> RoleState {
    RoleState {
        arn: "arn:aws:iam::1:role/r".into(),
        path: "/".into(),
        trust: wanted(&["demo/app"]).trust(&TrustPolicy::default()).0,
        policy_arns: vec![
            "arn:aws:iam::aws:policy/A".into(),
            "arn:aws:iam::aws:policy/B".into(),
        ],
        inline: Some("{\"a\":1}".into()),
        boundary: Some("arn:aws:iam::1:policy/bound".into()),
        max_session: Some(3600),
        tags: BTreeMap::new(),
    }
}

#[test]
fn a_role_as_it_shall_be_is_left_alone() {
    assert_eq!(plan(&wanted(&["demo/app"]), Some(&state())).unwrap(), []);
    assert_eq!(plan(&wanted(&[]), Some(&state())).unwrap(), []);
}

#[test]
fn what_is_missing_is_added_limits_first() {
    let more = RoleWanted {
        max_session: Some(7200),
        boundary: Some("arn:aws:iam::1:policy/other".into()),
        inline: Some("{}".into()),
        policy_arns: vec!["arn:aws:iam::aws:policy/C".into()],
        ..wanted(&["demo/app", "demo/b"])
    };
    let shown: Vec<String> = plan(&more, Some(&state()))
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "set permissions boundary arn:aws:iam::1:policy/other",
            "set longest session to 7200 s",
            "update trust policy, other statements kept\n  + trusts system:serviceaccount:demo:b",
            "attach arn:aws:iam::aws:policy/C",
            "put inline policy irsa",
        ]
    );
    let new = plan(&more, None).unwrap();
    assert!(matches!(new[0], RoleChange::Create { .. }) && new.len() == 3);
}

#[test]
fn what_iam_would_refuse_is_refused_first() {
    assert!(matches!(
        plan(&wanted(&[]), None),
        Err(RoleError::NoSubject(_))
    ));
    let elsewhere = RoleWanted {
        path: Some("/x/".into()),
        ..wanted(&["demo/app"])
    };
    assert!(matches!(
        plan(&elsewhere, Some(&state())),
        Err(RoleError::OtherPath { .. })
    ));
    for bad in [
        RoleWanted {
            name: "a b".into(),
            ..wanted(&[])
        },
        RoleWanted {
            path: Some("x".into()),
            ..wanted(&[])
        },
        RoleWanted {
            policy_arns: vec!["ReadOnlyAccess".into()],
            ..wanted(&[])
        },
        RoleWanted {
            max_session: Some(60),
            ..wanted(&[])
        },
    ] {
        assert!(bad.checked().is_err());
    }
}
