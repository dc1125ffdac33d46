//! The IAM documents of a connected cluster: the agent role's two, and the operator's.

use serde_json::{Value, json};

use crate::json::at;
use crate::role::{ROLE_PREFIX, SERVICE_LINKED_ROLE, SERVICE_PRINCIPAL};

/// Which part of the operator's work a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// `irsa connector register`.
    Register,
    /// `irsa connector deregister`.
    Deregister,
    /// `irsa connector status` and `doctor`.
    Observe,
    /// Browsing the cluster in the console.
    View,
}

/// What the operator's policy is narrowed to.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// Partition of the ARNs.
    pub partition: &'a str,
    /// Region, or `*`.
    pub region: &'a str,
    /// Account, or `*`.
    pub account: &'a str,
    /// Cluster name, or `*`.
    pub cluster: &'a str,
    /// The agent role to pass, when it is not one that irsa makes: then no rights on roles are needed.
    pub role_arn: Option<&'a str>,
}

/// Who may take the agent role: Systems Manager (EKS user guide, "Amazon EKS connector IAM role").
pub fn trust_policy() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "EKSConnectorAccess",
            "Effect": "Allow",
            "Principal": {"Service": ["ssm.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }],
    })
}

/// What the agent role may do: hold the channels to Systems Manager (EKS user guide, "Amazon EKS connector IAM role").
pub fn agent_policy(partition: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SsmControlChannel",
                "Effect": "Allow",
                "Action": ["ssmmessages:CreateControlChannel"],
                "Resource": format!("arn:{partition}:eks:*:*:cluster/*"),
            },
            {
                "Sid": "ssmDataplaneOperations",
                "Effect": "Allow",
                "Action": [
                    "ssmmessages:CreateDataChannel",
                    "ssmmessages:OpenDataChannel",
                    "ssmmessages:OpenControlChannel",
                ],
                "Resource": "*",
            },
        ],
    })
}

