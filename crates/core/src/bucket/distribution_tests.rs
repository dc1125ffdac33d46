use super::*;

fn wanted() -> DistributionWanted {
    DistributionWanted {
        bucket: BucketName::parse("oidc").unwrap(),
        region: "eu-west-1".into(),
        alias: None,
        certificate: None,
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
        access_control: Some("O1".into()),
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
    let changed = DistributionState {
        enabled: false,
        https_only: false,
        access_control: None,
        cache_policy: None,
        ..good()
    };
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
        alias: Some("oidc.example.com".into()),
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
