//! The activation that `RegisterCluster` returns once: whoever holds its code can connect any machine as the cluster.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use zeroize::Zeroizing;

/// The activation code: wiped on drop, printed nowhere, without `Clone`.
pub struct ActivationCode(Zeroizing<String>);

/// An activation with its code.
#[derive(Debug)]
pub struct Activation {
    /// The activation's ID, no secret.
    pub id: String,
    /// The code.
    pub code: ActivationCode,
    /// Until when the agents can register with it: three days after the registration.
    pub expiry: Option<Timestamp>,
}

impl ActivationCode {
    /// Takes over a code; the text it came in is the caller's to wipe.
    pub fn new(code: Zeroizing<String>) -> Self {
        Self(code)
    }

    /// The code itself: only for the journal and the activation Secret.
    pub fn expose_code(&self) -> &str {
        &self.0
    }

    /// The code as the data of a Kubernetes Secret.
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActivationCode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_code() {
        let activation = Activation {
            id: "id".into(),
            code: ActivationCode::new(Zeroizing::new("canary-code".into())),
            expiry: None,
        };
        assert_eq!(
            format!("{activation:?}"),
            "Activation { id: \"id\", code: ActivationCode, expiry: None }"
        );
    }

    #[test]
    fn base64_is_of_the_code() {
        let code = ActivationCode::new(Zeroizing::new("cN12345678901234567A".into()));
        let decoded = BASE64_STANDARD.decode(code.expose_base64().as_bytes());
        assert_eq!(decoded.unwrap(), b"cN12345678901234567A");
    }
}
