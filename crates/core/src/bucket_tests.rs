use serde_json::{Value, json};

use super::*;

fn wanted(access: Access) -> BucketWanted {
    BucketWanted {
        bucket: BucketName::parse("abc").unwrap(),
        region: "eu-west-1".into(),
        access,
        documents: vec![
            "arn:aws:s3:::abc/keys.json".into(),
            "arn:aws:s3:::abc/.well-known/openid-configuration".into(),
        ],
        create: true,
        adopt: false,
    }
}

fn state() -> BucketState {
    BucketState {
        tagged: true,
        adoptable: false,
        owner_enforced: true,
        versioned: true,
        block: PublicAccessBlock::CLOSED,
        policy: None,
    }
}

fn policy(changes: &[BucketChange]) -> Value {
    let text = changes.iter().find_map(|change| match change {
        BucketChange::Policy { json, .. } => Some(json.as_str()),
        _ => None,
    });
    serde_json::from_str(text.unwrap()).unwrap()
}

/// The state after the changes, as S3 would make it.
fn after(changes: &[BucketChange], state: &BucketState) -> BucketState {
    let mut state = state.clone();
    for change in changes {
        match change {
            BucketChange::Create { .. } | BucketChange::Tag => state.tagged = true,
            BucketChange::EnforceOwner => state.owner_enforced = true,
            BucketChange::Version => state.versioned = true,
            BucketChange::Block(block) => state.block = *block,
            BucketChange::Policy { json, .. } => state.policy = Some(json.clone()),
        }
    }
    state
}

#[test]
fn a_new_bucket_is_made_and_opened_just_enough() {
    let changes = plan(&wanted(Access::Policy), None).unwrap();
    let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "create bucket in eu-west-1, without ACLs, tagged irsa:managed",
            "keep old versions of the bucket's objects",
            "set Block Public Access to: BlockPublicAcls IgnorePublicAcls",
            "put bucket policy: plain http denied, other statements kept\n  + readable arn:aws:s3:::abc/keys.json\n  \
             + readable arn:aws:s3:::abc/.well-known/openid-configuration",
        ]
    );
    let allow = &policy(&changes)["Statement"][0];
    assert_eq!(allow["Action"], "s3:GetObject");
    assert_eq!(allow["Resource"].as_array().unwrap().len(), 2);
    assert!(!allow.to_string().contains("/*"), "exactly the documents");
    let closed = BucketState {
        versioned: false,
        ..state()
    };
    assert_eq!(
        plan(&wanted(Access::Policy), Some(&after(&changes, &closed))).unwrap(),
        []
    );
}

#[test]
fn a_bucket_is_set_up_only_with_proof() {
    let foreign = BucketState {
        tagged: false,
        ..state()
    };
    assert!(matches!(
        plan(&wanted(Access::Policy), Some(&foreign)),
        Err(BucketError::Foreign(_))
    ));
    let empty = BucketState {
        adoptable: true,
        ..foreign.clone()
    };
    assert_eq!(
        plan(&wanted(Access::None), Some(&empty)).unwrap(),
        [BucketChange::Tag]
    );
    let adopt = BucketWanted {
        adopt: true,
        ..wanted(Access::None)
    };
    assert_eq!(plan(&adopt, Some(&foreign)).unwrap(), [BucketChange::Tag]);
    let missing = BucketWanted {
        create: false,
        ..wanted(Access::None)
    };
    assert!(matches!(plan(&missing, None), Err(BucketError::Missing(_))));
}

#[test]
fn other_statements_and_other_issuers_stay() {
    let theirs = json!({"Sid": "Backup", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "s3:*", "Resource": "*"});
    let first = json!({"Version": "2012-10-17", "Statement": theirs}).to_string();
    let with = BucketState {
        policy: Some(first),
        ..state()
    };
    let changes = plan(&wanted(Access::Policy), Some(&with)).unwrap();
    let one = policy(&changes);
    assert_eq!(
        (
            &one["Statement"][0],
            one["Statement"].as_array().unwrap().len()
        ),
        (&theirs, 3)
    );

    let second = BucketWanted {
        documents: vec!["arn:aws:s3:::abc/b/keys.json".into()],
        ..wanted(Access::Policy)
    };
    let state = after(&changes, &with);
    let changes = plan(&second, Some(&state)).unwrap();
    assert_eq!(
        policy(&changes)["Statement"][1]["Resource"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        plan(&wanted(Access::Policy), Some(&after(&changes, &state))).unwrap(),
        []
    );
}

#[test]
fn a_statement_of_our_name_that_is_not_ours_is_refused() {
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Sid": "IrsaPublicRead", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::abc/keys.json"}]});
    let state = BucketState {
        policy: Some(policy.to_string()),
        ..state()
    };
    assert!(matches!(
        plan(&wanted(Access::Policy), Some(&state)),
        Err(BucketError::StatementTaken { .. })
    ));
    for text in ["x", "[]", "{}", r#"{"Statement":1}"#] {
        let state = BucketState {
            policy: Some(text.into()),
            ..state.clone()
        };
        assert!(
            plan(&wanted(Access::Policy), Some(&state)).is_err(),
            "{text}"
        );
    }
}

