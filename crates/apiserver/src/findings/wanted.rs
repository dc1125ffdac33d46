//! What differs from what is wanted.

use super::Findings;
use crate::flags::Flag;
use crate::plan::Wanted;

impl Findings<'_> {
    pub(super) fn wanted(&mut self, wanted: &Wanted) {
        let flags = self.inspected.flags;
        let ours = wanted.issuer.as_str();
        match flags.values(Flag::Issuer) {
            [first, ..] if first == ours => {}
            all => {
                let near = all.iter().find(|issuer| {
                    issuer.trim_end_matches('/') == ours.trim_end_matches('/') && *issuer != ours
                });
                let first = all.first().map_or("not set", String::as_str).to_owned();
                let help = match near {
                    Some(_) => {
                        "the two differ in a slash at the end, and AWS compares byte for byte"
                    }
                    None if all.iter().any(|issuer| issuer == ours) => {
                        "ours is accepted and does not sign yet: irsa apiserver patch --phase sign"
                    }
                    None => "irsa apiserver patch --phase accept",
                };
                let flag = near.unwrap_or(&first).clone();
                self.problem(
                    Some((Flag::Issuer, &flag)),
                    format!(
                        "the first --service-account-issuer is \"{first}\", expected \"{ours}\""
                    ),
                    help,
                );
            }
        }
        for path in wanted
            .key_files
            .iter()
            .filter(|path| !flags.values(Flag::KeyFile).contains(path))
        {
            self.problem(
                None,
                format!("no --service-account-key-file is \"{path}\""),
                "irsa apiserver patch --phase accept",
            );
        }
        let one = [
            (Flag::SigningKeyFile, wanted.signing_key_file.clone()),
            (
                Flag::JwksUri,
                wanted.jwks_uri.as_ref().map(ToString::to_string),
            ),
        ];
        for (flag, expected) in one {
            let Some(expected) = expected else { continue };
            let found = flags.value(flag).unwrap_or("not set");
            if found != expected {
                let message = format!("{flag} is \"{found}\", expected \"{expected}\"");
                self.problem(
                    Some((flag, found)),
                    message,
                    "irsa apiserver patch --phase sign",
                );
            }
        }
    }
}
