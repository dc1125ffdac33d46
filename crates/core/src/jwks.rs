//! The JWK Set (RFC 7517): the public keys of an issuer, byte for byte as kube-apiserver writes them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::algorithm::{Algorithm, Curve};
use crate::explain::Explain;
use crate::key_error::KeyError;
use crate::keys::{Numbers, PublicKey};
use crate::strict_json;

/// The largest document that is read from a foreign server.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// AWS takes at most 100 RSA and 100 EC keys of an issuer; the fetch of a larger set ends in `InvalidIdentityToken`.
pub const MAX_KEYS: usize = 100;
/// Far above any real set: a bound on the work that a hostile document can ask for.
const MAX_FOREIGN_KEYS: usize = 1000;
/// The members of a JWK that hold private or symmetric key material (RFC 7518, sections 6.2.2, 6.3.2, 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// One key of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk {
    /// The key ID as published: for our own keys the Kubernetes kid, for foreign ones any text.
    pub kid: String,
    /// The key.
    pub key: PublicKey,
}

/// A key of a foreign set that cannot verify a service account token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredJwk {
    /// Its position in the set, from 0.
    pub position: usize,
    /// Its key ID, if it has one.
    pub kid: Option<String>,
    /// Why it is of no use.
    pub reason: String,
}

/// A JWK Set: keys in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    ignored: Vec<IgnoredJwk>,
}

/// What a set has and another has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// In the second only.
    pub added: Vec<Jwk>,
    /// In the first only.
    pub removed: Vec<Jwk>,
    /// Same kid, another key: never harmless.
    pub changed: Vec<String>,
}

/// Why bytes are no JWK Set that we would trust.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the JWKS has {0} bytes, expected at most {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or a member stands twice.
    #[error("the JWKS is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// JSON of another shape.
    #[error("the JWKS has no array \"keys\"")]
    NoKeys,
    /// More than a bound on hostile input.
    #[error("the JWKS has {0} keys, expected at most {MAX_FOREIGN_KEYS}")]
    TooManyKeys(usize),
    /// Somebody published a private key.
    #[error("key {position} of the JWKS has the private member \"{member}\"")]
    PrivateKey {
        /// Its position, from 0.
        position: usize,
        /// The member that must not be there.
        member: &'static str,
    },
}

impl Explain for JwksError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::PrivateKey { .. } => {
                "take the document down and rotate the key now: everybody can sign tokens with it"
                    .into()
            }
            _ => "irsa jwks FILE... prints a right one".into(),
        })
    }
}

impl Jwk {
    /// The JWK of one of our keys.
    pub fn of(key: &PublicKey) -> Self {
        Self {
            kid: key.kid().to_string(),
            key: key.clone(),
        }
    }
}

impl JwkSet {
    /// The keys in the order given, each once.
    pub fn from_keys<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Self {
        keys.into_iter().fold(Self::default(), |mut set, key| {
            set.insert(Jwk::of(key));
            set
        })
    }

    /// The keys in the order given, repetitions kept: what kube-apiserver makes of its key files.
    pub fn from_keys_as_apiserver<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Self {
        Self {
            keys: keys.into_iter().map(Jwk::of).collect(),
            ignored: Vec::new(),
        }
    }

