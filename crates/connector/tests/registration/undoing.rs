use irsa_connector::connect::ConnectError;
use irsa_connector::journal::Journal;
use irsa_connector::register::{RegisterError, Undone};
use irsa_connector::role::MARK_TAG;
use irsa_connector::undo::Reason;
use irsa_core::explain::Explain as _;
use serde_json::Value;

use crate::aws::{ACCOUNT, FakeCluster};
use crate::cases::aws_calls;
use crate::refusals::cluster;
use crate::server::Fault::{self, LoseAnswer, Meanwhile, Refuse};
use crate::server::World;
use crate::site::{Site, run};

const NO: Fault = Refuse(403, "AccessDeniedException", "no");
const LATER: Fault = Refuse(
    428,
    "ResourcePropagationDelayException",
    "still propagating",
);

/// Whose agent role the run meets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    /// None: this run makes it.
    Absent,
    /// One that a run of this journal made before it was interrupted.
    Own,
    /// One that another run made for this cluster, long ago.
    Existed,
    /// The same, made in this moment.
    Appeared,
}

/// How the registration ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Refused,
    PropagatedThenRefused,
    TakenWithTheSameRole,
    TakenWithAnotherRole,
    LostThenRefused,
}

fn another(world: &World, role: &str) -> FakeCluster {
    let mut made = cluster("PENDING", true);
    role.clone_into(&mut made.role_arn);
    made.tags.insert(MARK_TAG.into(), "another".into());
    assert!(world.clusters.is_empty());
    made
}

fn taken_with_the_same_role(world: &mut World) {
    let role = world.roles.keys().next().unwrap();
    let made = another(world, &format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
    world.clusters.insert("prod".into(), made);
}

fn taken_with_another_role(world: &mut World) {
    let made = another(world, &format!("arn:aws:iam::{ACCOUNT}:role/other"));
    world.clusters.insert("prod".into(), made);
}

/// Somebody else makes a role of our name a moment before us.
fn role_appears(world: &mut World) {
    let (name, role) = world.role_to_appear.clone().unwrap();
    world.roles.insert(name, role);
}

async fn site(role: Role, end: End) -> Site {
    let site = Site::new().await;
    let name = site.registration().role_name();
    match role {
        Role::Absent => {}
        Role::Own => {
            let expired = [Refuse(403, "ExpiredToken", "expired")];
            site.server.world().fault("iam:PutRolePolicy", &expired);
            site.register().await.unwrap_err();
            assert_eq!(site.server.world().roles.len(), 1);
        }
        Role::Existed => site.role(&name, true),
        Role::Appeared => {
            site.role(&name, true);
            let mut world = site.server.world();
            let mut made = world.roles.remove(&name).unwrap();
            made.tags.insert(MARK_TAG.into(), "another".into());
            world.role_to_appear = Some((name, made));
            world.fault("iam:CreateRole", &[Meanwhile(role_appears)]);
        }
    }
    let faults = match end {
        End::Refused => vec![NO],
        End::PropagatedThenRefused => vec![LATER, NO],
        End::TakenWithTheSameRole => vec![Meanwhile(taken_with_the_same_role)],
        End::TakenWithAnotherRole => vec![Meanwhile(taken_with_another_role)],
        End::LostThenRefused => vec![LoseAnswer, NO, NO],
    };
    site.server.world().fault("eks:RegisterCluster", &faults);
    site.server.next_run(None);
    site
}

/// Whose role, against how the registration ends.
#[tokio::test]
async fn a_refused_registration_takes_back_its_own_and_nothing_else() {
    let ends = [
        End::Refused,
        End::PropagatedThenRefused,
        End::TakenWithTheSameRole,
        End::TakenWithAnotherRole,
        End::LostThenRefused,
    ];
    for role in [Role::Absent, Role::Own, Role::Existed, Role::Appeared] {
        for end in ends {
            let what = format!("{role:?} {end:?}");
            let site = site(role, end).await;
            let error = site.register().await.unwrap_err();
            let ConnectError::Register(RegisterError::Refused { undone, .. }) = &error else {
                panic!("{what}: {error:?}");
            };
            let taken = matches!(end, End::TakenWithTheSameRole | End::TakenWithAnotherRole);
            let made = matches!(role, Role::Absent | Role::Own);
            let wanted = match (made, end) {
                (_, End::TakenWithTheSameRole) => Some(Reason::Registered),
                (true, _) => None,
                (false, _) => Some(Reason::Another),
            };
            match (undone, wanted) {
                (Undone::Role(_), None) => {}
                (Undone::Kept { reason, .. }, Some(wanted)) if *reason == wanted => {}
                _ => panic!("{what}: {undone:?}, expected {wanted:?}"),
            }
            assert!(!error.retryable() && error.help().is_some(), "{what}");
            let calls = aws_calls(&site);
            let called = |name: &str| calls.iter().any(|call| call == name);
            assert_eq!(called("iam:DeleteRole"), wanted.is_none(), "{what}");
            let lost = end == End::LostThenRefused;
            assert_eq!(called("eks:DeregisterCluster"), lost, "{what}");
            let world = site.server.world();
            assert_eq!(world.roles.is_empty(), wanted.is_none(), "{what}");
            let tokens: Vec<_> = world.clusters.values().map(|c| c.token.as_str()).collect();
            assert_eq!(tokens, if taken { vec!["other"] } else { vec![] }, "{what}");
            drop(world);
            assert!(site.record().is_none(), "{what}");
        }
    }
}

/// A foreign role that appears under our name is not touched.
#[tokio::test]
async fn a_foreign_role_of_this_moment_is_left_alone() {
    let site = Site::new().await;
    {
        let mut world = site.server.world();
        let name = site.registration().role_name();
        world.role_to_appear = Some((name, crate::aws::FakeRole::default()));
        world.fault("iam:CreateRole", &[Meanwhile(role_appears)]);
    }
    let error = site.register().await.unwrap_err();
    let ConnectError::Register(RegisterError::Refused {
        undone: Undone::Kept { reason, .. },
        ..
    }) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*reason, Reason::Another);
    let written = site.server.world().writes.clone();
    let iam: Vec<_> = written.iter().map(|(call, _)| call.as_str()).collect();
    let iam: Vec<_> = iam.into_iter().filter(|c| c.starts_with("iam:")).collect();
    assert_eq!(iam, ["iam:CreateServiceLinkedRole", "iam:CreateRole"]);
    assert!(site.record().is_none());
}

