use irsa_connector::connect::ConnectError;
use irsa_connector::manifest::console::ConsoleError;
use irsa_connector::plan::PlanError;
use irsa_connector::register::{RegisterError, Undone};
use irsa_core::explain::Explain as _;
use jiff::Timestamp;
use serde_json::json;

use crate::aws::FakeCluster;
use crate::cases::aws_calls;
use crate::server::Fault::Refuse;
use crate::site::{Site, run};

pub(crate) fn cluster(status: &str, connected: bool) -> FakeCluster {
    FakeCluster {
        status: status.into(),
        connected,
        activation_id: "0f8fad5b-d9cb-469f-a165-70867728950e".into(),
        code: "another code of 20 characters".into(),
        role_arn: "arn:aws:iam::111122223333:role/other".into(),
        token: "other".into(),
        tags: std::collections::BTreeMap::default(),
        created: Timestamp::now(),
    }
}

#[tokio::test]
async fn a_refusal_for_good_leaves_no_role() {
    for (call, code) in [
        ("eks:RegisterCluster", "ResourceLimitExceededException"),
        ("eks:RegisterCluster", "AccessDeniedException"),
        ("iam:PutRolePolicy", "AccessDenied"),
    ] {
        let site = Site::new().await;
        site.server.world().fault(call, &[Refuse(403, code, "no")]);
        let error = site.register().await.unwrap_err();
        let ConnectError::Register(RegisterError::Refused {
            undone: Undone::Role(_),
            ..
        }) = &error
        else {
            panic!("{call} {error:?}");
        };
        assert!(!error.retryable() && error.help().is_some(), "{call}");
        assert!(site.server.world().roles.is_empty(), "{call}");
        assert!(site.record().is_none(), "{call}");
        assert!(
            site.server.world().objects.len() == 1,
            "{call}: only the namespace of before"
        );
    }
}

#[tokio::test]
async fn a_role_that_cannot_be_taken_back_is_named() {
    let site = Site::new().await;
    site.server.world().fault(
        "eks:RegisterCluster",
        &[Refuse(403, "AccessDeniedException", "no")],
    );
    site.server
        .world()
        .fault("iam:DeleteRole", &[Refuse(403, "AccessDenied", "no")]);
    let error = site.register().await.unwrap_err();
    assert!(
        error.to_string().contains("stands: iam:DeleteRole"),
        "{error}"
    );
    assert_eq!(
        error.help().unwrap(),
        "irsa connector deregister --name prod deletes the role"
    );
}

#[tokio::test]
async fn a_role_that_could_not_be_made_is_nobody_s_to_delete() {
    let site = Site::new().await;
    site.server
        .world()
        .fault("iam:CreateRole", &[Refuse(409, "EntityAlreadyExists", "")]);
    let error = site.register().await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Register(RegisterError::Refused {
                undone: Undone::Nothing,
                ..
            })
        ),
        "{error:?}"
    );
    assert!(!aws_calls(&site).contains(&"iam:DeleteRole".to_owned()));
}

#[tokio::test]
async fn a_name_that_is_taken_means_no_write() {
    for (status, connected) in [
        ("PENDING", true),
        ("ACTIVE", true),
        ("FAILED", true),
        ("ACTIVE", false),
    ] {
        let site = Site::new().await;
        site.server
            .world()
            .clusters
            .insert("prod".into(), cluster(status, connected));
        let error = site.register().await.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Plan(
                    PlanError::Taken { .. } | PlanError::EksCluster(_) | PlanError::Expired { .. }
                )
            ),
            "{error:?}"
        );
        assert!(error.help().is_some());
        assert_eq!(site.server.world().writes, [], "{status}");
        assert!(site.record().is_none());
    }
}

#[tokio::test]
async fn another_answer_than_not_found_means_no_write() {
    let site = Site::new().await;
    site.server.world().fault(
        "eks:DescribeCluster",
        &[Refuse(403, "AccessDeniedException", "no")],
    );
    let error = site.register().await.unwrap_err();
    assert!(
        error.to_string().ends_with("nothing was changed"),
        "{error}"
    );
    assert_eq!(site.server.world().writes, []);
}

#[tokio::test]
async fn a_role_of_somebody_else_is_left_alone() {
    let site = Site::new().await;
    site.role(&site.registration().role_name(), false);
    let error = site.register().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Plan(PlanError::ForeignRole { .. })),
        "{error:?}"
    );
    assert_eq!(site.server.world().writes, []);
}

#[tokio::test]
async fn a_cluster_that_is_connected_otherwise_is_refused_before_aws_is_asked() {
    let site = Site::new().await;
    let set = |ours: bool| json!({"metadata": {"name": "eks-connector", "labels": {"app.kubernetes.io/managed-by": if ours {"irsa"} else {"Helm"}}, "annotations": {"irsa/connected-cluster": "arn:other"}}});
    for (ours, text) in [
        (true, "connected as arn:other"),
        (false, "was not installed by irsa"),
    ] {
        site.server.world().objects.insert(
            "apps/v1/eks-connector/statefulsets/eks-connector".into(),
            set(ours),
        );
        let error = site.register().await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(aws_calls(&site), [""; 0]);
    }
}

#[tokio::test]
async fn a_grant_of_a_missing_namespace_is_refused_before_aws_is_asked() {
    let site = Site::new().await;
    site.server.world().objects.clear();
    let error = site.register().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "namespace \"team-a\" of a grant does not exist"
    );
    assert_eq!(aws_calls(&site), [""; 0]);
}

#[tokio::test]
async fn an_empty_grant_list_is_refused_before_aws_is_asked() {
    let site = Site::new().await;
    let mut connection = site.connection().await;
    connection.grants = irsa_connector::grant::Grants::default();
    let error = run(&connection, &site.journal()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Console(ConsoleError::NoGrants)),
        "{error:?}"
    );
    assert_eq!(aws_calls(&site), [""; 0]);
}
