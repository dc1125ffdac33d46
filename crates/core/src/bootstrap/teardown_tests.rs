use super::*;
use crate::bucket::distribution::DistributionState;
use crate::trust::{Grant, Subject, TrustPolicy};

fn arn() -> ProviderArn {
    ProviderArn::parse("arn:aws:iam::1:oidc-provider/h/a").unwrap()
}

fn ours() -> BTreeMap<String, String> {
    [(OWNER_TAG.0.to_owned(), OWNER_TAG.1.to_owned())].into()
}

fn trust(providers: &[&ProviderArn]) -> TrustPolicy {
    providers
        .iter()
        .fold(TrustPolicy::default(), |policy, provider| {
            let grant = Grant {
                provider: (*provider).clone(),
                audience: "sts.amazonaws.com".into(),
                subjects: vec![Subject::parse("demo/app", false).unwrap()],
            };
            policy.with(&grant).0
        })
}

fn role() -> (RoleState, RoleAttachments) {
    let state = RoleState {
        arn: "arn:aws:iam::1:role/app".into(),
        path: "/".into(),
        trust: trust(&[&arn()]),
        policy_arns: vec!["arn:aws:iam::aws:policy/A".into()],
        inline: None,
        boundary: None,
        max_session: None,
        tags: ours(),
    };
    (state, RoleAttachments::default())
}

fn document(path: &str) -> StoredDocument {
    StoredDocument {
        path: path.into(),
        tag: "t".into(),
    }
}

fn seen() -> Seen {
    let tags = ours();
    Seen {
        provider: Some(ProviderState {
            url: "h/a".into(),
            tags,
            ..ProviderState::default()
        }),
        roles: [("app".to_owned(), role())].into(),
        documents: vec![
            document("keys.json"),
            document(".well-known/openid-configuration"),
        ],
        foreign_documents: None,
        cdn: CdnState::default(),
        bucket: Some(BucketSeen {
            name: BucketName::parse("oidc").unwrap(),
            state: BucketState {
                tagged: true,
                adoptable: false,
                owner_enforced: true,
                versioned: true,
                block: PublicAccessBlock::OPEN,
                policy: None,
            },
            holds_others: false,
        }),
        distrusted: false,
    }
}

