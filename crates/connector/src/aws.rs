//! The calls to EKS, IAM and STS, one function each.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_eks::config::timeout::TimeoutConfig;
use aws_sdk_eks::types::{Cluster, ConnectorConfigProvider, ConnectorConfigRequest};
use aws_sdk_iam::client::Waiters as _;
use aws_sdk_iam::types::Tag;
use aws_types::SdkConfig;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroizing;

use crate::activation::{Activation, ActivationCode};
use crate::call::CallError;
use crate::journal::Record;
use crate::plan::{ClusterRecord, Request, RoleRecord};
use crate::policy::{agent_policy, trust_policy};
use crate::role::{MARK_TAG, POLICY_NAME, Registration, SERVICE_LINKED_ROLE, SERVICE_PRINCIPAL};

/// How long one attempt of a call may take.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The clients.
#[derive(Debug, Clone)]
pub struct Aws {
    eks: aws_sdk_eks::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account, 12 digits.
    pub account: String,
    /// The ARN of the user or role session.
    pub arn: String,
}

/// A role in detail.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDetail {
    /// Its ARN and tags.
    pub record: RoleRecord,
    /// Its trust policy, if it can be read.
    pub trust: Value,
}

impl Aws {
    /// Clients of one configuration.
    pub fn new(config: &SdkConfig) -> Self {
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let config = config.to_builder().timeout_config(timeout).build();
        Self {
            eks: aws_sdk_eks::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
        }
    }

    /// `sts:GetCallerIdentity`.
    pub async fn caller(&self) -> Result<Caller, CallError> {
        const CALL: &str = "sts:GetCallerIdentity";
        let fail = |error| CallError::new(CALL, "your credentials", error);
        let answer = self.sts.get_caller_identity().send().await.map_err(fail)?;
        match (answer.account, answer.arn) {
            (Some(account), Some(arn)) => Ok(Caller { account, arn }),
            _ => Err(CallError::incomplete(
                CALL,
                "your credentials",
                "account and ARN",
            )),
        }
    }

    /// `eks:DescribeCluster`; nothing when there is no such cluster.
    pub async fn describe_cluster(&self, name: &str) -> Result<Option<ClusterRecord>, CallError> {
        let call = self.eks.describe_cluster().name(name).send();
        match quietly(call).await {
            Ok(answer) => Ok(answer.cluster.map(record)),
            Err(error) => absent(
                CallError::new("eks:DescribeCluster", quoted(name), error),
                "ResourceNotFoundException",
            ),
        }
    }

    /// `iam:GetRole`; nothing when there is no such role.
    pub async fn role(&self, name: &str) -> Result<Option<RoleDetail>, CallError> {
        match self.iam.get_role().role_name(name).send().await {
            Ok(answer) => Ok(answer.role.map(|role| RoleDetail {
                trust: decoded(role.assume_role_policy_document.as_deref()),
                record: RoleRecord {
                    arn: role.arn,
                    tags: role
                        .tags
                        .unwrap_or_default()
                        .into_iter()
                        .map(|tag| (tag.key, tag.value))
                        .collect(),
                },
            })),
            Err(error) => absent(
                CallError::new("iam:GetRole", quoted(name), error),
                "NoSuchEntity",
            ),
        }
    }

    /// `iam:GetRolePolicy` of the agent policy; nothing when the role has none.
    pub async fn agent_policy(&self, role: &str) -> Result<Option<Value>, CallError> {
        let call = self
            .iam
            .get_role_policy()
            .role_name(role)
            .policy_name(POLICY_NAME);
        match call.send().await {
            Ok(answer) => Ok(Some(decoded(Some(&answer.policy_document)))),
            Err(error) => absent(
                CallError::new("iam:GetRolePolicy", quoted(role), error),
                "NoSuchEntity",
            ),
        }
    }

