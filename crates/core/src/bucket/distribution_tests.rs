use super::*;

fn wanted() -> DistributionWanted {
    DistributionWanted {
        bucket: BucketName::parse("oidc").unwrap(),
        region: "eu-west-1".into(),
        aliases: Vec::new(),
        certificate: None,
    }
}

fn origin(id: &str, domain: &str) -> OriginState {
    OriginState {
        id: id.into(),
        domain: domain.into(),
        path: String::new(),
        access_control: Some("O1".into()),
    }
}

fn good() -> DistributionState {
    DistributionState {
        id: "E1".into(),
        arn: "arn:aws:cloudfront::1:distribution/E1".into(),
        domain: "d1.cloudfront.net".into(),
        tagged: true,
        deployed: true,
        enabled: true,
        https_only: true,
        aliases: Vec::new(),
        certificate: None,
        origins: vec![origin("bucket", "oidc.s3.eu-west-1.amazonaws.com")],
        default_origin: "bucket".into(),
        cache_policy: Some(CACHING_DISABLED.into()),
    }
}

fn state(distribution: Option<DistributionState>) -> CdnState {
    CdnState {
        access_control: Some("O1".into()),
        distribution,
    }
}

fn lines(changes: &[DistributionChange]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn from_nothing_one_step_after_the_other() {
    let none = CdnState::default();
    assert_eq!(
        lines(&plan(&wanted(), &none).unwrap()),
        ["create origin access control irsa-oidc"]
    );
    assert_eq!(
        lines(&plan(&wanted(), &state(None)).unwrap()),
        ["create CloudFront distribution of oidc.s3.eu-west-1.amazonaws.com"]
    );
    let fresh = DistributionState {
        deployed: false,
        ..good()
    };
    assert_eq!(
        lines(&plan(&wanted(), &state(Some(fresh))).unwrap()),
        ["wait until CloudFront distribution E1 is deployed"]
    );
    assert_eq!(plan(&wanted(), &state(Some(good()))).unwrap(), []);
}

#[test]
fn what_differs_is_mended_and_what_is_not_ours_is_left() {
    let mut changed = DistributionState {
        enabled: false,
        https_only: false,
        cache_policy: None,
        ..good()
    };
    changed.origins[0].access_control = None;
    let found = lines(&plan(&wanted(), &state(Some(changed))).unwrap());
    assert_eq!(found[0].matches("\n  ~ ").count(), 4, "{found:?}");
    let foreign = DistributionState {
        tagged: false,
        ..good()
    };
    let error = plan(&wanted(), &state(Some(foreign.clone()))).unwrap_err();
    assert!(error.to_string().contains("did not make it"), "{error}");
    assert_eq!(plan_removal(&state(Some(foreign))), []);
}

#[test]
fn it_is_deleted_when_it_is_disabled_everywhere() {
    assert_eq!(
        lines(&plan_removal(&state(Some(good())))),
        [
            "disable CloudFront distribution E1",
            "wait until CloudFront distribution E1 is deployed",
            "delete CloudFront distribution E1",
            "delete origin access control O1",
        ]
    );
    let off = DistributionState {
        enabled: false,
        ..good()
    };
    assert_eq!(lines(&plan_removal(&state(Some(off)))).len(), 2);
    assert_eq!(plan_removal(&CdnState::default()), []);
}

#[test]
fn what_cloudfront_would_refuse_is_refused_before() {
    let own = DistributionWanted {
        aliases: vec!["oidc.example.com".into()],
        ..wanted()
    };
    assert!(matches!(
        own.clone().checked(),
        Err(DistributionError::NoCertificate(_))
    ));
    let wrong = DistributionWanted {
        certificate: Some("arn:aws:acm:eu-west-1:1:certificate/x".into()),
        ..own
    };
    assert!(matches!(
        wrong.checked(),
        Err(DistributionError::Certificate(_))
    ));
    let china = DistributionWanted {
        region: "cn-north-1".into(),
        ..wanted()
    };
    assert!(matches!(
        china.checked(),
        Err(DistributionError::Partition(_))
    ));
    assert!(wanted().checked().is_ok());
}

fn at(host: &str, certificate: &str) -> DistributionWanted {
    DistributionWanted {
        aliases: vec![host.into()],
        certificate: Some(format!("arn:aws:acm:us-east-1:1:certificate/{certificate}")),
        ..wanted()
    }
}

/// A distribution that the issuer at a.example.com uses.
fn of_a() -> DistributionState {
    DistributionState {
        aliases: vec!["a.example.com".into()],
        certificate: at("a.example.com", "one").certificate,
        ..good()
    }
}

#[test]
fn a_second_issuer_takes_nothing_from_the_first() {
    let with = |certificate| plan(&at("b.example.com", certificate), &state(Some(of_a())));
    assert_eq!(
        lines(&with("one").unwrap()),
        ["update CloudFront distribution E1\n  + answers for b.example.com"]
    );
    let refused = with("two").unwrap_err();
    assert!(
        matches!(&refused, DistributionError::OtherCertificate { others, .. } if others == &["a.example.com"]),
        "{refused}"
    );
    assert!(refused.help().unwrap().contains("bucket of its own"));
    // One without a host name of its own asks for nothing.
    assert_eq!(plan(&wanted(), &state(Some(of_a()))).unwrap(), []);
}

#[test]
fn what_goes_is_in_the_plan() {
    let mut found = of_a();
    found.origins[0].access_control = Some("O0".into());
    found.origins[0].path = "/old".into();
    found.origins.push(origin("other", "elsewhere.example.com"));
    let changes = plan(&at("A.example.com", "two"), &state(Some(found))).unwrap();
    assert_eq!(
        lines(&changes),
        [
            "update CloudFront distribution E1\n  - path /old before every object\n  ~ it does not read the bucket with our \
             origin access control\n  - origin access control O0\n  - certificate arn:aws:acm:us-east-1:1:certificate/one\n  \
             + certificate arn:aws:acm:us-east-1:1:certificate/two"
        ]
    );
}

#[test]
fn a_default_origin_of_somebody_else_is_not_taken_away() {
    for default in ["other", "group"] {
        let mut found = good();
        found.origins.push(origin("other", "elsewhere.example.com"));
        found.default_origin = default.into();
        let refused = plan(&wanted(), &state(Some(found))).unwrap_err();
        assert!(
            matches!(refused, DistributionError::OtherOrigin { .. }),
            "{refused}"
        );
    }
}
