//! Which documents in a store are the issuer's.

use irsa_core::bootstrap::teardown::StoredDocument;
use irsa_core::discovery;
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl};
use irsa_issuer::publish::{PublishError, Publisher};

/// Where a discovery document stands below its issuer.
pub(super) fn discovery_path() -> &'static str {
    DISCOVERY_PATH.trim_start_matches('/')
}

/// The issuer's documents in a store, the JWKS first; or why what is there is not the issuer's.
pub(super) async fn documents(
    store: &impl Publisher,
    issuer: &IssuerUrl,
) -> Result<(Vec<StoredDocument>, Option<String>), PublishError> {
    let mut found = Vec::new();
    let mut jwks = issuer.default_jwks_uri();
    if let Some(stored) = store.get(discovery_path()).await? {
        match discovery::parse(&stored.bytes, issuer) {
            Ok(document) => jwks = document.jwks_uri,
            Err(error) => {
                let why = format!(
                    "{}: it is not a document of {issuer}: {error}",
                    discovery_path()
                );
                return Ok((found, Some(why)));
            }
        }
        found.push(StoredDocument {
            path: discovery_path().to_owned(),
            tag: stored.tag,
        });
    }
    if let Some(path) = jwks.below(issuer)
        && let Some(stored) = store.get(path).await?
    {
        let path = path.to_owned();
        let tag = stored.tag;
        found.insert(0, StoredDocument { path, tag });
    }
    Ok((found, None))
}
