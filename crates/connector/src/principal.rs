//! IAM principals as the EKS console names them to a connected cluster.
//!
//! The connector's proxy impersonates the Kubernetes user whose name is the caller's IAM ARN. For a role that is the
//! role's ARN, never the session's, and without the role's path; so a single sign-on role is
//! `arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_0123456789abcdef` although its real ARN has
//! `/aws-reserved/sso.amazonaws.com/REGION/` in it. A grant for any other form is never matched.

use std::fmt;

use irsa_core::explain::Explain;

use crate::region::is_partition;

/// The ARN by which the console names a user or role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsoleArn(String);

/// Why a text is no principal that the console could name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" cannot be granted access: {reason}")]
pub struct PrincipalError {
    given: String,
    reason: &'static str,
}

impl Explain for PrincipalError {
    fn help(&self) -> Option<String> {
        Some("name an IAM user or role, like arn:aws:iam::111122223333:role/Admin; aws sts get-caller-identity shows yours".into())
    }
}

impl ConsoleArn {
    /// Brings the ARN of a user, role or role session into the form that the console sends.
    pub fn parse(text: &str) -> Result<Self, PrincipalError> {
        let fail = |reason| PrincipalError {
            given: text.to_owned(),
            reason,
        };
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let [scheme, partition, service, region, account, resource] = parts.as_slice() else {
            return Err(fail(
                "it is no ARN, expected arn:PARTITION:iam::ACCOUNT:role/NAME or user/NAME",
            ));
        };
        if *scheme != "arn" || !is_partition(partition) {
            return Err(fail(
                "it is no ARN of a known partition, expected arn:aws:… or like it",
            ));
        }
        if !region.is_empty() || !matches!(*service, "iam" | "sts") {
            return Err(fail(
                "it is no ARN of IAM or STS, expected arn:PARTITION:iam::…",
            ));
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail("it has no account of 12 digits"));
        }
        if !resource.bytes().all(is_name_byte) {
            return Err(fail(
                "it has a character that no IAM name has; wildcards are not understood by Kubernetes",
            ));
        }
        let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let last = rest.rsplit('/').next().unwrap_or_default();
        let role = |name: &str| format!("arn:{partition}:iam::{account}:role/{name}");
        match (*service, kind) {
            ("iam", "root") if rest.is_empty() => Ok(Self(text.to_owned())),
            ("iam", "role") if !last.is_empty() => Ok(Self(role(last))),
            ("iam", "user") | ("sts", "federated-user") if !last.is_empty() => {
                Ok(Self(text.to_owned()))
            }
            ("sts", "assumed-role") => match rest.split_once('/') {
                Some((name, session)) if !name.is_empty() && !session.is_empty() => {
                    Ok(Self(role(name)))
                }
                _ => Err(fail(
                    "it names no role session, expected assumed-role/ROLE/SESSION",
                )),
            },
            ("iam", "group") => Err(fail(
                "it is a group, and AWS names only users and roles to the cluster",
            )),
            _ => Err(fail(
                "it is neither a user nor a role, expected role/NAME or user/NAME",
            )),
        }
    }

    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The characters of IAM names and paths, and `:` of federated user names (IAM user guide, "IAM and STS quotas").
const fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'+' | b'=' | b',' | b'.' | b'@' | b'_' | b'-' | b'/' | b':'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_become_what_the_console_sends() {
        let account = "111122223333";
        for (given, sent) in [
            ("iam::A:user/alice", "iam::A:user/alice"),
            ("iam::A:user/team/alice", "iam::A:user/team/alice"),
            ("iam::A:role/Admin", "iam::A:role/Admin"),
            ("iam::A:role/team/blue/Admin", "iam::A:role/Admin"),
            (
                "iam::A:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef",
                "iam::A:role/AWSReservedSSO_Admin_0123456789abcdef",
            ),
            (
                "iam::A:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123456789abcdef",
                "iam::A:role/AWSReservedSSO_Admin_0123456789abcdef",
            ),
            (
                "sts::A:assumed-role/Admin/alice@example.com",
                "iam::A:role/Admin",
            ),
            ("sts::A:assumed-role/Admin/a=b,c", "iam::A:role/Admin"),
            ("sts::A:federated-user/bob", "sts::A:federated-user/bob"),
            ("iam::A:root", "iam::A:root"),
        ] {
            for partition in ["aws", "aws-cn", "aws-us-gov", "aws-eusc"] {
                let arn = |rest: &str| format!("arn:{partition}:{}", rest.replace('A', account));
                // the letter A also stands in names
                let arn = |rest: &str| {
                    arn(&rest
                        .replacen("::A:", &format!("::{account}:"), 1)
                        .replace('A', "\u{1}"))
                    .replace('\u{1}', "A")
                };
                assert_eq!(
                    ConsoleArn::parse(&arn(given)).unwrap().as_str(),
                    arn(sent),
                    "{given}"
                );
            }
        }
    }

    #[test]
    fn what_nobody_can_be_is_refused() {
        for text in [
            "",
            "alice",
            "arn:aws:iam::111122223333",
            "arn:azure:iam::111122223333:user/a",
            "arn:aws:iam::1111:user/a",
            "arn:aws:iam::11112222333x:user/a",
            "arn:aws:iam:eu-west-1:111122223333:user/a",
            "arn:aws:s3::111122223333:role/a",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:*",
            "arn:aws:iam::111122223333:group/g",
            "arn:aws:iam::111122223333:policy/p",
            "arn:aws:iam::111122223333:assumed-role/r/s",
            "arn:aws:sts::111122223333:assumed-role/r",
            "arn:aws:sts::111122223333:assumed-role//s",
            "arn:aws:sts::111122223333:role/r",
            "arn:aws:iam::111122223333:user/a\nb",
            "arn:aws:iam::111122223333:rootx",
        ] {
            assert!(ConsoleArn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_form_is_its_own_form() {
        let once = ConsoleArn::parse("arn:aws:iam::111122223333:role/a/b").unwrap();
        assert_eq!(ConsoleArn::parse(once.as_str()).unwrap(), once);
    }
}
