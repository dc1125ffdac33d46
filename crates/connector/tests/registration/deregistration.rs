use irsa_connector::deregister::{self, Part};
use irsa_connector::install::{self, Removal};
use serde_json::json;

use crate::server::Fault::Refuse;
use crate::site::Site;

/// What `irsa connector deregister` is made of: the names of the parts by what became of them.
pub(crate) async fn everything(site: &Site) -> Vec<String> {
    let all = parts(site, false).await;
    site.journal().lock().unwrap().erase().unwrap();
    all
}

async fn parts(site: &Site, dry_run: bool) -> Vec<String> {
    let aws = site.aws().await;
    let registration = site.registration();
    let mut all = Vec::new();
    let mut tell = |part: Part| {
        all.push(match part {
            Part::Done(what) => format!("deleted {what}"),
            Part::Absent(what) => format!("absent {what}"),
            Part::Kept(what) => format!("kept {what}"),
            Part::Failed(what, error) => format!("failed {what}: {error}"),
        });
    };
    let (part, seen) = deregister::cluster(&aws, &registration, dry_run).await;
    tell(part);
    let role = seen
        .as_ref()
        .and_then(|cluster| cluster.role_arn.as_deref());
    for part in deregister::role(&aws, &registration, role, dry_run).await {
        tell(part);
    }
    for removal in install::remove(&site.cluster(), &registration.cluster_arn(), dry_run).await {
        all.push(match removal {
            Removal::Done(what) => format!("deleted {what}"),
            Removal::Kept(what) => format!("kept {what}"),
            Removal::Failed(error) => format!("failed {error}"),
        });
    }
    all
}

#[tokio::test]
async fn a_dry_run_names_what_would_go_and_changes_nothing() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server.next_run(None);
    let before = site.server.world().objects.clone();
    let dry = parts(&site, true).await;
    {
        let world = site.server.world();
        assert_eq!(world.objects, before);
        assert_eq!((world.clusters.len(), world.roles.len()), (1, 1));
        assert_eq!(world.writes, []);
    }
    assert_eq!(
        dry,
        everything(&site).await,
        "and the run does what it said"
    );
    assert!(
        parts(&site, true)
            .await
            .iter()
            .all(|line| line.starts_with("absent"))
    );
}

fn has(all: &[String], text: &str) {
    assert!(
        all.iter().any(|line| line.starts_with(text)),
        "{text}: {all:?}"
    );
}

#[tokio::test]
async fn everything_goes_and_a_second_run_finds_nothing() {
    let site = Site::new().await;
    site.register().await.unwrap();
    // The agents made this one.
    site.server.world().objects.insert(
        "v1/eks-connector/secrets/eks-connector-state-0".into(),
        json!({"metadata": {"name": "eks-connector-state-0"}}),
    );
    let all = everything(&site).await;
    assert!(
        all.iter().all(|line| line.starts_with("deleted")),
        "{all:?}"
    );
    {
        let world = site.server.world();
        assert!(world.clusters.is_empty() && world.roles.is_empty());
        assert_eq!(
            world.objects.keys().collect::<Vec<_>>(),
            ["v1/namespaces/team-a"]
        );
    }
    let again = everything(&site).await;
    assert_eq!(again.len(), 2, "{again:?}");
    assert!(
        again.iter().all(|line| line.starts_with("absent")),
        "{again:?}"
    );
    assert!(site.record().is_none());
}

#[tokio::test]
async fn a_role_goes_with_whatever_was_attached_to_it() {
    let site = Site::new().await;
    site.register().await.unwrap();
    let name = site.registration().role_name();
    {
        let mut world = site.server.world();
        let role = world.roles.get_mut(&name).unwrap();
        role.attached
            .push("arn:aws:iam::aws:policy/ReadOnlyAccess".into());
        role.inline.insert("another".into(), "{}".into());
    }
    has(
        &everything(&site).await,
        &format!("deleted role \"{name}\""),
    );
    assert!(site.server.world().roles.is_empty());
}

#[tokio::test]
async fn a_role_that_is_gone_or_has_a_path_stops_nothing() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server.world().roles.clear();
    has(&everything(&site).await, "absent role");

    site.role("given", false);
    site.register().await.unwrap();
    site.server
        .world()
        .clusters
        .get_mut("prod")
        .unwrap()
        .role_arn = "arn:aws:iam::111122223333:role/a/path/given".into();
    let all = everything(&site).await;
    has(&all, "kept role \"given\" has no tag of irsa");
    has(&all, "deleted role \"irsa-connector-prod-");
    assert!(site.server.world().roles.contains_key("given"));
    assert!(site.server.world().clusters.is_empty());
}

#[tokio::test]
async fn each_part_is_tried_whatever_became_of_the_others() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server.world().fault(
        "eks:DeregisterCluster",
        &[Refuse(403, "AccessDeniedException", "no")],
    );
    site.server
        .world()
        .fault("iam:DetachRolePolicy", &[Refuse(403, "AccessDenied", "no")]);
    let name = site.registration().role_name();
    site.server
        .world()
        .roles
        .get_mut(&name)
        .unwrap()
        .attached
        .push("arn:aws:iam::aws:policy/X".into());
    let all = everything(&site).await;
    has(&all, "failed cluster \"prod\"");
    has(&all, "failed role");
    has(&all, "deleted StatefulSet eks-connector/eks-connector");
}

#[tokio::test]
async fn objects_of_others_are_left_alone() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server
        .world()
        .objects
        .get_mut("apps/v1/eks-connector/statefulsets/eks-connector")
        .unwrap()["metadata"]["annotations"]["irsa/connected-cluster"] = json!("arn:other");
    let before = site.server.world().objects.clone();
    has(
        &everything(&site).await,
        "kept the objects of this cluster, which is connected as arn:other",
    );
    assert_eq!(site.server.world().objects, before);
}

#[tokio::test]
async fn an_eks_cluster_of_the_same_name_is_never_deregistered() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server
        .world()
        .clusters
        .get_mut("prod")
        .unwrap()
        .connected = false;
    has(
        &everything(&site).await,
        "kept cluster \"prod\" in EKS is no connected cluster",
    );
    assert_eq!(site.server.world().clusters.len(), 1);
}
