//! What stops a chain whose documents `irsa rotate` keeps.

use irsa_core::discovery;
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::IssuerUrl;

use super::Chain;
use crate::report::Failure;
use crate::settings;

impl Chain<'_> {
    /// Refuses key files that `irsa rotate` has left behind: of what was published once they hold the oldest key, which
    /// may be the one that was stolen.
    pub(super) fn never_published(&self, issuer: &IssuerUrl) -> Result<(), Failure> {
        let trace = match (&self.seen.provider, &self.seen.documents.discovery) {
            (Some(_), _) => "its OIDC provider exists",
            (None, Some(_)) => "its discovery document is published",
            (None, None) => return Ok(()),
        };
        Err(Failure::failed(
            format!(
                "the JWKS of {issuer} is not published, and {trace}: with rotated: true the key files are not published again"
            ),
            "run irsa rotate on a control-plane node: it publishes what signs. If these files hold every key in use, leave rotated: \
             true out for one run",
        ))
    }

    /// Refuses another place of the JWKS than the one that is published: the keys there are not in the files.
    pub(super) fn not_moved(&self, documents: &IssuerDocuments) -> Result<(), Failure> {
        let discovery = self.seen.documents.discovery.as_ref();
        let found = discovery
            .and_then(|stored| discovery::parse(&stored.bytes, documents.issuer()).ok())
            .map(|found| found.jwks_uri);
        match found {
            Some(there) if there != *documents.jwks_uri() => Err(Failure::failed(
                format!(
                    "the discovery document of {} names the JWKS {there}, expected {}",
                    documents.issuer(),
                    documents.jwks_uri()
                ),
                match there.below(documents.issuer()) {
                    Some(_) => {
                        format!(
                            "set jwks_uri: {there} where the configuration file names the issuer"
                        )
                    }
                    None => settings::moved_away(documents.issuer()),
                },
            )),
            _ => Ok(()),
        }
    }
}
