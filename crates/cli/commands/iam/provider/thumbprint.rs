//! Whether AWS needs a CA thumbprint for an issuer, and which.

use std::io::ErrorKind;

use irsa_core::discovery;
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::chain_probe::{self, parse_target};
use irsa_issuer::relying_party::{FetchError, RelyingParty};

use crate::args::FetchArgs;
use crate::report::{self, Failure};

/// The thumbprint, if AWS needs one: that of the host that serves the keys. A chain of a private CA is looked at without
/// being believed; with `--ca-file` it must be one of that CA.
pub(crate) async fn needed_ca_thumbprint(
    issuer: &IssuerUrl,
    fetch: &FetchArgs,
) -> Result<Vec<String>, Failure> {
    let mut reader = RelyingParty::new(fetch.ca_file.as_deref(), fetch.timeout);
    let fetched = fetch_jwks_uri(issuer, &mut reader).await?;
    let jwks_uri = fetched
        .clone()
        .unwrap_or_else(|| issuer.as_str().to_owned());
    let target = parse_target(&jwks_uri)?;
    let probe = chain_probe::probe(&target, fetch.timeout).await.map_err(|error| {
        let message = "whether AWS needs a thumbprint cannot be found out: publish the documents first, or add --thumbprint or \
                       --no-thumbprint";
        Failure::prefixed(message, &error)
    })?;
    if probe.ends_in_public_root {
        return Ok(Vec::new());
    }
    if probe.chain.is_leaf_only() {
        report::warning(probe.chain.reason());
    }
    let Some(top) = probe.chain.top() else {
        return Ok(Vec::new());
    };
    let thumbprint = top.thumbprint.to_string();
    let trusted = match &fetched {
        Some(uri) => reader.get(uri).await,
        None => reader.get(&issuer.discovery_url()).await,
    };
    match (&trusted, &fetch.ca_file) {
        (Err(FetchError::Connect { source, .. }), Some(ca))
            if source.kind() == ErrorKind::InvalidData =>
        {
            return Err(Failure::failed(
                format!(
                    "the certificate of {jwks_uri} is of no CA in \"{}\": its thumbprint {thumbprint} is not taken on trust",
                    ca.display()
                ),
                "find out who answers there; or give the right thumbprint with --thumbprint",
            ));
        }
        (Err(FetchError::Connect { .. } | FetchError::Timeout { .. }), _) => {
            report::warning(&format!(
                "thumbprint {thumbprint} is taken from a certificate chain that nothing verified: compare it with that of your CA \
             (irsa thumbprint --pem CA.pem), or add --ca-file FILE"
            ));
        }
        // An answer, whatever it is, came over TLS that was verified.
        _ => {}
    }
    Ok(vec![thumbprint])
}

/// Where the keys are, as the issuer says; `None` when its document cannot be had, as with a private CA that this
/// machine does not trust, which is just the case in which a thumbprint is needed.
async fn fetch_jwks_uri(
    issuer: &IssuerUrl,
    reader: &mut RelyingParty,
) -> Result<Option<String>, Failure> {
    match reader.get(&issuer.discovery_url()).await {
        Ok(bytes) => Ok(Some(
            discovery::parse(&bytes, issuer)?
                .jwks_uri
                .as_str()
                .to_owned(),
        )),
        Err(error) => {
            report::warning(&format!(
                "{error}; the thumbprint is taken from the issuer's own host"
            ));
            Ok(None)
        }
    }
}