fn cdn(id: &str) -> Access {
    Access::CloudFront {
        distribution: Some(format!("arn:aws:cloudfront::1:distribution/{id}")),
    }
}

#[test]
fn cloudfront_keeps_the_bucket_closed() {
    let open = BucketState {
        block: PublicAccessBlock::OPEN,
        ..state()
    };
    let closed = [BucketChange::Block(PublicAccessBlock::CLOSED)];
    let none = Access::CloudFront { distribution: None };
    assert_eq!(plan(&wanted(none), Some(&open)).unwrap(), closed);
    let changes = plan(&wanted(cdn("E1")), Some(&open)).unwrap();
    assert_eq!(changes[..1], closed);
    let allow = &policy(&changes)["Statement"][0];
    assert_eq!(
        allow["Condition"]["StringEquals"]["AWS:SourceArn"],
        "arn:aws:cloudfront::1:distribution/E1"
    );
}

#[test]
fn a_distribution_that_was_made_anew_is_let_in() {
    let first = plan(&wanted(cdn("E1")), Some(&state())).unwrap();
    let then = after(&first, &state());
    let second = plan(&wanted(cdn("E2")), Some(&then)).unwrap();
    assert!(
        second[0]
            .to_string()
            .ends_with("\n  + read by arn:aws:cloudfront::1:distribution/E2"),
        "{}",
        second[0]
    );
    let last = after(&second, &then);
    for id in ["E1", "E2"] {
        assert_eq!(plan(&wanted(cdn(id)), Some(&last)).unwrap(), []);
    }
    // One of another account is somebody else's statement.
    let theirs = then.policy.unwrap().replace("::1:", "::2:");
    let theirs = BucketState {
        policy: Some(theirs),
        ..state()
    };
    assert!(matches!(
        plan(&wanted(cdn("E2")), Some(&theirs)),
        Err(BucketError::StatementTaken { .. })
    ));
}

#[test]
fn a_bucket_that_serves_others_is_not_closed() {
    let both = BucketWanted {
        documents: vec![
            "arn:aws:s3:::abc/keys.json".into(),
            "arn:aws:s3:::abc/b/keys.json".into(),
        ],
        ..wanted(Access::Policy)
    };
    let served = after(&plan(&both, Some(&state())).unwrap(), &state());
    for distribution in [Access::CloudFront { distribution: None }, cdn("E1")] {
        let refused = plan(&wanted(distribution), Some(&served)).unwrap_err();
        assert!(
            matches!(&refused, BucketError::ServesOthers { documents, .. } if documents == &["arn:aws:s3:::abc/b/keys.json"]),
            "{refused}"
        );
    }
    // Closed by somebody before: nobody reads them, and S3 takes no policy that would let everybody in.
    let closed = BucketState {
        block: PublicAccessBlock::CLOSED,
        ..served
    };
    let changes = plan(&wanted(cdn("E1")), Some(&closed)).unwrap();
    assert!(
        changes[0]
            .to_string()
            .contains("\n  - readable by everybody arn:aws:s3:::abc/b/keys.json"),
        "{}",
        changes[0]
    );
    assert!(!policy(&changes).to_string().contains("IrsaPublicRead"));
}

#[test]
fn a_foreign_statement_for_everybody_is_named_before_s3_refuses_it() {
    let statement = |condition: Value| {
        let mut one = json!({"Sid": "Site", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::abc/site/*"});
        if condition.is_object() {
            one["Condition"] = condition;
        }
        let policy = json!({"Version": "2012-10-17", "Statement": [one]});
        BucketState {
            policy: Some(policy.to_string()),
            ..state()
        }
    };
    let public = plan(&wanted(cdn("E1")), Some(&statement(Value::Null))).unwrap_err();
    assert!(public.to_string().contains("\"Site\""), "{public}");
    let limited = json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}});
    assert!(plan(&wanted(cdn("E1")), Some(&statement(limited))).is_ok());
    let not = json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}});
    assert!(plan(&wanted(cdn("E1")), Some(&statement(not))).is_err());
}

#[test]
fn a_policy_that_s3_would_refuse_is_not_sent() {
    let documents = (0..400)
        .map(|i| format!("arn:aws:s3:::abc/clusters/{i}/keys.json-and-more"))
        .collect();
    let many = BucketWanted {
        documents,
        ..wanted(Access::Policy)
    };
    assert!(matches!(
        plan(&many, Some(&state())),
        Err(BucketError::PolicyTooLarge { .. })
    ));
}