    /// Reads a set as a relying party does: bounded, unknown members and unknown kinds of keys passed over
    /// (RFC 7517, section 5), private members refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwksError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(JwksError::TooLarge(bytes.len()));
        }
        let Value::Object(mut document) = strict_json::parse(bytes).map_err(JwksError::Json)?
        else {
            return Err(JwksError::NoKeys);
        };
        let Some(Value::Array(entries)) = document.remove("keys") else {
            return Err(JwksError::NoKeys);
        };
        if entries.len() > MAX_FOREIGN_KEYS {
            return Err(JwksError::TooManyKeys(entries.len()));
        }
        let mut set = Self::default();
        for (position, entry) in entries.iter().enumerate() {
            let members = entry.as_object();
            let private = members.and_then(|m| {
                PRIVATE_MEMBERS
                    .into_iter()
                    .find(|member| m.contains_key(*member))
            });
            if let Some(member) = private {
                return Err(JwksError::PrivateKey { position, member });
            }
            let text = |name: &str| members.and_then(|m| m.get(name)).and_then(Value::as_str);
            let kid = text("kid").map(str::to_owned);
            match members
                .ok_or_else(|| "not an object".to_owned())
                .and_then(read_key)
            {
                Ok(key) => set.keys.push(Jwk {
                    kid: kid.unwrap_or_default(),
                    key,
                }),
                Err(reason) => set.ignored.push(IgnoredJwk {
                    position,
                    kid,
                    reason,
                }),
            }
        }
        Ok(set)
    }

    /// Compact JSON without a final newline, members in kube-apiserver's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = Document {
            keys: self.keys.iter().map(Wire::of).collect(),
        };
        // Strings in structs always serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The keys that can verify, in order.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// What was passed over while reading.
    pub fn ignored(&self) -> &[IgnoredJwk] {
        &self.ignored
    }

    /// Every key under this ID.
    pub fn find<'a>(&'a self, kid: &'a str) -> impl Iterator<Item = &'a Jwk> {
        self.keys.iter().filter(move |jwk| jwk.kid == kid)
    }

    /// Whether a key with this ID is in the set.
    pub fn contains(&self, kid: &str) -> bool {
        self.find(kid).next().is_some()
    }

    /// The algorithms of the keys, sorted, each once.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.keys.iter().map(|jwk| jwk.key.algorithm()).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }

    /// This set and then what `other` adds. Nothing is dropped; repeating it changes nothing.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        other
            .keys
            .iter()
            .cloned()
            .fold(self.clone(), |mut set, jwk| {
                set.insert(jwk);
                set
            })
    }

    /// This set without the keys under an ID.
    #[must_use]
    pub fn remove(&self, kid: &str) -> Self {
        let keys = self
            .keys
            .iter()
            .filter(|jwk| jwk.kid != kid)
            .cloned()
            .collect();
        Self {
            keys,
            ignored: self.ignored.clone(),
        }
    }

    /// What changes from this set to `other`.
    pub fn difference(&self, other: &Self) -> Difference {
        let missing = |from: &Self, to: &Self| -> Vec<Jwk> {
            from.keys
                .iter()
                .filter(|jwk| !to.contains(&jwk.kid))
                .cloned()
                .collect()
        };
        let changed = |jwk: &&Jwk| {
            other.contains(&jwk.kid) && !other.find(&jwk.kid).any(|found| found.key == jwk.key)
        };
        Difference {
            added: missing(other, self),
            removed: missing(self, other),
            changed: self
                .keys
                .iter()
                .filter(changed)
                .map(|jwk| jwk.kid.clone())
                .collect(),
        }
    }

    fn insert(&mut self, jwk: Jwk) {
        if !self.keys.contains(&jwk) {
            self.keys.push(jwk);
        }
    }
}

/// The set as it is written.
#[derive(Serialize)]
struct Document<'a> {
    keys: Vec<Wire<'a>>,
}

/// A JWK with its members in the order of go-jose, which kube-apiserver uses.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "use")]
    usage: &'static str,
    kty: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl<'a> Wire<'a> {
    fn of(jwk: &'a Jwk) -> Self {
        let encode = |number: &[u8]| Some(URL_SAFE_NO_PAD.encode(number));
        let alg = jwk.key.algorithm().name();
        let (usage, kid, none) = ("sig", jwk.kid.as_str(), None);
        match jwk.key.numbers() {
            Numbers::Rsa { n, e } => {
                let (n, e) = (encode(&n), encode(&e));
                Self {
                    usage,
                    kty: "RSA",
                    kid,
                    crv: None,
                    alg,
                    n,
                    e,
                    x: none.clone(),
                    y: none,
                }
            }
            Numbers::Ec { curve, x, y } => {
                let (crv, x, y) = (Some(curve.name()), encode(&x), encode(&y));
                Self {
                    usage,
                    kty: "EC",
                    kid,
                    crv,
                    alg,
                    n: none.clone(),
                    e: none,
                    x,
                    y,
                }
            }
        }
    }
}

/// The key of a foreign JWK, or why it is of no use.
fn read_key(members: &Map<String, Value>) -> Result<PublicKey, String> {
    let text = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("\"{name}\" is not a string")),
    };
    text("kid")?;
    if let Some(usage) = text("use")?.filter(|usage| *usage != "sig") {
        return Err(format!("its use is \"{usage}\""));
    }
    if let Some(Value::Array(operations)) = members.get("key_ops")
        && !operations.iter().any(|operation| operation == "verify")
    {
        return Err("its key_ops lack \"verify\"".to_owned());
    }
    let number = |name: &str| {
        let value = text(name)?.ok_or_else(|| format!("\"{name}\" is missing"))?;
        URL_SAFE_NO_PAD
            .decode(value)
            .map_err(|_| format!("\"{name}\" is not base64url"))
    };
    let refused = |error: KeyError| error.to_string();
    let key = match text("kty")? {
        Some("RSA") => {
            PublicKey::from_rsa_numbers(&number("n")?, &number("e")?).map_err(refused)?
        }
        Some("EC") => {
            let name = text("crv")?.unwrap_or_default();
            let curve = Curve::ALL
                .into_iter()
                .find(|curve| curve.name() == name)
                .ok_or_else(|| format!("the curve \"{name}\" is not used by Kubernetes"))?;
            PublicKey::from_coordinates(curve, &number("x")?, &number("y")?).map_err(refused)?
        }
        kty => {
            return Err(format!(
                "its type \"{}\" is not RSA or EC",
                kty.unwrap_or_default()
            ));
        }
    };
    match text("alg")? {
        Some(alg) if alg != key.algorithm().name() => Err(format!(
            "its alg is \"{alg}\", Kubernetes signs with {}",
            key.algorithm()
        )),
        _ => Ok(key),
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