/// EKS may tell by a tag, by the token, or not at all whose a registration is.
#[tokio::test]
async fn a_lost_answer_is_taken_back_only_if_eks_tells_whose_it_is() {
    for (hides_tags, tells_tokens, known) in [
        (false, false, true),
        (true, true, true),
        (false, true, true),
        (true, false, false),
    ] {
        let what = format!("hides tags {hides_tags}, tells tokens {tells_tokens}");
        let site = Site::new().await;
        {
            let mut world = site.server.world();
            (world.hides_tags, world.tells_tokens) = (hides_tags, tells_tokens);
            world.fault("eks:RegisterCluster", &[LoseAnswer]);
        }
        let ended = site.register().await;
        let deregistered = aws_calls(&site).contains(&"eks:DeregisterCluster".to_owned());
        assert_eq!(deregistered, known, "{what}");
        assert_eq!(site.server.world().clusters.len(), 1, "{what}");
        assert_eq!(site.server.world().roles.len(), 1, "{what}");
        match ended {
            Ok(connected) => assert!(known && connected.status == "ACTIVE", "{what}"),
            Err(error) => {
                assert!(!known, "{what}: {error:?}");
                let help = error.help().unwrap();
                assert!(help.contains("irsa connector status --name prod"), "{help}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_left_and_the_journal_with_it() {
    let site = Site::new().await;
    {
        let mut world = site.server.world();
        world.fault("eks:RegisterCluster", &[NO]);
        // The first look goes well, those after the refusal do not.
        let blind = Refuse(403, "AccessDeniedException", "no");
        world.fault(
            "eks:DescribeCluster",
            &[Meanwhile(|_| {}), blind.clone(), blind],
        );
    }
    let error = site.register().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("is left: whether EKS has a registration"),
        "{text}"
    );
    assert_eq!(site.server.world().roles.len(), 1);
    assert!(site.record().is_some());
    // Nothing was lost: the same command, with the right to register, goes on.
    assert_eq!(site.register().await.unwrap().status, "ACTIVE");
    assert_eq!(site.server.world().roles.len(), 1);
}

/// An answer to `CreateRole` that is lost: the SDK asks again and is told that the role is there.
#[tokio::test]
async fn a_role_whose_answer_was_lost_is_ours() {
    let site = Site::new().await;
    site.server.world().fault("iam:CreateRole", &[LoseAnswer]);
    site.server.world().fault("eks:RegisterCluster", &[NO]);
    let error = site.register().await.unwrap_err();
    assert!(error.to_string().contains("was deleted again"), "{error}");
    assert!(site.server.world().roles.is_empty());
}

/// Two operators, two machines, one name: one registration with its role and its code, and one clear refusal.
#[tokio::test]
async fn of_two_runs_at_once_one_registers_and_the_other_harms_nothing() {
    let mut refused = 0;
    for round in 0..12 {
        let site = Site::new().await;
        site.server.world().idempotent = round % 2 == 0;
        let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let journals = homes
            .each_ref()
            .map(|home| Journal::new(home.path(), &site.registration()));
        let (one, two) = (site.connection().await, site.connection().await);
        let (one, two) = tokio::join!(run(&one, &journals[0]), run(&two, &journals[1]));
        let ends = [one, two];
        let done = ends.iter().filter(|end| end.is_ok()).count();
        assert_eq!(done, 1, "round {round}: {ends:?}");
        for (end, journal) in ends.iter().zip(&journals) {
            let record = journal.load().unwrap();
            match end {
                Ok(connected) => {
                    let mark = &record.unwrap().mark;
                    assert_eq!(connected.status, "ACTIVE");
                    assert_eq!(site.server.world().clusters["prod"].tags[MARK_TAG], *mark);
                }
                Err(error) => {
                    assert!(record.is_none(), "{error:?}");
                    refused += 1;
                }
            }
        }
        let world = site.server.world();
        assert_eq!(
            (world.clusters.len(), world.roles.len()),
            (1, 1),
            "round {round}"
        );
        let lost = |(call, _): &(String, Value)| call == "eks:DeregisterCluster";
        assert!(!world.writes.iter().any(lost), "round {round}");
        let secret = &world.objects["v1/eks-connector/secrets/eks-connector-activation-config"];
        assert!(secret["data"]["code"].is_string());
    }
    assert_eq!(refused, 12);
}
