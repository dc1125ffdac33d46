use zeroize::Zeroizing;

use super::*;
use crate::activation::{Activation, ActivationCode};
use crate::name::ClusterName;
use crate::region::ConnectorRegion;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn request(role: RoleChoice) -> Request {
    Request {
        registration: Registration {
            region: ConnectorRegion::parse("eu-central-1").unwrap(),
            account: "111122223333".into(),
            name: ClusterName::parse("prod").unwrap(),
        },
        provider: Provider::parse("OTHER").unwrap(),
        role,
        tags: BTreeMap::new(),
    }
}

fn own() -> Request {
    request(RoleChoice::Own { boundary: None })
}

fn record(phase: Phase) -> Record {
    Record {
        cluster_arn: own().registration.cluster_arn(),
        role_arn: own().role_arn(),
        client_request_token: "t".into(),
        mark: "m".into(),
        started: now(),
        phase,
    }
}

fn registered(expiry: &str) -> Phase {
    Phase::Registered(Activation {
        id: "id".into(),
        code: ActivationCode::new(Zeroizing::new("c".into())),
        expiry: Some(expiry.parse().unwrap()),
    })
}

fn cluster(status: &str) -> ClusterRecord {
    ClusterRecord {
        status: status.into(),
        created: Some(now()),
        connected: true,
        activation_id: Some("id".into()),
        role_arn: Some(own().role_arn()),
        mark: Some("m".into()),
        ..ClusterRecord::default()
    }
}

fn observed(cluster: Option<ClusterRecord>) -> Observed {
    Observed {
        cluster,
        own_role: None,
        service_linked_role: Some(false),
    }
}

fn names(plan: Plan) -> Vec<String> {
    match plan {
        Plan::Register(steps) => steps
            .iter()
            .map(|s| s.to_string().split(' ').next().unwrap().to_owned())
            .collect(),
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn a_first_registration_makes_roles_and_registers() {
    let plan = plan(&own(), &observed(None), None, now()).unwrap();
    assert_eq!(
        names(plan),
        [
            "iam:CreateServiceLinkedRole",
            "iam:CreateRole",
            "iam:PutRolePolicy",
            "eks:RegisterCluster"
        ]
    );
}

#[test]
fn a_given_role_is_not_written() {
    let arn = "arn:aws:iam::111122223333:role/given";
    let plan = plan(
        &request(RoleChoice::Given(arn.into())),
        &observed(None),
        None,
        now(),
    )
    .unwrap();
    assert_eq!(
        plan,
        Plan::Register(vec![Step::RegisterCluster {
            role_arn: arn.into(),
            again: false
        }])
    );
}

#[test]
fn a_role_is_taken_over_only_by_its_tag() {
    let mut seen = observed(None);
    seen.service_linked_role = Some(true);
    seen.own_role = Some(RoleRecord {
        arn: own().role_arn(),
        tags: BTreeMap::new(),
    });
    assert!(matches!(
        plan(&own(), &seen, None, now()),
        Err(PlanError::ForeignRole { .. })
    ));
    let (key, value) = own().registration.role_tag();
    seen.own_role.as_mut().unwrap().tags = BTreeMap::from([(key.to_owned(), value)]);
    assert_eq!(
        names(plan(&own(), &seen, None, now()).unwrap()),
        ["iam:PutRolePolicy", "eks:RegisterCluster"]
    );
}

/// A state of the journal, by the expiry of its activation.
type Journalled = fn(&str) -> Option<Phase>;

/// Every status of EKS against every state of the journal.
#[test]
fn every_state_has_one_answer() {
    let later = "2026-11-25T00:00:00Z";
    let past = "2026-11-22T11:59:59Z";
    let phases: [(&str, Journalled); 4] = [
        ("none", |_| None),
        ("registering", |_| Some(Phase::Registering)),
        ("registered", |expiry| Some(registered(expiry))),
        ("connected", |_| {
            Some(Phase::Connected {
                activation_id: "id".into(),
            })
        }),
    ];
    let answer = |status: Option<&str>, phase: Option<Phase>| {
        let record = phase.map(record);
        let seen = observed(status.map(cluster));
        match plan(&own(), &seen, record.as_ref(), now()) {
            Ok(Plan::Register(steps)) => match steps.last() {
                Some(Step::RegisterCluster { again: true, .. }) => "register again".to_owned(),
                _ => "register".to_owned(),
            },
            Ok(other) => format!("{other:?}").to_lowercase(),
            Err(error) => format!("{error:?}")
                .split([' ', '('])
                .next()
                .unwrap()
                .to_owned(),
        }
    };
    for (status, wanted) in [
        (None, ["register", "register again", "register", "register"]),
        (
            Some("PENDING"),
            ["Taken", "register again", "resume", "refresh"],
        ),
        (Some("ACTIVE"), ["Taken", "Taken", "resume", "refresh"]),
        (Some("FAILED"), ["Expired", "Expired", "Expired", "Expired"]),
        (
            Some("DELETING"),
            ["Deleting", "Deleting", "Deleting", "Deleting"],
        ),
    ] {
        for ((name, phase), wanted) in phases.iter().zip(wanted) {
            assert_eq!(answer(status, phase(later)), wanted, "{status:?} {name}");
        }
    }
    assert_eq!(answer(Some("PENDING"), Some(registered(past))), "Expired");
    assert_eq!(answer(Some("ACTIVE"), Some(registered(past))), "resume");
}

#[test]
fn a_name_in_other_hands_is_left_alone() {
    let mut eks = cluster("ACTIVE");
    eks.connected = false;
    assert!(matches!(
        plan(&own(), &observed(Some(eks)), None, now()),
        Err(PlanError::EksCluster(_))
    ));

    let registering = record(Phase::Registering);
    let with = |mark: Option<&str>, token: Option<&str>| ClusterRecord {
        mark: mark.map(str::to_owned),
        client_request_token: token.map(str::to_owned),
        ..cluster("PENDING")
    };
    // Name, role and time are as they would be; what we wrote on it is not there.
    for found in [
        with(None, None),
        with(Some("other"), None),
        with(None, Some("other")),
        with(Some("other"), Some("t")),
    ] {
        assert!(!is_lost_answer(&found, &registering), "{found:?}");
        assert!(matches!(
            plan(&own(), &observed(Some(found)), Some(&registering), now()),
            Err(PlanError::Taken { .. })
        ));
    }
    for found in [with(Some("m"), None), with(None, Some("t"))] {
        assert!(is_lost_answer(&found, &registering), "{found:?}");
        for taken in [
            ClusterRecord {
                status: "ACTIVE".into(),
                ..found.clone()
            },
            ClusterRecord {
                connected: false,
                ..found
            },
        ] {
            assert!(!is_lost_answer(&taken, &registering), "{taken:?}");
        }
    }
    let mut again = cluster("PENDING");
    again.activation_id = Some("another".into());
    let held = record(registered("2026-11-25T00:00:00Z"));
    assert!(matches!(
        plan(&own(), &observed(Some(again)), Some(&held), now()),
        Err(PlanError::Taken { .. })
    ));
}
