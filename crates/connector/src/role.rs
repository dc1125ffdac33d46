//! The agent role that irsa makes for a cluster, and how it is known again.
//!
//! Its name is computed from the cluster, so that a run after a crash finds the role of the run before; its tag says
//! whose it is, so that no role of somebody else is ever changed or deleted.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::name::ClusterName;
use crate::region::ConnectorRegion;

/// What the names of all agent roles begin with; the operator's policy is narrowed to it.
pub const ROLE_PREFIX: &str = "irsa-connector-";
/// The inline policy of an agent role.
pub const POLICY_NAME: &str = "eks-connector-agent";
/// The tag that holds the cluster's ARN.
pub const OWNER_TAG: &str = "irsa:connected-cluster";
/// The tag, on the agent role and on the cluster in EKS, that holds the mark of the registration that made it.
///
/// Role name and cluster name are the same for everybody who registers the cluster; the mark stands in one journal only.
pub const MARK_TAG: &str = "irsa:registration";
/// The service-linked role of EKS Connector.
pub const SERVICE_LINKED_ROLE: &str = "AWSServiceRoleForAmazonEKSConnector";
/// The service that the service-linked role belongs to.
pub const SERVICE_PRINCIPAL: &str = "eks-connector.amazonaws.com";
/// The longest name that IAM takes for a role, in characters.
const MAX_ROLE_CHARS: usize = 64;

/// A cluster with the place where it is registered: what every name and ARN is derived from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The Region.
    pub region: ConnectorRegion,
    /// The account, 12 digits.
    pub account: String,
    /// The cluster's name.
    pub name: ClusterName,
}

impl Registration {
    /// The ARN that the cluster has or will have.
    pub fn cluster_arn(&self) -> String {
        format!(
            "arn:{}:eks:{}:{}:cluster/{}",
            self.region.partition(),
            self.region,
            self.account,
            self.name
        )
    }

    /// The name of the agent role that irsa makes. Two clusters never share one: the end is a hash of the ARN.
    pub fn role_name(&self) -> String {
        let digest = Sha256::digest(self.cluster_arn().as_bytes());
        let hash = base16ct::lower::encode_string(digest.get(..5).unwrap_or_default());
        let room = MAX_ROLE_CHARS - ROLE_PREFIX.len() - 1 - hash.len();
        let name: String = self.name.as_str().chars().take(room).collect();
        format!("{ROLE_PREFIX}{name}-{hash}")
    }

    /// The ARN of [`role_name`](Self::role_name).
    pub fn role_arn(&self) -> String {
        format!(
            "arn:{}:iam::{}:role/{}",
            self.region.partition(),
            self.account,
            self.role_name()
        )
    }

    /// The tag that the role carries.
    pub fn role_tag(&self) -> (&'static str, String) {
        (OWNER_TAG, self.cluster_arn())
    }

    /// Whether these tags say that a role was made by irsa for this cluster.
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(OWNER_TAG) == Some(&self.cluster_arn())
    }

    /// Whether these tags say that a role was made by the registration with this mark.
    pub fn made(&self, tags: &BTreeMap<String, String>, mark: &str) -> bool {
        self.owns(tags) && !mark.is_empty() && tags.get(MARK_TAG).is_some_and(|found| found == mark)
    }
}

/// The name in a role's ARN, whatever its path; nothing for another ARN.
pub fn role_name_of(arn: &str) -> Option<&str> {
    let (head, resource) = arn.rsplit_once(":role/")?;
    let name = resource.rsplit('/').next()?;
    (head.starts_with("arn:") && head.contains(":iam::") && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(name: &str) -> Registration {
        Registration {
            region: ConnectorRegion::parse("eu-central-1").unwrap(),
            account: "111122223333".into(),
            name: ClusterName::parse(name).unwrap(),
        }
    }

    #[test]
    fn role_names_fit_and_differ() {
        let long = "x".repeat(100);
        let other = format!("{}y", "x".repeat(99));
        for name in ["a", "prod_1", &long, &other] {
            let role = registration(name).role_name();
            assert!(
                role.len() <= MAX_ROLE_CHARS && role.starts_with(ROLE_PREFIX),
                "{role}"
            );
        }
        assert_ne!(
            registration(&long).role_name(),
            registration(&other).role_name()
        );
        let mut elsewhere = registration("a");
        elsewhere.region = ConnectorRegion::parse("eu-west-1").unwrap();
        assert_ne!(elsewhere.role_name(), registration("a").role_name());
        assert_eq!(
            registration("prod").role_name(),
            registration("prod").role_name()
        );
    }

    #[test]
    fn only_the_tag_of_this_cluster_is_ours() {
        let (key, value) = registration("a").role_tag();
        let tags = BTreeMap::from([(key.to_owned(), value)]);
        assert!(registration("a").owns(&tags));
        assert!(!registration("b").owns(&tags));
        assert!(!registration("a").owns(&BTreeMap::new()));
    }

    #[test]
    fn a_role_name_is_read_whatever_the_path() {
        for (arn, name) in [
            ("arn:aws:iam::111122223333:role/R", Some("R")),
            ("arn:aws:iam::111122223333:role/a/b/R", Some("R")),
            ("arn:aws:iam::111122223333:role/", None),
            ("arn:aws:iam::111122223333:user/R", None),
            ("R", None),
        ] {
            assert_eq!(role_name_of(arn), name, "{arn}");
        }
    }
}
