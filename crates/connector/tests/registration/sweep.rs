use base64::Engine as _;
use irsa_connector::journal::Phase;

use crate::deregistration::everything;
use crate::server::Kill;
use crate::site::Site;

/// How many outside effects a whole run has.
async fn effects(idempotent: bool) -> usize {
    let site = Site::new().await;
    site.server.world().idempotent = idempotent;
    site.register().await.unwrap();
    let calls = site.server.world().calls.clone();
    let write = |call: &&String| {
        ["PATCH", "POST", "iam:Create", "iam:Put", "eks:Register"]
            .iter()
            .any(|verb| call.starts_with(verb))
    };
    calls.iter().filter(write).count()
}

/// One registration, one role, and the cluster has the code of the very registration that stands.
fn demand_whole(site: &Site, what: &str) {
    let world = site.server.world();
    assert_eq!(world.clusters.len(), 1, "{what}");
    assert_eq!(
        world.roles.keys().collect::<Vec<_>>(),
        [&site.registration().role_name()],
        "{what}"
    );
    let secret = &world.objects["v1/eks-connector/secrets/eks-connector-activation-config"];
    let code = base64::prelude::BASE64_STANDARD
        .decode(secret["data"]["code"].as_str().unwrap())
        .unwrap();
    assert_eq!(code, world.clusters["prod"].code.as_bytes(), "{what}");
    drop(world);
    assert!(
        matches!(site.record().unwrap().phase, Phase::Connected { .. }),
        "{what}"
    );
}

#[tokio::test]
async fn a_registration_killed_anywhere_is_whole_after_the_next_run() {
    for idempotent in [true, false] {
        let count = effects(idempotent).await;
        assert!(count > 15, "{count}");
        // Beyond the registration itself it makes no difference what EKS does with a token.
        let last = if idempotent { 6 } else { count };
        for at in 1..=last {
            for kill in [Kill::Before(at), Kill::After(at)] {
                let what = format!("{kill:?}, idempotent {idempotent}");
                let site = Site::new().await;
                site.server.world().idempotent = idempotent;
                site.server.next_run(Some(kill));
                let ended = site.server.run_killable(Box::pin(site.register())).await;
                assert!(ended.is_none(), "{what} was not killed");
                site.server.next_run(None);
                let connected = site
                    .register()
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(connected.status, "ACTIVE", "{what}");
                demand_whole(&site, &what);
            }
        }
    }
}

/// Killed once more at the same place of the second run, which is another effect.
#[tokio::test]
async fn a_registration_killed_twice_is_whole_after_the_third_run() {
    for at in 1..=6 {
        for again in [1, 2, 4, 6] {
            for (first, second) in [
                (Kill::After(at), Kill::Before(again)),
                (Kill::After(at), Kill::After(again)),
            ] {
                let what = format!("{first:?} then {second:?}");
                let site = Site::new().await;
                for kill in [first, second] {
                    site.server.next_run(Some(kill));
                    assert!(
                        site.server
                            .run_killable(Box::pin(site.register()))
                            .await
                            .is_none(),
                        "{what}"
                    );
                }
                site.server.next_run(None);
                site.register()
                    .await
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                demand_whole(&site, &what);
            }
        }
    }
}

#[tokio::test]
async fn a_deregistration_killed_anywhere_leaves_nothing_after_the_next_run() {
    let site = Site::new().await;
    site.register().await.unwrap();
    let deletions = everything(&site).await.len() + 1; // the inline policy is no part of its own
    for at in 1..=deletions {
        for kill in [Kill::Before(at), Kill::After(at)] {
            let site = Site::new().await;
            site.register().await.unwrap();
            site.server.next_run(Some(kill));
            assert!(
                site.server
                    .run_killable(Box::pin(everything(&site)))
                    .await
                    .is_none(),
                "{kill:?}"
            );
            site.server.next_run(None);
            let all = everything(&site).await;
            assert!(
                !all.iter().any(|line| line.starts_with("failed")),
                "{kill:?}: {all:?}"
            );
            let world = site.server.world();
            assert!(
                world.clusters.is_empty() && world.roles.is_empty(),
                "{kill:?}"
            );
            assert_eq!(
                world.objects.keys().collect::<Vec<_>>(),
                ["v1/namespaces/team-a"],
                "{kill:?}"
            );
        }
    }
}

/// A registration that was killed and is given up instead of resumed.
#[tokio::test]
async fn a_registration_killed_anywhere_can_be_taken_back() {
    for at in 1..=effects(false).await {
        let site = Site::new().await;
        site.server.next_run(Some(Kill::After(at)));
        assert!(
            site.server
                .run_killable(Box::pin(site.register()))
                .await
                .is_none()
        );
        site.server.next_run(None);
        everything(&site).await;
        let world = site.server.world();
        assert!(world.clusters.is_empty() && world.roles.is_empty(), "{at}");
        assert_eq!(
            world.objects.keys().collect::<Vec<_>>(),
            ["v1/namespaces/team-a"],
            "{at}"
        );
        drop(world);
        assert!(site.record().is_none(), "{at}");
    }
}