/// The least policy for an operator who does these parts of the work.
pub fn operator_policy(work: &[Work], scope: &Scope<'_>) -> Value {
    let does = |part| work.contains(&part);
    let (register, deregister) = (does(Work::Register), does(Work::Deregister));
    let mut statements = Vec::new();
    if register {
        statements.extend(register_statements(scope));
    }
    if deregister {
        statements.extend(deregister_statements(scope));
    }
    if register || deregister || does(Work::Observe) {
        statements.extend(observe_statements(scope));
    }
    if does(Work::View) {
        statements.extend(view_statements(scope));
    }
    if scope.role_arn.is_none() && (register || deregister) {
        statements.extend(role_statements(register, deregister, scope));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn register_statements(scope: &Scope<'_>) -> Vec<Value> {
    let service_linked = format!(
        "arn:{}:iam::{}:role/aws-service-role/{SERVICE_PRINCIPAL}/{SERVICE_LINKED_ROLE}",
        scope.partition, scope.account
    );
    vec![
        // Neither action knows resources.
        json!({
            "Sid": "RegisterCluster",
            "Effect": "Allow",
            "Action": ["eks:RegisterCluster", "ssm:CreateActivation"],
            "Resource": "*",
        }),
        json!({
            "Sid": "UndoALostRegistration",
            "Effect": "Allow",
            "Action": ["eks:DeregisterCluster"],
            "Resource": cluster(scope),
        }),
        json!({
            "Sid": "UndoALostActivation",
            "Effect": "Allow",
            "Action": ["ssm:DeleteActivation"],
            "Resource": "*",
        }),
        json!({
            "Sid": "PassTheAgentRole",
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": agent_role(scope),
            "Condition": {"StringEquals": {"iam:PassedToService": "ssm.amazonaws.com"}},
        }),
        json!({
            "Sid": "ServiceLinkedRole",
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole"],
            "Resource": service_linked,
            "Condition": {"StringEquals": {"iam:AWSServiceName": SERVICE_PRINCIPAL}},
        }),
        // Every registration carries its mark.
        json!({
            "Sid": "TagTheCluster",
            "Effect": "Allow",
            "Action": ["eks:TagResource"],
            "Resource": cluster(scope),
        }),
    ]
}

fn deregister_statements(scope: &Scope<'_>) -> Vec<Value> {
    vec![
        json!({
            "Sid": "DeregisterCluster",
            "Effect": "Allow",
            "Action": ["eks:DeregisterCluster"],
            "Resource": cluster(scope),
        }),
        json!({
            "Sid": "DeleteTheActivation",
            "Effect": "Allow",
            "Action": ["ssm:DeleteActivation"],
            "Resource": "*",
        }),
        json!({
            "Sid": "DeregisterTheAgents",
            "Effect": "Allow",
            "Action": ["ssm:DeregisterManagedInstance"],
            // The agents are known to Systems Manager by both names.
            "Resource": [
                cluster(scope),
                format!("arn:{}:ssm:{}:{}:managed-instance/*", scope.partition, scope.region, scope.account),
            ],
        }),
    ]
}

fn observe_statements(scope: &Scope<'_>) -> Vec<Value> {
    let service_linked = format!(
        "arn:{}:iam::{}:role/aws-service-role/{SERVICE_PRINCIPAL}/{SERVICE_LINKED_ROLE}",
        scope.partition, scope.account
    );
    vec![
        json!({
            "Sid": "SeeTheCluster",
            "Effect": "Allow",
            "Action": ["eks:DescribeCluster"],
            "Resource": cluster(scope),
        }),
        json!({
            "Sid": "SeeTheRoles",
            "Effect": "Allow",
            "Action": ["iam:GetRole", "iam:GetRolePolicy"],
            "Resource": [agent_role(scope), service_linked],
        }),
    ]
}

fn view_statements(scope: &Scope<'_>) -> Vec<Value> {
    vec![
        json!({
            "Sid": "BrowseTheCluster",
            "Effect": "Allow",
            "Action": ["eks:AccessKubernetesApi", "eks:DescribeCluster"],
            "Resource": cluster(scope),
        }),
        json!({
            "Sid": "ListClusters",
            "Effect": "Allow",
            "Action": ["eks:ListClusters"],
            "Resource": "*",
        }),
    ]
}

fn role_statements(register: bool, deregister: bool, scope: &Scope<'_>) -> Option<Value> {
    let mut actions = Vec::new();
    if register {
        actions.extend(["iam:CreateRole", "iam:TagRole", "iam:PutRolePolicy"]);
    }
    // A registration that is refused takes its role back.
    if register || deregister {
        actions.extend([
            "iam:ListRolePolicies",
            "iam:ListAttachedRolePolicies",
            "iam:DeleteRolePolicy",
            "iam:DetachRolePolicy",
            "iam:DeleteRole",
        ]);
    }
    (!actions.is_empty()).then(|| {
        json!({
            "Sid": "OwnAgentRole",
            "Effect": "Allow",
            "Action": actions,
            "Resource": agent_role(scope),
        })
    })
}

fn cluster(scope: &Scope<'_>) -> String {
    format!(
        "arn:{}:eks:{}:{}:cluster/{}",
        scope.partition, scope.region, scope.account, scope.cluster
    )
}

fn agent_role(scope: &Scope<'_>) -> String {
    match scope.role_arn {
        Some(arn) => arn.to_owned(),
        None => format!(
            "arn:{}:iam::{}:role/{ROLE_PREFIX}*",
            scope.partition, scope.account
        ),
    }
}

/// Whether `document` lets Systems Manager take the role.
pub fn trusts_systems_manager(document: &Value) -> bool {
    statements(document).any(|statement| {
        let allows = at(statement, &["Effect"]) == "Allow"
            && any_of(at(statement, &["Action"]), |action| {
                action == "sts:AssumeRole" || action == "sts:*" || action == "*"
            });
        allows
            && any_of(at(statement, &["Principal", "Service"]), |service| {
                service == "ssm.amazonaws.com"
            })
    })
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    let statement = at(document, &["Statement"]);
    match statement.as_array() {
        Some(all) => all.iter(),
        None => std::slice::from_ref(statement).iter(),
    }
}

fn any_of(value: &Value, fits: impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => fits(text),
        Value::Array(all) => all.iter().filter_map(Value::as_str).any(fits),
        _ => false,
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
