//! What STS says when it refuses a web identity, and what that means.

use std::fmt;

use super::{Check, Diagnosis, Seen, Verdict};

/// A refusal of `AssumeRoleWithWebIdentity`. Codes are those of the STS API reference, "Errors"; the texts are those
/// that users report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsAnswer {
    /// There is no provider for the token's `iss` in the account of the role.
    NoProvider,
    /// No `aud` of the token is a client ID of the provider.
    Audience,
    /// The keys cannot be had, or none of them has the token's `kid`, or it did not sign the token.
    VerificationKey,
    /// The certificate ends in no public root, and its thumbprint is not the provider's.
    Thumbprint,
    /// A claim is missing.
    Claim,
    /// Not a JWT.
    NotAToken,
    /// The token is past its `exp`.
    Expired,
    /// The issuer does not answer, or not in time. The only one that may go away by itself.
    Communication,
    /// The role's trust policy does not let the token in, or there is no such role.
    Denied,
}

impl StsAnswer {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NoProvider,
        Self::Audience,
        Self::VerificationKey,
        Self::Thumbprint,
        Self::Claim,
        Self::NotAToken,
        Self::Expired,
        Self::Communication,
        Self::Denied,
    ];

    /// The code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "ExpiredTokenException",
            Self::Communication => "IDPCommunicationError",
            Self::Denied => "AccessDenied",
            _ => "InvalidIdentityToken",
        }
    }

    /// What every message of it contains.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoProvider => "No OpenIDConnect provider found in your account",
            Self::Audience => "Incorrect token audience",
            Self::VerificationKey => {
                "Couldn't retrieve verification key from your identity provider"
            }
            Self::Thumbprint => {
                "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
            }
            Self::Claim => "Missing a required claim",
            Self::NotAToken => "The ID Token provided is not a valid JWT",
            Self::Expired => "Token expired",
            Self::Communication => {
                "the identity provider (IDP) that was asked to verify the incoming identity token could not be reached"
            }
            Self::Denied => "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        }
    }

    /// Reads what STS said.
    pub fn recognise(code: &str, message: &str) -> Option<Self> {
        let code = code.trim_end_matches("Exception");
        let of_code = |answer: &Self| answer.code().trim_end_matches("Exception") == code;
        let mut same = Self::ALL.into_iter().filter(of_code);
        match code {
            "InvalidIdentityToken" => same.find(|answer| message.contains(answer.text())),
            _ => same.next(),
        }
    }
}

impl fmt::Display for StsAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.text())
    }
}

/// STS's own answer against what was found: with a cause already named it is no news, without one it is the news.
pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let exchange = match &diagnosis.facts.exchange {
        Seen::Found(exchange) => exchange,
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen("sts", unseen));
            return;
        }
    };
    let (code, message) = match &exchange.answer {
        Ok(session) => {
            let check = Check::ok("sts", "STS", format!("gives credentials for {session}"));
            diagnosis.push(check);
            return;
        }
        Err(refusal) => refusal,
    };
    let answer = StsAnswer::recognise(code, message);
    let said = format!("STS answers {code}: {message}");
    let named: Vec<&str> = diagnosis
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Failure)
        .map(|check| check.id)
        .collect();
    let mut check = if named.is_empty() {
        let help = "wait some minutes if something was changed just now: STS keeps what it fetched; else open an issue with \
                    this whole output";
        Check::failure("sts", "STS", format!("{said}; nothing here explains it")).help(help)
    } else {
        let message = format!("{said}, because of {}", named.join(", "));
        Check::new(Verdict::Unseen, "sts", "STS", message)
    };
    check.sts = answer;
    check.retryable = answer == Some(StsAnswer::Communication);
    diagnosis.push(check);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_recognised_as_itself() {
        for answer in StsAnswer::ALL {
            let message = format!("{} (…)", answer.text());
            let found = StsAnswer::recognise(answer.code(), &message);
            assert_eq!(found, Some(answer));
        }
        assert_eq!(
            StsAnswer::recognise("ExpiredToken", "x"),
            Some(StsAnswer::Expired)
        );
        assert_eq!(StsAnswer::recognise("InvalidIdentityToken", "x"), None);
        assert_eq!(StsAnswer::recognise("Throttling", "x"), None);
    }
}