    /// `iam:CreateServiceLinkedRole`; one that exists already is as good.
    pub async fn create_service_linked_role(&self) -> Result<(), CallError> {
        let call = self
            .iam
            .create_service_linked_role()
            .aws_service_name(SERVICE_PRINCIPAL);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error =
                    CallError::new("iam:CreateServiceLinkedRole", SERVICE_LINKED_ROLE, error);
                // IAM says InvalidInput also when the role is there: then somebody else was faster.
                if error.is("InvalidInput") && self.role(SERVICE_LINKED_ROLE).await?.is_some() {
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// `iam:CreateRole` with trust policy and tags, until IAM knows it.
    pub async fn create_role(
        &self,
        registration: &Registration,
        mark: &str,
        boundary: Option<&str>,
    ) -> Result<(), CallError> {
        const CALL: &str = "iam:CreateRole";
        let name = registration.role_name();
        let (key, value) = registration.role_tag();
        let tag = |key: &str, value: &str| {
            let tag = Tag::builder().key(key).value(value).build();
            tag.map_err(|error| {
                CallError::new(
                    CALL,
                    quoted(&name),
                    unsent::<aws_sdk_iam::operation::create_role::CreateRoleError>(error),
                )
            })
        };
        let (owner, mark) = (tag(key, &value)?, tag(MARK_TAG, mark)?);
        let description = format!("Agents of the connected cluster {}", registration.name);
        self.iam
            .create_role()
            .role_name(&name)
            .assume_role_policy_document(trust_policy().to_string())
            .description(description)
            .set_permissions_boundary(boundary.map(str::to_owned))
            .tags(owner)
            .tags(mark)
            .send()
            .await
            .map_err(|error| CallError::new(CALL, quoted(&name), error))?;
        // What follows says clearly enough if it is still not there.
        let waited = self.iam.wait_until_role_exists().role_name(&name);
        drop(waited.wait(ROLE_WAIT).await);
        Ok(())
    }

    /// `iam:PutRolePolicy` of the agent policy.
    pub async fn put_agent_policy(&self, registration: &Registration) -> Result<(), CallError> {
        let name = registration.role_name();
        self.iam
            .put_role_policy()
            .role_name(&name)
            .policy_name(POLICY_NAME)
            .policy_document(agent_policy(registration.region.partition()).to_string())
            .send()
            .await
            .map_err(|error| CallError::new("iam:PutRolePolicy", quoted(&name), error))?;
        Ok(())
    }

    /// `eks:RegisterCluster` with the record's idempotency token and mark.
    pub async fn register(
        &self,
        request: &Request,
        record: &Record,
    ) -> Result<Activation, CallError> {
        const CALL: &str = "eks:RegisterCluster";
        let name = quoted(request.registration.name.as_str());
        let provider = ConnectorConfigProvider::from(request.provider.as_str());
        let config = ConnectorConfigRequest::builder()
            .role_arn(request.role_arn())
            .provider(provider)
            .build();
        let config = config.map_err(|error| {
            CallError::new(
                CALL,
                name.clone(),
                unsent::<aws_sdk_eks::operation::register_cluster::RegisterClusterError>(error),
            )
        })?;
        let tags = request.tags.iter();
        let mut tags: HashMap<_, _> = tags.map(|(k, v)| (k.clone(), v.clone())).collect();
        tags.insert(MARK_TAG.to_owned(), record.mark.clone());
        let call = self
            .eks
            .register_cluster()
            .name(request.registration.name.as_str())
            .connector_config(config)
            .client_request_token(&record.client_request_token)
            .set_tags(Some(tags))
            .send();
        let answer = quietly(call)
            .await
            .map_err(|error| CallError::new(CALL, name.clone(), error))?;
        let config = answer.cluster.and_then(|cluster| cluster.connector_config);
        let config =
            config.ok_or_else(|| CallError::incomplete(CALL, name.clone(), "a connectorConfig"))?;
        let code = config.activation_code.map(Zeroizing::new);
        match (config.activation_id, code) {
            (Some(id), Some(code)) if !code.is_empty() => Ok(Activation {
                id,
                code: ActivationCode::new(code),
                expiry: config.activation_expiry.and_then(|at| timestamp(&at)),
            }),
            _ => Err(CallError::incomplete(CALL, name, "an activation code")),
        }
    }

    /// `eks:DeregisterCluster`; the cluster as it was, or nothing when there is none.
    pub async fn deregister(&self, name: &str) -> Result<Option<ClusterRecord>, CallError> {
        let call = self.eks.deregister_cluster().name(name).send();
        match quietly(call).await {
            Ok(answer) => Ok(answer.cluster.map(record)),
            Err(error) => absent(
                CallError::new("eks:DeregisterCluster", quoted(name), error),
                "ResourceNotFoundException",
            ),
        }
    }

    /// Deletes a role with everything that hangs on it; nothing of that needs to be there.
    pub async fn delete_role(&self, name: &str) -> Result<(), CallError> {
        for policy in self.inline_policies(name).await? {
            let call = self.iam.delete_role_policy().role_name(name);
            let done = call.policy_name(&policy).send().await;
            gone(done.map_err(|error| {
                CallError::new(
                    "iam:DeleteRolePolicy",
                    format!("\"{policy}\" on \"{name}\""),
                    error,
                )
            }))?;
        }
        for arn in self.attached_policies(name).await? {
            let call = self.iam.detach_role_policy().role_name(name);
            let done = call.policy_arn(&arn).send().await;
            gone(done.map_err(|error| {
                CallError::new(
                    "iam:DetachRolePolicy",
                    format!("{arn} from \"{name}\""),
                    error,
                )
            }))?;
        }
        let done = self.iam.delete_role().role_name(name).send().await;
        gone(done.map_err(|error| CallError::new("iam:DeleteRole", quoted(name), error)))
    }

    async fn inline_policies(&self, role: &str) -> Result<Vec<String>, CallError> {
        let call = self.iam.list_role_policies().role_name(role);
        let pages = call.into_paginator().items().send();
        match pages.collect::<Result<Vec<_>, _>>().await {
            Ok(names) => Ok(names),
            Err(error) => absent_list(CallError::new("iam:ListRolePolicies", quoted(role), error)),
        }
    }

    async fn attached_policies(&self, role: &str) -> Result<Vec<String>, CallError> {
        let call = self.iam.list_attached_role_policies().role_name(role);
        let pages = call.into_paginator().items().send();
        match pages.collect::<Result<Vec<_>, _>>().await {
            Ok(all) => Ok(all
                .into_iter()
                .filter_map(|policy| policy.policy_arn)
                .collect()),
            Err(error) => absent_list(CallError::new(
                "iam:ListAttachedRolePolicies",
                quoted(role),
                error,
            )),
        }
    }
}

/// How long to wait until IAM knows a new role.
const ROLE_WAIT: Duration = Duration::from_mins(2);

/// Runs a call whose answer may hold the activation code: at trace level the SDK logs answers whole.
async fn quietly<T>(call: impl Future<Output = T>) -> T {
    call.with_subscriber(NoSubscriber::default()).await
}

fn record(cluster: Cluster) -> ClusterRecord {
    let connected = cluster.connector_config.is_some();
    let config = cluster.connector_config;
    let text = |value: Option<&String>| value.cloned();
    // An answer to a question is no place for the code; if it is there, it is wiped with this.
    let code = config.as_ref().and_then(|c| c.activation_code.clone());
    drop(code.map(Zeroizing::new));
    ClusterRecord {
        status: cluster
            .status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        created: cluster.created_at.as_ref().and_then(timestamp),
        connected,
        activation_id: text(config.as_ref().and_then(|c| c.activation_id.as_ref())),
        activation_expiry: config
            .as_ref()
            .and_then(|c| c.activation_expiry.as_ref())
            .and_then(timestamp),
        role_arn: text(config.as_ref().and_then(|c| c.role_arn.as_ref())),
        provider: text(config.as_ref().and_then(|c| c.provider.as_ref())),
        client_request_token: cluster.client_request_token,
        mark: cluster.tags.and_then(|mut tags| tags.remove(MARK_TAG)),
    }
}

fn timestamp(at: &aws_sdk_eks::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_second(at.secs()).ok()
}

/// A policy document as IAM returns it: JSON, percent-encoded (RFC 3986). Null when it is neither.
fn decoded(document: Option<&str>) -> Value {
    let text = percent_decode_str(document.unwrap_or_default()).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or_default()
}

fn absent<T>(error: CallError, code: &str) -> Result<Option<T>, CallError> {
    if error.is(code) { Ok(None) } else { Err(error) }
}

fn absent_list(error: CallError) -> Result<Vec<String>, CallError> {
    absent(error, "NoSuchEntity").map(Option::unwrap_or_default)
}

fn gone<T>(done: Result<T, CallError>) -> Result<(), CallError> {
    match done {
        Ok(_) => Ok(()),
        Err(error) => absent::<()>(error, "NoSuchEntity").map(|_| ()),
    }
}

fn unsent<E>(
    error: aws_sdk_eks::error::BuildError,
) -> aws_sdk_eks::error::SdkError<E, aws_sdk_eks::config::http::HttpResponse> {
    aws_sdk_eks::error::SdkError::construction_failure(error)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
