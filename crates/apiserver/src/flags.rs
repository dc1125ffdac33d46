//! The flags of kube-apiserver and kube-controller-manager that decide which tokens are signed and accepted.

use std::collections::BTreeMap;
use std::fmt;

/// A flag that we read or write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `--service-account-issuer` (a `StringArray`: repeated, never split at commas). The first one signs, all are
    /// accepted.
    Issuer,
    /// `--service-account-key-file` (a `StringArray`). Every key in every file is accepted.
    KeyFile,
    /// `--service-account-signing-key-file` (one; the last one wins).
    SigningKeyFile,
    /// `--service-account-jwks-uri` (one): what the discovery document of kube-apiserver points to.
    JwksUri,
    /// `--api-audiences` (a `StringSlice`: repeated or split at commas). Without it: the issuers.
    ApiAudiences,
    /// `--service-account-signing-endpoint` (one): an external signer, which excludes the key files.
    SigningEndpoint,
    /// `--service-account-private-key-file` of kube-controller-manager (one): signs tokens of legacy Secrets.
    PrivateKeyFile,
}

/// How kube-apiserver reads several values of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// One value; the last one wins.
    One,
    /// Each occurrence is a value.
    Array,
    /// Each occurrence is a list with commas.
    Slice,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 7] = [
        Self::Issuer,
        Self::KeyFile,
        Self::SigningKeyFile,
        Self::JwksUri,
        Self::ApiAudiences,
        Self::SigningEndpoint,
        Self::PrivateKeyFile,
    ];

    /// Its name, without hyphens in front.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issuer => "service-account-issuer",
            Self::KeyFile => "service-account-key-file",
            Self::SigningKeyFile => "service-account-signing-key-file",
            Self::JwksUri => "service-account-jwks-uri",
            Self::ApiAudiences => "api-audiences",
            Self::SigningEndpoint => "service-account-signing-endpoint",
            Self::PrivateKeyFile => "service-account-private-key-file",
        }
    }

    /// The flag of this name. Kubernetes takes underscores for hyphens.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('_', "-");
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    /// How several values are read.
    pub const fn arity(self) -> Arity {
        match self {
            Self::Issuer | Self::KeyFile => Arity::Array,
            Self::ApiAudiences => Arity::Slice,
            Self::SigningKeyFile | Self::JwksUri | Self::SigningEndpoint | Self::PrivateKeyFile => {
                Arity::One
            }
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name())
    }
}

/// The values of the flags: as they stand, or as a distribution sets them by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenFlags(BTreeMap<Flag, Vec<String>>);

impl TokenFlags {
    /// The values of these flags.
    pub fn new(flags: impl IntoIterator<Item = (Flag, String)>) -> Self {
        let mut values = Self::default();
        for (flag, value) in flags {
            values.add(flag, value);
        }
        values
    }

    /// Adds one occurrence.
    pub fn add(&mut self, flag: Flag, value: String) {
        let values = self.0.entry(flag).or_default();
        match flag.arity() {
            Arity::One => *values = vec![value],
            Arity::Array => values.push(value),
            Arity::Slice => values.extend(
                value
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned),
            ),
        }
    }

    /// The values of a flag; empty when it is not set.
    pub fn values(&self, flag: Flag) -> &[String] {
        self.0.get(&flag).map_or(&[], Vec::as_slice)
    }

    /// The value of a flag that has one.
    pub fn value(&self, flag: Flag) -> Option<&str> {
        self.values(flag).last().map(String::as_str)
    }

    /// Whether it is set.
    pub fn has(&self, flag: Flag) -> bool {
        !self.values(flag).is_empty()
    }

    /// Replaces the values of a flag.
    pub fn set(&mut self, flag: Flag, values: Vec<String>) {
        self.0.insert(flag, values);
    }

    /// These flags, and for those that are not set the distribution's own.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        let mut flags = defaults.0.clone();
        flags.extend(self.0.iter().map(|(flag, values)| (*flag, values.clone())));
        Self(flags)
    }

    /// What kube-apiserver takes for audiences of its own: those given, else the issuers.
    pub fn audiences(&self) -> &[String] {
        if self.has(Flag::ApiAudiences) {
            self.values(Flag::ApiAudiences)
        } else {
            self.values(Flag::Issuer)
        }
    }
}

/// What one flag becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagChange {
    /// Which flag.
    pub flag: Flag,
    /// What is in force, given or by default.
    pub before: Vec<String>,
    /// What will be.
    pub after: Vec<String>,
}

impl fmt::Display for FlagChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[String]| {
            if values.is_empty() {
                "not set".to_owned()
            } else {
                values.join(" ")
            }
        };
        write!(
            f,
            "{}: {} -> {}",
            self.flag,
            list(&self.before),
            list(&self.after)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_kubernetes_reads_them() {
        let flags = TokenFlags::new(
            [
                ("service-account-issuer", "https://a,https://b"),
                ("service_account_issuer", "https://c"),
                ("service-account-signing-key-file", "x"),
                ("service-account-signing-key-file", "y"),
                ("api-audiences", "a,b"),
                ("api-audiences", "c"),
            ]
            .map(|(name, value)| (Flag::named(name).unwrap(), value.to_owned())),
        );
        assert_eq!(
            flags.values(Flag::Issuer),
            ["https://a,https://b", "https://c"]
        );
        assert_eq!(flags.value(Flag::SigningKeyFile), Some("y"));
        assert_eq!(flags.audiences(), ["a", "b", "c"]);
        assert!(!flags.has(Flag::JwksUri));
    }

    #[test]
    fn audiences_follow_the_issuers() {
        let flags = TokenFlags::new([(Flag::Issuer, "https://a".to_owned())]);
        assert_eq!(flags.audiences(), ["https://a"]);
    }
}
