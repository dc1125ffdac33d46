//! The HTTP client under every client of AWS.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::Cause;
use crate::bounded::bounded;

/// A client that trusts the CAs of the system, and those in `ca_pem`; it goes through the proxy that the environment
/// names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), as the SDK's own does, and bounds what it reads.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client(ca_pem: Option<Vec<u8>>) -> Result<SharedHttpClient, Cause> {
    let mut roots = TrustStore::default();
    if let Some(pem) = ca_pem {
        roots = roots.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(roots).build()?;
    let proxy = ProxyConfig::from_env();
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        // Timeouts of connections need a clock.
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    });
    Ok(bounded(client))
}
