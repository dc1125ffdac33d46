//! The checks of a relying party, each with its own refusal.

use jiff::Timestamp;

use crate::algorithm::Algorithm;
use crate::explain::Explain;
use crate::issuer::IssuerUrl;
use crate::jwks::{JwkSet, MAX_KEYS};
use crate::token::Token;
use crate::token::signature::signed_by;
use crate::token::wording::instant;

/// How far clocks may differ for `nbf` and `iat`, in seconds: the leeway of kube-apiserver. Expiry has none, so that
/// a token that we accept is not refused elsewhere.
pub const SKEW_SECONDS: i64 = 60;

/// What a relying party expects.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The issuer that it trusts.
    pub issuer: &'a IssuerUrl,
    /// Who it is.
    pub audience: &'a str,
    /// The issuer's keys.
    pub keys: &'a JwkSet,
    /// The time.
    pub now: Timestamp,
}

/// A token that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that signed it.
    pub kid: String,
    /// How it was signed.
    pub algorithm: Algorithm,
    /// Whose token it is.
    pub subject: String,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

/// Why a relying party refuses a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `none`, a symmetric algorithm, or one that Kubernetes does not sign with.
    #[error("its algorithm is \"{0}\", expected RS256, ES256, ES384 or ES512")]
    Algorithm(String),
    /// The header demands something that we do not know (RFC 7515, section 4.1.11).
    #[error("its header has critical extensions")]
    Critical,
    /// No `kid`.
    #[error("its header has no kid")]
    NoKid,
    /// The key is not published.
    #[error("its kid \"{kid}\" is not in the JWKS, which has {}", list(published))]
    UnknownKid {
        /// As in the token.
        kid: String,
        /// As in the JWKS.
        published: Vec<String>,
    },
    /// The key is published in a form that nobody can verify with.
    #[error("its kid \"{kid}\" is in the JWKS, but that key is of no use: {reason}")]
    UnusableKey {
        /// As in the token.
        kid: String,
        /// What is wrong with the JWK.
        reason: String,
    },
    /// The key is of another kind than the header says.
    #[error("its header says {header}, but key \"{kid}\" is an {key} key")]
    OtherAlgorithm {
        /// As in the token.
        header: Algorithm,
        /// Which key.
        kid: String,
        /// What the key is for.
        key: Algorithm,
    },
    /// Somebody else signed it, or it was changed.
    #[error("its signature was not made by key \"{0}\"")]
    Signature(String),
    /// More keys than AWS reads.
    #[error("its issuer publishes {rsa} RSA and {ec} EC keys, expected at most {MAX_KEYS} of each")]
    TooManyKeys {
        /// RSA keys.
        rsa: usize,
        /// EC keys.
        ec: usize,
    },
    /// `iss` differs.
    #[error("its issuer is \"{found}\", expected \"{expected}\"")]
    Issuer {
        /// As in the token.
        found: String,
        /// As expected.
        expected: String,
    },
    /// `aud` lacks us.
    #[error("its audience is {}, expected \"{expected}\"", list(found))]
    Audience {
        /// As in the token.
        found: Vec<String>,
        /// As expected.
        expected: String,
    },
    /// No `exp`, or not a number.
    #[error("it has no claim \"{0}\", or it is of the wrong type")]
    Claim(&'static str),
    /// Past `exp`.
    #[error("it expired at {at}, {ago} s ago")]
    Expired {
        /// When.
        at: Timestamp,
        /// How long ago, in seconds.
        ago: i64,
    },
    /// Before `nbf` or `iat`.
    #[error("its {claim} is {at}, which is {ahead} s ahead of this clock")]
    NotYet {
        /// Which claim.
        claim: &'static str,
        /// Its time.
        at: Timestamp,
        /// How far ahead, in seconds.
        ahead: i64,
    },
}

