//! A token as this node is going to sign it, made before it does.

use std::path::Path;

use irsa_apiserver::flags::TokenFlags;
use irsa_apiserver::live::ApiServer;
use irsa_core::issuer::IssuerUrl;
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_core::token::claims::{ServiceAccount, TokenRequest};
use irsa_issuer::keyfile;
use irsa_issuer::sign::{Signer, random_uuid};
use jiff::Timestamp;

use crate::report::Failure;

/// Test tokens live as long as kube-apiserver's shortest.
const CANARY_SECONDS: i64 = 600;

/// What makes such tokens.
pub(super) struct Canary {
    signer: Signer,
    issuer: IssuerUrl,
    audience: String,
}

impl Canary {
    /// With the key that is going to sign; none when it is not on this host.
    pub(super) fn read(
        signing: Option<&Path>,
        issuer: &IssuerUrl,
        flags: &TokenFlags,
    ) -> Result<Option<Self>, Failure> {
        let Some(path) = signing.filter(|path| path.exists()) else {
            return Ok(None);
        };
        // kube-apiserver's own file: its mode is its owner's business here.
        let key = PrivateKeyPem::parse(&keyfile::read(path)?)?;
        Ok(Some(Self {
            signer: Signer::new(&key)?,
            issuer: issuer.clone(),
            audience: flags.audiences().first().cloned().unwrap_or_default(),
        }))
    }

    /// The key that is going to sign.
    pub(super) fn kid(&self) -> &Kid {
        self.signer.kid()
    }

    /// A token of the wanted issuer and key.
    pub(super) async fn token(
        &self,
        server: &ApiServer,
        account: &ServiceAccount,
    ) -> Result<String, Failure> {
        let uid = server.uid(account).await?;
        let token_id = random_uuid()?;
        let request = TokenRequest {
            issuer: &self.issuer,
            audience: &self.audience,
            service_account: account,
            uid: &uid,
            token_id: &token_id,
            issued_at: Timestamp::now(),
            lifetime: CANARY_SECONDS,
        };
        Ok(self.signer.token(&request.to_bytes())?)
    }
}
