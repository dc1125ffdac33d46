//! What a service account says about its pods, in a form small enough for fifty thousand of them.

use crate::role::clamp_expiration;

/// The annotations of one service account, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The role as written; never empty.
    pub role: Option<Box<str>>,
    /// The audience of the token, which may be empty.
    pub audience: Option<Box<str>>,
    /// Whether SDKs use the Region's own STS endpoint.
    pub regional_sts: Option<bool>,
    /// How long the token lives, in seconds, within what the API server accepts.
    pub token_expiration: Option<i64>,
    /// Annotations whose value says nothing.
    pub ignored: u8,
}

impl Identity {
    /// Reads the annotations that begin with the prefix and a slash. A value that cannot be read is as none.
    pub fn from_annotations<'a>(
        prefix: &str,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut identity = Self::default();
        for (key, value) in annotations {
            let name = key
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/'));
            match name {
                Some("role-arn") => identity.role = (!value.is_empty()).then(|| value.into()),
                Some("audience") => identity.audience = Some(value.into()),
                Some("sts-regional-endpoints") => {
                    identity.regional_sts = parse_bool(value);
                    identity.ignored += u8::from(identity.regional_sts.is_none());
                }
                Some("token-expiration") => {
                    identity.token_expiration = parse_expiration(value);
                    identity.ignored += u8::from(identity.token_expiration.is_none());
                }
                _ => {}
            }
        }
        identity
    }

    /// Whether no annotation says anything.
    pub fn is_bare(&self) -> bool {
        *self == Self::default()
    }
}

/// Go's `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt` in base 10, within what the API server accepts. Seconds.
pub fn parse_expiration(text: &str) -> Option<i64> {
    text.parse().ok().map(clamp_expiration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_as_go_reads_them() {
        let read = |name: &str, value: &str| {
            let key = format!("eks.amazonaws.com/{name}");
            Identity::from_annotations("eks.amazonaws.com", [(key.as_str(), value)])
        };
        assert_eq!(read("role-arn", "x").role.as_deref(), Some("x"));
        assert_eq!(read("role-arn", ""), Identity::default());
        assert_eq!(read("audience", "").audience.as_deref(), Some(""));
        for (text, seconds) in [
            ("0", Some(600)),
            ("-5", Some(600)),
            ("+3600", Some(3_600)),
            ("10000", Some(10_000)),
            ("9223372036854775807", Some(1 << 32)),
            ("9223372036854775808", None),
            ("1_000", None),
            (" 3600", None),
            ("1h", None),
            ("", None),
        ] {
            assert_eq!(
                read("token-expiration", text).token_expiration,
                seconds,
                "{text}"
            );
        }
        assert_eq!(read("sts-regional-endpoints", "yes").regional_sts, None);
        assert_eq!(read("sts-regional-endpoints", "yes").ignored, 1);
    }

    #[test]
    fn other_prefixes_are_not_ours() {
        let others = [
            ("eks.amazonaws.com.example/role-arn", "x"),
            ("role-arn", "x"),
            ("irsa/role-arn", "x"),
        ];
        assert!(Identity::from_annotations("eks.amazonaws.com", others).is_bare());
        assert!(!Identity::from_annotations("irsa", others).is_bare());
    }
}