impl Explain for Refusal {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Algorithm(_) | Self::Critical | Self::OtherAlgorithm { .. } => {
                "kube-apiserver does not make such tokens: find out where this one comes from".into()
            }
            Self::NoKid => "Kubernetes sets it since 1.16; STS needs it too".into(),
            Self::UnusableKey { .. } => "publish the key again: irsa jwks FILE prints a right JWK".into(),
            Self::UnknownKid { .. } => {
                "publish the public half of the key that kube-apiserver signs with; irsa keys inspect FILE shows each kid".into()
            }
            Self::TooManyKeys { .. } => "withdraw keys that sign no more: irsa publish --withdraw KID".into(),
            Self::Signature(_) => "the token was changed or cut on its way, or the published key is not the signer's".into(),
            Self::Issuer { found, expected } if found.trim_end_matches('/') == expected.trim_end_matches('/') => {
                "they differ only in the final slash, which counts: use one form everywhere".into()
            }
            Self::Issuer { .. } => {
                "the first --service-account-issuer of kube-apiserver is what it signs with".into()
            }
            Self::Audience { .. } => {
                "ask for it in the projected volume (audience:) or the annotation eks.amazonaws.com/audience".into()
            }
            Self::Claim(_) => "a legacy service account token cannot be used here: use a projected token".into(),
            Self::Expired { .. } => "read the token file again at each use: the kubelet renews it".into(),
            Self::NotYet { .. } => "compare the clocks of this machine and the control plane".into(),
        })
    }
}

/// Checks signature, issuer, audience and times, in this order, and that there are no more keys than AWS reads. As STS
/// does, it demands `exp` and `iat`.
///
/// The algorithm is that of the published key; the header may only agree with it. That rules out `none` and the
/// trick of using the public key as an HMAC secret.
pub fn verify(token: &Token, expected: &Expectation<'_>) -> Result<Verified, Refusal> {
    let (kid, algorithm) = verify_signature(token, expected.keys)?;
    verify_parties(token, expected)?;
    let expires = verify_times(token, expected.now)?;
    verify_count(expected.keys)?;
    let subject = token
        .text_claim("sub")
        .filter(|subject| !subject.is_empty());
    let subject = subject.ok_or(Refusal::Claim("sub"))?.to_owned();
    Ok(Verified {
        kid,
        algorithm,
        subject,
        expires,
    })
}

/// How many RSA and how many EC keys there are: AWS reads at most [`MAX_KEYS`] of each.
pub fn families(keys: &JwkSet) -> (usize, usize) {
    let all = keys.keys();
    let rsa = all
        .iter()
        .filter(|jwk| jwk.key.algorithm() == Algorithm::Rs256)
        .count();
    (rsa, all.len() - rsa)
}

fn verify_count(keys: &JwkSet) -> Result<(), Refusal> {
    let (rsa, ec) = families(keys);
    if rsa > MAX_KEYS || ec > MAX_KEYS {
        return Err(Refusal::TooManyKeys { rsa, ec });
    }
    Ok(())
}

fn verify_signature(token: &Token, keys: &JwkSet) -> Result<(String, Algorithm), Refusal> {
    let name = token.algorithm().unwrap_or_default();
    let header = Algorithm::from_name(name)
        .ok_or_else(|| Refusal::Algorithm(name.chars().take(40).collect()))?;
    if token.header().contains_key("crit") {
        return Err(Refusal::Critical);
    }
    let kid = token.kid().ok_or(Refusal::NoKid)?;
    let ignored = keys
        .ignored()
        .iter()
        .find(|jwk| jwk.kid.as_deref() == Some(kid));
    let short = || kid.chars().take(100).collect::<String>();
    let mut refusal = match ignored {
        Some(jwk) => Refusal::UnusableKey {
            kid: short(),
            reason: jwk.reason.clone(),
        },
        None => Refusal::UnknownKid {
            kid: short(),
            published: keys.keys().iter().map(|jwk| jwk.kid.clone()).collect(),
        },
    };
    for jwk in keys.find(kid) {
        let key = jwk.key.algorithm();
        if key != header {
            refusal = Refusal::OtherAlgorithm {
                header,
                kid: kid.to_owned(),
                key,
            };
        } else if let Err(weakness) = jwk.key.publishable() {
            refusal = Refusal::UnusableKey {
                kid: kid.to_owned(),
                reason: weakness.to_string(),
            };
        } else if signed_by(token, &jwk.key) {
            return Ok((kid.to_owned(), header));
        } else {
            refusal = Refusal::Signature(kid.to_owned());
        }
    }
    Err(refusal)
}

