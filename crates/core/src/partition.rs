//! AWS partitions: groups of Regions that share nothing but their software.

/// A group of Regions with accounts and names of its own (AWS General Reference, "Partitions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The second field of every ARN.
    pub name: &'static str,
    /// What host names end in.
    pub dns_suffix: &'static str,
    region_prefix: &'static str,
}

/// The commercial partition comes last: its Regions have no common prefix.
pub(crate) const PARTITIONS: [Partition; 8] = [
    partition("aws-cn", "amazonaws.com.cn", "cn-"),
    partition("aws-us-gov", "amazonaws.com", "us-gov-"),
    partition("aws-eusc", "amazonaws.eu", "eusc-"),
    partition("aws-iso", "c2s.ic.gov", "us-iso-"),
    partition("aws-iso-b", "sc2s.sgov.gov", "us-isob-"),
    partition("aws-iso-e", "cloud.adc-e.uk", "eu-isoe-"),
    partition("aws-iso-f", "csp.hci.ic.gov", "us-isof-"),
    partition("aws", "amazonaws.com", ""),
];

const fn partition(
    name: &'static str,
    dns_suffix: &'static str,
    region_prefix: &'static str,
) -> Partition {
    Partition {
        name,
        dns_suffix,
        region_prefix,
    }
}

impl Partition {
    /// The partition of a Region.
    pub fn of_region(region: &str) -> Self {
        let found = PARTITIONS
            .iter()
            .find(|partition| region.starts_with(partition.region_prefix));
        *found.unwrap_or(&PARTITIONS[7])
    }

    /// The partition with this name in ARNs.
    pub fn named(name: &str) -> Option<Self> {
        PARTITIONS
            .iter()
            .find(|partition| partition.name == name)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_partitions() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            let found = Partition::of_region(region);
            assert_eq!(found.name, partition, "{region}");
            assert_eq!(Partition::named(partition), Some(found));
        }
    }
}
