use std::time::Duration;

use irsa_connector::connect::{ConnectError, Target};
use irsa_connector::journal::Phase;
use irsa_connector::plan::RoleChoice;
use irsa_connector::register::RegisterError;
use irsa_core::explain::Explain as _;
use jiff::Timestamp;
use serde_json::json;

use crate::refusals::cluster;
use crate::server::Fault::{Garble, LoseAnswer, Refuse};
use crate::site::{Site, run};

pub(crate) fn aws_calls(site: &Site) -> Vec<String> {
    let calls = site.server.world().calls.clone();
    calls
        .into_iter()
        .filter(|call| call.contains(':'))
        .collect()
}

fn written(site: &Site, call: &str) -> Vec<serde_json::Value> {
    let writes = site.server.world().writes.clone();
    writes
        .into_iter()
        .filter(|(name, _)| name == call)
        .map(|(_, input)| input)
        .collect()
}

#[tokio::test]
async fn a_first_registration_calls_in_this_order_and_with_these_parameters() {
    let site = Site::new().await;
    let connected = site.register().await.unwrap();
    assert_eq!(connected.status, "ACTIVE");
    assert_eq!(
        aws_calls(&site),
        [
            "eks:DescribeCluster",
            "iam:GetRole",
            "iam:GetRole",
            "iam:CreateServiceLinkedRole",
            "iam:CreateRole",
            "iam:GetRole",
            "iam:PutRolePolicy",
            "eks:RegisterCluster",
            "eks:DescribeCluster",
        ]
    );
    let registration = site.registration();
    let input = &written(&site, "eks:RegisterCluster")[0];
    assert_eq!(
        *input,
        json!({
            "name": "prod",
            "connectorConfig": {"provider": "OTHER", "roleArn": registration.role_arn()},
            "clientRequestToken": input["clientRequestToken"],
            "tags": {"team": "blue", "irsa:registration": site.record().unwrap().mark},
        })
    );
    assert_eq!(input["clientRequestToken"].as_str().unwrap().len(), 36);
    let role = &written(&site, "iam:CreateRole")[0];
    assert_eq!(role["RoleName"], registration.role_name());
    assert_eq!(role["Tags.member.1.Value"], registration.cluster_arn());
    assert_eq!(role["Tags.member.2.Value"], site.record().unwrap().mark);
    let policy: serde_json::Value = serde_json::from_str(
        written(&site, "iam:PutRolePolicy")[0]["PolicyDocument"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(policy, irsa_connector::policy::agent_policy("aws"));
    assert!(matches!(
        site.record().unwrap().phase,
        Phase::Connected { .. }
    ));
}

#[tokio::test]
async fn the_cluster_is_looked_at_before_aws_is_asked() {
    let site = Site::new().await;
    site.register().await.unwrap();
    let calls = site.server.world().calls.clone();
    let first_aws = calls.iter().position(|call| call.contains(':')).unwrap();
    let dry = calls
        .iter()
        .rposition(|call| call.starts_with("DRY-RUN"))
        .unwrap();
    assert!(dry < first_aws, "{calls:?}");
}

#[tokio::test]
async fn a_given_role_means_no_write_in_iam() {
    let site = Site::new().await;
    site.role("given", false);
    site.server.world().service_linked_role = true;
    let mut connection = site.connection().await;
    connection.request.role = RoleChoice::Given("arn:aws:iam::111122223333:role/path/given".into());
    run(&connection, &site.journal()).await.unwrap();
    assert!(
        aws_calls(&site)
            .iter()
            .all(|call| !call.starts_with("iam:")),
        "{:?}",
        aws_calls(&site)
    );
}

#[tokio::test]
async fn propagation_is_waited_for_with_one_token() {
    for faults in [
        vec![
            Refuse(
                428,
                "ResourcePropagationDelayException",
                "still propagating"
            );
            2
        ],
        vec![Refuse(
            400,
            "InvalidRequestException",
            "Nonexistent role or missing ssm service principal in trust policy",
        )],
        vec![Refuse(400, "InvalidRequestException", "not existing role")],
        vec![Refuse(400, "ThrottlingException", "Rate exceeded"); 4],
        vec![Refuse(500, "ServerException", "")],
        vec![Refuse(503, "ServiceUnavailableException", "")],
    ] {
        let site = Site::new().await;
        site.server.world().fault("eks:RegisterCluster", &faults);
        let connected = site
            .register()
            .await
            .unwrap_or_else(|error| panic!("{faults:?}: {error:?}"));
        assert_eq!(connected.status, "ACTIVE");
        let inputs = written(&site, "eks:RegisterCluster");
        assert_eq!(inputs.len(), 1, "{faults:?}");
        let calls = aws_calls(&site);
        let asked = calls
            .iter()
            .filter(|call| *call == "eks:RegisterCluster")
            .count();
        assert_eq!(asked, faults.len() + 1, "{faults:?}");
    }
}

#[tokio::test]
async fn propagation_is_not_waited_for_for_ever() {
    let site = Site::new().await;
    let many = vec![
        Refuse(
            428,
            "ResourcePropagationDelayException",
            "still propagating"
        );
        100
    ];
    site.server.world().fault("eks:RegisterCluster", &many);
    let mut connection = site.connection().await;
    connection.timing.register_limit = Duration::from_millis(180);
    let error = run(&connection, &site.journal()).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert!(
        matches!(
            error,
            ConnectError::Register(RegisterError::Interrupted { .. })
        ),
        "{error:?}"
    );
    assert_eq!(site.server.world().roles.len(), 1, "kept for the next run");
    site.server.world().faults.clear();
    assert_eq!(site.register().await.unwrap().status, "ACTIVE");
    assert_eq!(site.server.world().roles.len(), 1);
}

#[tokio::test]
async fn a_missing_service_linked_role_is_made_on_demand() {
    let site = Site::new().await;
    site.role("given", false);
    let mut connection = site.connection().await;
    connection.request.role = RoleChoice::Given("arn:aws:iam::111122223333:role/given".into());
    run(&connection, &site.journal()).await.unwrap();
    let iam: Vec<_> = aws_calls(&site)
        .into_iter()
        .filter(|call| call.starts_with("iam:"))
        .collect();
    assert_eq!(iam, ["iam:CreateServiceLinkedRole"]);
}

#[tokio::test]
async fn a_service_linked_role_that_appears_meanwhile_is_as_good() {
    let site = Site::new().await;
    site.server
        .world()
        .fault("iam:CreateServiceLinkedRole", &[LoseAnswer]);
    assert_eq!(site.register().await.unwrap().status, "ACTIVE");
}

#[tokio::test]
async fn those_who_may_not_see_the_service_linked_role_go_on() {
    let site = Site::new().await;
    site.server.world().service_linked_role = true;
    site.server
        .world()
        .fault("iam:GetRole", &[Refuse(403, "AccessDenied", "")]);
    assert_eq!(site.register().await.unwrap().status, "ACTIVE");
}

/// The request arrives, its answer does not: EKS may or may not answer the same token again.
#[tokio::test]
async fn a_lost_answer_ends_in_one_registration_with_its_code() {
    for idempotent in [true, false] {
        for faults in [
            vec![LoseAnswer],
            vec![LoseAnswer; 3],
            vec![LoseAnswer; 4],
            vec![Garble],
            vec![LoseAnswer, Garble],
        ] {
            let site = Site::new().await;
            site.server.world().idempotent = idempotent;
            site.server.world().fault("eks:RegisterCluster", &faults);
            let first = site.register().await;
            let connected = match first {
                Ok(connected) => connected,
                Err(error) => {
                    assert!(error.retryable(), "{error:?}");
                    site.server.world().faults.clear();
                    site.register().await.unwrap()
                }
            };
            assert_eq!(
                connected.status, "ACTIVE",
                "idempotent {idempotent}, {faults:?}"
            );
            assert_eq!(site.server.world().clusters.len(), 1);
            assert_eq!(site.server.world().roles.len(), 1);
        }
    }
}

#[tokio::test]
async fn somebody_else_s_registration_of_this_moment_is_left_alone() {
    let site = Site::new().await;
    site.server.world().service_linked_role = true;
    let connection = site.connection().await;
    connection.preflight().await.unwrap();
    // Between our look and our request.
    let observed = irsa_connector::register::observe(&connection.aws, &connection.request)
        .await
        .unwrap();
    let plan =
        irsa_connector::plan::plan(&connection.request, &observed, None, Timestamp::now()).unwrap();
    let irsa_connector::plan::Plan::Register(steps) = plan else {
        panic!()
    };
    site.server
        .world()
        .clusters
        .insert("prod".into(), cluster("PENDING", true));
    let journal = site.journal().lock().unwrap();
    let error = irsa_connector::register::execute(
        &connection.aws,
        &connection.request,
        &steps,
        &journal,
        connection.timing,
    )
    .await
    .unwrap_err();
    assert!(matches!(error, RegisterError::Refused { .. }), "{error:?}");
    assert_eq!(site.server.world().clusters["prod"].token, "other");
    assert!(site.server.world().roles.is_empty());
}

#[tokio::test]
async fn a_cluster_that_does_not_connect_keeps_its_code() {
    let site = Site::new().await;
    let mut connection = site.connection().await;
    let out = site.home.path().join("out");
    connection.target = Target::Files(out.clone());
    connection.wait = Some(Duration::from_millis(30));
    let error = run(&connection, &site.journal()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Register(RegisterError::NotConnected { .. })
        ),
        "{error:?}"
    );
    assert_eq!(error.help().unwrap(), "irsa connector doctor --name prod");
    assert!(matches!(site.record().unwrap().phase, Phase::Registered(_)));
    // The same command finds its files as they should be.
    drop(run(&connection, &site.journal()).await.unwrap_err());
    assert_eq!(site.server.world().registered, 1);
    connection.wait = None;
    let connected = run(&connection, &site.journal()).await.unwrap();
    assert_eq!(
        (connected.status.as_str(), connected.files.len()),
        ("PENDING", 2)
    );
    assert!(connected.expiry.is_some());
}

#[tokio::test]
async fn a_second_run_brings_objects_up_to_date_and_registers_nothing() {
    let site = Site::new().await;
    site.register().await.unwrap();
    site.server.next_run(None);
    let set = "apps/v1/eks-connector/statefulsets/eks-connector";
    site.server.world().objects.get_mut(set).unwrap()["spec"]["replicas"] = json!(0);
    let connected = site.register().await.unwrap();
    assert_eq!(connected.status, "ACTIVE");
    assert_eq!(site.server.world().objects[set]["spec"]["replicas"], 2);
    assert_eq!(site.server.world().writes, [], "nothing in AWS");
}

#[tokio::test]
async fn the_plan_is_shown_without_a_write() {
    let site = Site::new().await;
    let connection = site.connection().await;
    connection.preflight().await.unwrap();
    let (steps, objects) = connection.planned(&site.journal()).await.unwrap();
    assert_eq!(steps.len(), 4);
    assert!(objects.len() > 12);
    assert_eq!(site.server.world().writes, []);
    assert!(
        site.server
            .world()
            .calls
            .iter()
            .all(|call| !call.starts_with("PATCH") && !call.starts_with("POST"))
    );
    assert!(site.record().is_none());
}

#[tokio::test]
async fn without_credentials_nothing_is_tried_and_nothing_is_retried() {
    let site = Site::new().await;
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new("eu-central-1"))
        .endpoint_url(site.server.url())
        .credentials_provider(aws_sdk_iam::config::SharedCredentialsProvider::new(
            NoCredentials,
        ))
        .build();
    let mut connection = site.connection().await;
    connection.aws = irsa_connector::aws::Aws::new(&config);
    let error = run(&connection, &site.journal()).await.unwrap_err();
    assert!(!error.retryable(), "{error:?}");
    assert!(
        error.help().unwrap().contains("--profile"),
        "{:?}",
        error.help()
    );
    assert_eq!(aws_calls(&site), [""; 0]);
}

#[derive(Debug)]
struct NoCredentials;

impl aws_sdk_iam::config::ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error =
            aws_credential_types::provider::error::CredentialsError::not_loaded("none here");
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
    }
}

#[tokio::test]
async fn a_session_that_ends_in_between_undoes_nothing() {
    for (call, code) in [
        ("eks:RegisterCluster", "ExpiredTokenException"),
        ("iam:PutRolePolicy", "ExpiredToken"),
    ] {
        let site = Site::new().await;
        site.server
            .world()
            .fault(call, &[Refuse(403, code, "expired")]);
        let error = site.register().await.unwrap_err();
        assert!(!error.retryable(), "a person logs in first: {error:?}");
        let help = error.help().unwrap();
        assert!(
            help.contains("log in") && help.contains("run the same command again"),
            "{help}"
        );
        assert_eq!(site.server.world().roles.len(), 1);
        assert_eq!(site.register().await.unwrap().status, "ACTIVE");
        assert_eq!(site.server.world().roles.len(), 1);
    }
}
