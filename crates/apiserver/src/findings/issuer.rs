//! The issuer that signs.

use super::Findings;
use crate::environment::names_variable;
use crate::flags::Flag;

impl Findings<'_> {
    pub(super) fn first_issuer(&mut self, issuers: &[String]) {
        let Some(first) = issuers.first() else {
            return;
        };
        let flag = Some((Flag::Issuer, first.as_str()));
        if names_variable(first) {
            self.note(
                flag,
                format!("the first --service-account-issuer is \"{first}\", and the container's env has no plain value for that: it cannot be seen here"),
                "irsa apiserver check --live shows the issuer that is in force",
            );
        } else if !first.starts_with("https://") {
            self.problem(
                flag,
                format!("the first --service-account-issuer is \"{first}\", expected an https URL"),
                "kube-apiserver serves neither document for it, and AWS accepts no such issuer",
            );
        }
    }
}