fn unwanted() -> Unwanted {
    Unwanted {
        provider: arn(),
        roles: vec!["app".into(), "gone".into()],
        release_bucket: false,
        bucket_owner: None,
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.removals.iter().map(ToString::to_string).collect()
}

#[test]
fn documents_of_another_issuer_under_the_same_keys_stay_up_and_keep_the_name_taken() {
    let mut seen = seen();
    seen.documents.clear();
    seen.foreign_documents = Some("documents of https://other".into());
    let plan = plan(&unwanted(), &seen).unwrap();
    let lines = lines(&plan);
    assert!(
        lines.iter().all(|line| !line.contains("bucket")),
        "{lines:?}"
    );
    assert!(
        plan.kept.iter().any(|line| line.contains("other objects")),
        "{:?}",
        plan.kept
    );
    let released = Unwanted {
        release_bucket: true,
        ..unwanted()
    };
    assert!(matches!(
        super::plan(&released, &seen),
        Err(TeardownError::BucketInUse(_))
    ));
}

#[test]
fn trust_goes_before_documents_and_the_name_stays_taken() {
    let found = plan(&unwanted(), &seen()).unwrap();
    assert_eq!(
        lines(&found),
        [
            "role app: detach arn:aws:iam::aws:policy/A",
            "role app: delete role",
            "delete OIDC provider arn:aws:iam::1:oidc-provider/h/a",
            "delete keys.json",
            "delete .well-known/openid-configuration",
            "close bucket oidc to everybody (Block Public Access)",
        ]
    );
    assert!(found.kept[0].contains("--release-bucket-name"));
    let release = Unwanted {
        release_bucket: true,
        ..unwanted()
    };
    let found = plan(&release, &seen()).unwrap();
    assert_eq!(
        lines(&found).last().unwrap(),
        "delete bucket oidc with all versions of the documents"
    );
}

#[test]
fn what_is_not_ours_stays_and_is_named() {
    let mut other = seen();
    let (state, _) = other.roles.get_mut("app").unwrap();
    state.tags.clear();
    assert!(plan(&unwanted(), &other).unwrap().kept[0].contains("no tag"));
    let (state, _) = other.roles.get_mut("app").unwrap();
    state.tags = ours();
    state.trust = trust(&[
        &arn(),
        &ProviderArn::parse("arn:aws:iam::1:oidc-provider/h/b").unwrap(),
    ]);
    assert!(plan(&unwanted(), &other).unwrap().kept[0].contains("also trusts others"));
    let bucket = other.bucket.as_mut().unwrap();
    bucket.state.tagged = false;
    assert!(plan(&unwanted(), &other).unwrap().kept[1].contains("bucket oidc: it has no tag"));
    let release = Unwanted {
        release_bucket: true,
        ..unwanted()
    };
    assert!(matches!(
        plan(&release, &other),
        Err(TeardownError::ForeignBucket(_))
    ));
    let bucket = other.bucket.as_mut().unwrap();
    (bucket.state.tagged, bucket.holds_others) = (true, true);
    assert!(matches!(
        plan(&release, &other),
        Err(TeardownError::BucketInUse(_))
    ));
    assert!(plan(&unwanted(), &other).unwrap().kept[1].contains("holds other objects"));
}

#[test]
fn a_foreign_provider_stops_everything() {
    let mut foreign = seen();
    foreign.provider.as_mut().unwrap().tags.clear();
    let error = plan(&unwanted(), &foreign).unwrap_err();
    assert!(
        error.help().unwrap().contains("nothing was removed"),
        "{error}"
    );
}

#[test]
fn a_role_that_iam_would_not_delete_is_refused_whole() {
    for attachments in [
        RoleAttachments {
            inline: vec!["irsa".into(), "theirs".into()],
            instance_profiles: Vec::new(),
        },
        RoleAttachments {
            inline: Vec::new(),
            instance_profiles: vec!["nodes".into()],
        },
    ] {
        let mut used = seen();
        used.roles.get_mut("app").unwrap().1 = attachments;
        let error = plan(&unwanted(), &used).unwrap_err();
        assert!(
            error.to_string().contains("that irsa did not make: "),
            "{error}"
        );
    }
}

#[test]
fn a_distribution_in_use_by_others_stays() {
    let mut shared = seen();
    shared.cdn.distribution = Some(DistributionState {
        id: "E1".into(),
        arn: "a".into(),
        domain: "d".into(),
        tagged: true,
        deployed: true,
        enabled: true,
        https_only: true,
        aliases: Vec::new(),
        certificate: None,
        origins: Vec::new(),
        default_origin: String::new(),
        cache_policy: None,
    });
    let found = plan(&unwanted(), &shared).unwrap();
    assert_eq!(
        lines(&found)
            .iter()
            .filter(|line| line.contains("CloudFront"))
            .count(),
        3
    );
    shared.bucket.as_mut().unwrap().holds_others = true;
    let found = plan(&unwanted(), &shared).unwrap();
    assert!(
        found
            .kept
            .iter()
            .any(|line| line.starts_with("CloudFront distribution E1"))
    );
}

#[test]
fn a_name_is_given_away_only_when_aws_has_forgotten_the_provider() {
    let release = Unwanted {
        release_bucket: true,
        ..unwanted()
    };
    let found = lines(&plan(&release, &seen()).unwrap());
    let at = |text: &str| found.iter().position(|line| line.starts_with(text));
    let waits = at("wait until AWS has forgotten OIDC provider arn:aws:iam::1:oidc-provider/h/a");
    assert!(at("delete OIDC provider") < waits, "{found:?}");
    assert!(waits.is_some() && waits < at("delete bucket"), "{found:?}");
    // A run that was killed before the wait waits, though the provider is gone.
    let mut gone = seen();
    gone.provider = None;
    let found = lines(&plan(&release, &gone).unwrap());
    assert!(found.iter().any(|line| line.starts_with("wait until AWS")));
    gone.distrusted = true;
    let found = lines(&plan(&release, &gone).unwrap());
    assert!(found.iter().all(|line| !line.starts_with("wait until AWS")));
}

#[test]
fn a_bucket_of_another_account_keeps_its_name_and_its_account_is_named() {
    let other = Unwanted {
        bucket_owner: Some("2".into()),
        ..unwanted()
    };
    let found = plan(&other, &seen()).unwrap();
    assert!(
        found
            .kept
            .iter()
            .any(|line| line.starts_with("OIDC providers of account 2")),
        "{:?}",
        found.kept
    );
    let release = Unwanted {
        release_bucket: true,
        ..other
    };
    assert!(matches!(
        plan(&release, &seen()),
        Err(TeardownError::OtherAccount { .. })
    ));
    let same = Unwanted {
        bucket_owner: Some("1".into()),
        ..release
    };
    assert!(plan(&same, &seen()).is_ok());
}
