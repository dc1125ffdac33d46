//! What is wrong with the token flags of a file, each fault with the strings that differ and the way to mend it.

mod issuer;
mod published;
mod seen;
mod signing;
mod wanted;

use std::collections::BTreeSet;

use irsa_core::block::{KeyFile, Verdict};
use irsa_core::kid::Kid;
use irsa_core::provider::STS_AUDIENCE;
use serde::Serialize;

pub use self::published::published_by_distribution;
pub use self::seen::Seen;
pub use self::signing::{Unverified, between, demand_verified};
use crate::component::Role;
use crate::flags::{Arity, Flag, TokenFlags};
use crate::mounts::is_below;
use crate::plan::{Wanted, bad_issuer, is_comma_joined};
use crate::shape::Occurrence;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Tokens are or will be refused, or accepted where they must not be.
    Problem,
    /// Something to know.
    Note,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The flag that it is about, as an index of the occurrences; none for what is missing.
    #[serde(skip)]
    pub occurrence: Option<usize>,
    /// What is, and what was expected.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Finding {
    /// For people: the fault, with where it is in front, and the way to mend it.
    pub fn text(&self, place: &str) -> String {
        let severity = match self.severity {
            Severity::Problem => "problem",
            Severity::Note => "note",
        };
        format!(
            "{severity}: {place}{}\n   help: {}",
            self.message, self.help
        )
    }
}

/// What is known of one component.
#[derive(Debug)]
pub struct Inspected<'a> {
    /// Which program.
    pub role: Role,
    /// The flags as they are written.
    pub occurrences: &'a [Occurrence],
    /// The flags in force.
    pub flags: &'a TokenFlags,
    /// Whether nothing but the file sets flags: what is not in it is not set.
    pub whole: bool,
    /// Each verification key file.
    pub key_files: &'a [(String, Seen<KeyFile>)],
    /// The key that signs: kube-apiserver's, or kube-controller-manager's for legacy Secrets.
    pub signing: Option<&'a (String, Seen<Kid>)>,
}

/// What was not looked at because it cannot be seen from here, a note for each file that the flags name.
pub fn not_looked_at(inspected: &Inspected<'_>) -> Vec<Finding> {
    let mut found = Findings {
        inspected,
        list: Vec::new(),
    };
    let signing = inspected.signing.into_iter();
    let signing = signing.map(|(path, seen)| (path, seen.state()));
    let verification = inspected.key_files.iter();
    let verification = verification.map(|(path, seen)| (path, seen.state()));
    for (path, seen) in verification.chain(signing) {
        let why = match seen {
            Seen::NotHere => "is not on this host",
            Seen::Denied => "cannot be read by this user",
            _ => continue,
        };
        // A path that the distribution chose is nobody's to look at.
        if inspected.occurrences.iter().any(|one| one.value == *path) {
            found.note(
                Some((found.flag_of(path), path)),
                format!("\"{path}\" {why}: its keys were not looked at"),
                "run it on the node as root; irsa apiserver check --root DIR looks at a copy of the node's files",
            );
        }
    }
    found.list
}

/// The faults of one component; with `wanted`, also what differs from it.
pub fn of_component(inspected: &Inspected<'_>, wanted: Option<&Wanted>) -> Vec<Finding> {
    let mut found = Findings {
        inspected,
        list: Vec::new(),
    };
    found.repeated();
    found.files();
    if inspected.role == Role::ApiServer {
        found.issuers();
        found.audiences();
        found.documents();
        found.keys_are_set();
        found.signing_key_is_verified();
        if let Some(wanted) = wanted {
            found.wanted(wanted);
        }
    }
    found.list
}

