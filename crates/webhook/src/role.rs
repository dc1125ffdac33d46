//! IAM role ARNs as they stand in annotations.

/// The least time that a projected token may live, in seconds: what the API server accepts.
pub const MIN_EXPIRATION: i64 = 600;
/// The longest, in seconds: 2^32, what the API server accepts.
pub const MAX_EXPIRATION: i64 = 1 << 32;

/// An expiration within what the API server accepts: a pod outside of it would be refused.
pub fn clamp_expiration(seconds: i64) -> i64 {
    seconds.clamp(MIN_EXPIRATION, MAX_EXPIRATION)
}

/// Whether upstream's pattern takes the text for a role ARN:
/// `^arn:aws[a-z0-9-]*:iam::\d{12}:role/[\w-/.@+=,]+$`.
pub fn is_role_arn(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let partition = |text: &str| {
        text.strip_prefix("aws").is_some_and(|rest| {
            rest.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    };
    let account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let role = |text: &str| {
        text.strip_prefix("role/")
            .is_some_and(|name| !name.is_empty() && name.bytes().all(is_role_byte))
    };
    next() == "arn"
        && partition(next())
        && next() == "iam"
        && next().is_empty()
        && account(next())
        && role(next())
}

fn is_role_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"_-/.@+=,".contains(&b)
}

/// The account whose roles may be named without ARN (upstream's `--compose-role-arn`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    id: String,
    partition: String,
}

/// Why an account cannot be used to compose ARNs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not an account ID.
    #[error("account ID \"{0}\" is not twelve digits")]
    Id(String),
    /// Not a partition.
    #[error("partition \"{0}\" is not aws, aws-cn, aws-us-gov or another aws-…")]
    Partition(String),
}

impl Account {
    /// An account of twelve digits in a partition like `aws` or `aws-cn`.
    pub fn new(id: &str, partition: &str) -> Result<Self, AccountError> {
        let probe = |id: &str, partition: &str| is_role_arn(&arn(id, partition, "x"));
        if !probe(id, "aws") {
            return Err(AccountError::Id(id.to_owned()));
        }
        if !probe(id, partition) {
            return Err(AccountError::Partition(partition.to_owned()));
        }
        Ok(Self {
            id: id.to_owned(),
            partition: partition.to_owned(),
        })
    }

    /// The ARN of a role that is named by its name or path; an ARN stays as it is.
    pub fn compose(&self, role: &str) -> String {
        if role.contains("arn:") {
            role.to_owned()
        } else {
            arn(&self.id, &self.partition, role)
        }
    }
}

fn arn(id: &str, partition: &str, role: &str) -> String {
    format!("arn:{partition}:iam::{id}:role/{role}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_are_told_from_other_texts() {
        for good in [
            "arn:aws:iam::111122223333:role/s3-reader",
            "arn:aws-cn:iam::111122223333:role/team/a_b.c@d+e=f,g",
            "arn:aws-iso-b:iam::111122223333:role//",
        ] {
            assert!(is_role_arn(good), "{good}");
        }
        for bad in [
            "",
            "s3-reader",
            "arn:aws:iam::11112222333:role/a",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:user/a",
            "arn:aws:iam:us-east-1:111122223333:role/a",
            "arn:AWS:iam::111122223333:role/a",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws:iam::111122223333:role/a:b",
            "arn:aws:iam::111122223333:role/a\n",
            " arn:aws:iam::111122223333:role/a",
        ] {
            assert!(!is_role_arn(bad), "{bad}");
        }
    }

    #[test]
    fn k10_names_become_arns_and_arns_stay() {
        let account = Account::new("111122223333", "aws").unwrap();
        let arn = "arn:aws:iam::111122223333:role/s3-reader";
        assert_eq!(account.compose("s3-reader"), arn);
        assert_eq!(account.compose(arn), arn);
        assert_eq!(
            account.compose("team/app"),
            "arn:aws:iam::111122223333:role/team/app"
        );
        assert!(Account::new("1", "aws").is_err());
        assert!(Account::new("111122223333", "gcp").is_err());
    }
}