fn verify_parties(token: &Token, expected: &Expectation<'_>) -> Result<(), Refusal> {
    let issuer = token.text_claim("iss").ok_or(Refusal::Claim("iss"))?;
    if issuer != expected.issuer.as_str() {
        return Err(Refusal::Issuer {
            found: issuer.chars().take(300).collect(),
            expected: expected.issuer.to_string(),
        });
    }
    let audiences = token.audiences();
    if !audiences.contains(&expected.audience) {
        return Err(Refusal::Audience {
            found: audiences.into_iter().take(10).map(str::to_owned).collect(),
            expected: expected.audience.to_owned(),
        });
    }
    Ok(())
}

fn verify_times(token: &Token, now: Timestamp) -> Result<i64, Refusal> {
    let seconds = now.as_second();
    let expires = token.time_claim("exp").ok_or(Refusal::Claim("exp"))?;
    if expires <= seconds {
        let ago = seconds.saturating_sub(expires);
        return Err(Refusal::Expired {
            at: instant(expires),
            ago,
        });
    }
    for claim in ["nbf", "iat"] {
        let Some(start) = token.time_claim(claim) else {
            // Both are optional (RFC 7519, section 4.1), but never of another type; and STS demands iat.
            if claim == "iat" || token.claims().contains_key(claim) {
                return Err(Refusal::Claim(claim));
            }
            continue;
        };
        let ahead = start.saturating_sub(seconds);
        if ahead > SKEW_SECONDS {
            return Err(Refusal::NotYet {
                claim,
                at: instant(start),
                ahead,
            });
        }
    }
    Ok(expires)
}

fn list(texts: &[String]) -> String {
    match texts {
        [] => "none".to_owned(),
        [head @ .., _] if head.len() > 10 => format!("{} entries", texts.len()),
        _ => texts
            .iter()
            .map(|text| format!("\"{text}\""))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::algorithm::Curve;
    use crate::private::PrivateKeyPem;

    fn times(claims: &str) -> Result<i64, Refusal> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let text = format!("{}.{}.AA", encode("{}"), encode(claims));
        let now = Timestamp::from_second(1_000).unwrap();
        verify_times(&Token::parse(&text).unwrap(), now)
    }

    #[test]
    fn what_sts_demands_of_times_is_demanded() {
        assert_eq!(times(r#"{"exp":2000,"iat":1000}"#), Ok(2_000));
        for (claims, claim) in [
            (r#"{"exp":2000}"#, "iat"),
            (r#"{"exp":2000,"iat":"1000"}"#, "iat"),
            (r#"{"exp":2000,"iat":1000,"nbf":true}"#, "nbf"),
            (r#"{"iat":1000}"#, "exp"),
        ] {
            assert_eq!(times(claims), Err(Refusal::Claim(claim)), "{claims}");
        }
    }

    #[test]
    fn more_keys_than_aws_reads_are_refused() {
        let key = |scalar| PrivateKeyPem::from_scalar(Curve::P256, &[scalar]).unwrap();
        let keys: Vec<_> = (1..=101).map(key).collect();
        let set = |count| JwkSet::from_keys(keys.iter().take(count).map(PrivateKeyPem::public_key));
        assert_eq!(verify_count(&set(100)), Ok(()));
        let refused = verify_count(&set(101));
        assert_eq!(refused, Err(Refusal::TooManyKeys { rsa: 0, ec: 101 }));
    }
}