struct Findings<'a> {
    inspected: &'a Inspected<'a>,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn problem(&mut self, flag: Option<(Flag, &str)>, message: String, help: impl Into<String>) {
        self.add(Severity::Problem, flag, message, help);
    }

    fn note(&mut self, flag: Option<(Flag, &str)>, message: String, help: impl Into<String>) {
        self.add(Severity::Note, flag, message, help);
    }

    fn add(
        &mut self,
        severity: Severity,
        flag: Option<(Flag, &str)>,
        message: String,
        help: impl Into<String>,
    ) {
        let occurrence = flag.and_then(|(flag, value)| {
            let of_flag = |one: &Occurrence| one.flag == flag;
            let all = self.inspected.occurrences;
            let exact = all
                .iter()
                .position(|one| of_flag(one) && one.value == value);
            exact.or_else(|| all.iter().rposition(of_flag))
        });
        self.list.push(Finding {
            severity,
            occurrence,
            message,
            help: help.into(),
        });
    }

    /// A flag that takes one value, given twice: the last one wins, which is seldom what was meant.
    fn repeated(&mut self) {
        for flag in Flag::ALL
            .into_iter()
            .filter(|flag| flag.arity() == Arity::One)
        {
            let values: Vec<_> = self
                .inspected
                .occurrences
                .iter()
                .filter(|one| one.flag == flag)
                .map(|one| one.value.as_str())
                .collect();
            if let [.., before, last] = values.as_slice() {
                let message = format!(
                    "{flag} is given {} times: \"{last}\" is used, \"{before}\" is not",
                    values.len()
                );
                self.problem(
                    Some((flag, last)),
                    message,
                    "keep one: this flag holds a single value and the last one wins",
                );
            }
        }
    }

    fn files(&mut self) {
        let signing = self.inspected.signing.into_iter();
        let signing = signing.map(|(path, seen)| (path, seen.state(), None));
        let verification = self.inspected.key_files.iter().map(|(path, seen)| {
            let file = match seen {
                Seen::Read(file) => Some(file),
                _ => None,
            };
            (path, seen.state(), file)
        });
        let all: Vec<_> = verification.chain(signing).collect();
        for (path, seen, file) in all {
            let flag = Some((self.flag_of(path), path.as_str()));
            match seen {
                Seen::NotMounted => self.problem(
                    flag,
                    format!(
                        "\"{path}\" is in no volume of the container: {} does not start",
                        self.inspected.role
                    ),
                    "add a volume and a volumeMount for its directory",
                ),
                Seen::Unreadable(reason) => self.problem(
                    flag,
                    format!("\"{path}\" cannot be read: {reason}"),
                    format!("{} exits at its next start", self.inspected.role),
                ),
                Seen::Missing => self.problem(
                    flag,
                    format!(
                        "\"{path}\" does not exist on this host, and its directory does: {} does not start with it",
                        self.inspected.role
                    ),
                    "place it first; for the manifest of another host, irsa apiserver check --root DIR looks at a copy of that host's files",
                ),
                Seen::NotHere | Seen::Denied | Seen::Read(()) => {}
            }
            if is_below(path, "/etc/kubernetes/manifests") {
                self.problem(
                    flag,
                    format!("\"{path}\" is inside the kubelet's manifest directory"),
                    "keep keys elsewhere: the kubelet reads every file there as a pod",
                );
            }
            if let Some(file) = file {
                self.blocks(path, file);
            }
        }
    }

    fn flag_of(&self, path: &str) -> Flag {
        let occurrences = self.inspected.occurrences.iter();
        let mut named = occurrences
            .filter(|one| one.value == path)
            .map(|one| one.flag);
        named.next().unwrap_or(Flag::KeyFile)
    }

    /// Blocks that kube-apiserver passes over without a word.
    fn blocks(&mut self, path: &str, file: &KeyFile) {
        let flag = Some((Flag::KeyFile, path));
        for block in file.blocks.iter().filter(|block| block.is_key()) {
            let (Verdict::Skipped(reason)
            | Verdict::NothingElse(reason)
            | Verdict::Refused(reason)) = &block.as_verification
            else {
                continue;
            };
            self.problem(
                flag,
                format!("{path}:{}: {} is not loaded: {reason}", block.line, block.form),
                "write the public key in PKIX form (irsa keys inspect FILE shows every block): tokens of this key are refused",
            );
        }
        for damaged in &file.damaged {
            self.problem(
                flag,
                format!(
                    "{path}:{}: a damaged PEM block is passed over",
                    damaged.line
                ),
                "write the file anew from the key",
            );
        }
    }

    fn issuers(&mut self) {
        let issuers = self.inspected.flags.values(Flag::Issuer).to_vec();
        if issuers.is_empty() {
            self.problem(
                None,
                "--service-account-issuer is not set".to_owned(),
                "kube-apiserver does not start without it",
            );
        }
        for issuer in issuers.iter().filter(|issuer| is_comma_joined(issuer)) {
            self.problem(
                Some((Flag::Issuer, issuer.as_str())),
                format!("--service-account-issuer is \"{issuer}\", which is one issuer for kube-apiserver: it never splits at commas"),
                "give the flag once for each issuer; tokens of the joined one are trusted by nobody",
            );
        }
        if let Some((issuer, fault)) = bad_issuer(&issuers) {
            self.problem(
                Some((Flag::Issuer, issuer)),
                format!("--service-account-issuer \"{issuer}\" {fault}"),
                "keep each issuer once, in a flag of its own",
            );
        }
        self.near_issuers(&issuers);
        self.first_issuer(&issuers);
    }

    /// Two issuers that differ in a slash at the end: for kube-apiserver and AWS they have nothing in common.
    fn near_issuers(&mut self, issuers: &[String]) {
        let bare = |issuer: &str| issuer.trim_end_matches('/').to_owned();
        for (at, issuer) in issuers.iter().enumerate() {
            let mut others = issuers.iter().skip(at + 1);
            if let Some(near) = others.find(|other| *other != issuer && bare(other) == bare(issuer))
            {
                self.note(
                    Some((Flag::Issuer, near)),
                    format!("\"{issuer}\" and \"{near}\" are two issuers, which differ in a slash at the end"),
                    "AWS compares byte for byte: keep the one that the IAM OIDC provider has",
                );
            }
        }
    }

    /// Audiences that are written and mean nothing.
    fn odd_audiences(&mut self) {
        let mut seen = BTreeSet::new();
        let written = self.inspected.occurrences.iter();
        let written = written.filter(|one| one.flag == Flag::ApiAudiences);
        for one in written {
            for audience in one.value.split(',') {
                let fault = if audience.is_empty() {
                    "has an empty audience"
                } else if !seen.insert(audience) {
                    "names an audience twice"
                } else {
                    continue;
                };
                self.note(
                    Some((Flag::ApiAudiences, &one.value)),
                    format!("--api-audiences={} {fault}", one.value),
                    "write each audience once; irsa apiserver patch --phase accept does",
                );
                return;
            }
        }
    }

    fn audiences(&mut self) {
        self.odd_audiences();
        let flags = self.inspected.flags;
        if flags
            .audiences()
            .iter()
            .any(|audience| audience == STS_AUDIENCE)
        {
            self.problem(
                Some((Flag::ApiAudiences, STS_AUDIENCE)),
                format!("--api-audiences has \"{STS_AUDIENCE}\": pod tokens made for AWS are accepted by the cluster too"),
                "take it out: the audience belongs into the pods' projected tokens and the IAM OIDC provider only",
            );
        }
        if !flags.has(Flag::ApiAudiences) && flags.values(Flag::Issuer).len() > 1 {
            self.note(
                None,
                "--api-audiences is not set, so it follows the issuers: when an issuer goes, its audience goes with it".to_owned(),
                format!("pin it: --api-audiences={}", flags.audiences().join(",")),
            );
        }
    }

    fn documents(&mut self) {
        if let Some(uri) = self.inspected.flags.value(Flag::JwksUri)
            && !uri.starts_with("https://")
        {
            let message = format!("--service-account-jwks-uri is \"{uri}\", expected an https URL");
            self.problem(
                Some((Flag::JwksUri, uri)),
                message,
                "kube-apiserver does not start with it",
            );
        }
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
