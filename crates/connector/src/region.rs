//! AWS Regions and partitions, and where EKS Connector is offered.

use std::fmt;

use irsa_core::explain::Explain;
use irsa_core::partition::Partition;

/// Partitions without EKS Connector: the EKS user guide excludes China and `GovCloud`; the isolated ones cannot be reached
/// from clusters outside.
const WITHOUT_CONNECTOR: [&str; 6] = [
    "aws-cn",
    "aws-us-gov",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
];

/// A Region in which a cluster can be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorRegion {
    name: String,
    partition: &'static str,
}

/// Why a cluster cannot be connected in a Region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// No Region has such a name.
    #[error("\"{0}\" is no AWS Region, expected a name like eu-central-1")]
    Malformed(String),
    /// AWS does not offer it there.
    #[error(
        "EKS Connector is not offered in Region \"{region}\" (partition {partition}), expected a commercial Region"
    )]
    Unsupported {
        /// Which Region.
        region: String,
        /// Its partition.
        partition: &'static str,
    },
}

impl Explain for RegionError {
    fn help(&self) -> Option<String> {
        Some("give the Region of the console in which the cluster is to be seen, like --region eu-central-1".into())
    }
}

impl ConnectorRegion {
    /// Reads a Region's name.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let mut parts = text.split('-');
        let area = parts.next().unwrap_or_default();
        let rest: Vec<_> = parts.collect();
        let number = rest.last().copied().unwrap_or_default();
        let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
        let well_formed = letters(area)
            && rest.len() >= 2
            && rest.iter().rev().skip(1).all(|part| letters(part))
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit());
        if !well_formed {
            return Err(RegionError::Malformed(text.to_owned()));
        }
        let partition = Partition::of_region(text).name;
        if WITHOUT_CONNECTOR.contains(&partition) {
            return Err(RegionError::Unsupported {
                region: text.to_owned(),
                partition,
            });
        }
        Ok(Self {
            name: text.to_owned(),
            partition,
        })
    }

    /// The Region's name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The partition of its ARNs.
    pub const fn partition(&self) -> &'static str {
        self.partition
    }
}

impl fmt::Display for ConnectorRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether an ARN may begin with this partition.
pub(crate) fn is_partition(text: &str) -> bool {
    Partition::named(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_know_their_partition() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("ap-southeast-12", "aws"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(
                ConnectorRegion::parse(region).unwrap().partition(),
                partition
            );
        }
    }

    #[test]
    fn regions_without_the_service_are_refused_before_any_call() {
        for region in [
            "cn-north-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
        ] {
            assert!(
                matches!(
                    ConnectorRegion::parse(region),
                    Err(RegionError::Unsupported { .. })
                ),
                "{region}"
            );
        }
    }

    #[test]
    fn what_is_no_region_is_refused() {
        for text in [
            "",
            "eu",
            "eu-1",
            "EU-central-1",
            "eu_central_1",
            "eu-central-",
            "eu-central-1a",
            "-central-1",
            "http://x",
        ] {
            assert!(
                matches!(ConnectorRegion::parse(text), Err(RegionError::Malformed(_))),
                "{text}"
            );
        }
    }
}
