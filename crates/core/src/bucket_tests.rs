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

#[test]
fn cloudfront_keeps_the_bucket_closed() {
    let access = Access::CloudFront {
        distribution: "arn:aws:cloudfront::1:distribution/E1".into(),
    };
    let open = BucketState {
        block: PublicAccessBlock::OPEN,
        ..state()
    };
    let changes = plan(&wanted(access), Some(&open)).unwrap();
    assert_eq!(changes[0], BucketChange::Block(PublicAccessBlock::CLOSED));
    let allow = &policy(&changes)["Statement"][0];
    assert_eq!(
        allow["Condition"]["StringEquals"]["AWS:SourceArn"],
        "arn:aws:cloudfront::1:distribution/E1"
    );
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
