//! One kube-apiserver, asked directly: what it serves, what it signs, and what it accepts.
//!
//! A load balancer in front would answer for whichever server it likes; every question here goes to one address.

mod addresses;
mod error;
mod legacy;
mod metrics;

use std::fmt;
use std::time::Duration;

use http::Request;
use irsa_core::token::claims::ServiceAccount;
use serde_json::{Value, json};

use self::addresses::addresses;
pub use self::error::{AddressError, Cause, LiveError, Unanswered};
pub use self::legacy::LegacyToken;
use self::metrics::stale_tokens;
pub use self::metrics::start_instant;
use crate::rollout::Used;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest life that kube-apiserver gives to a token (`TokenRequest`, `expirationSeconds`).
const TOKEN_SECONDS: u32 = 600;

/// One API server.
#[derive(Clone)]
pub struct ApiServer {
    url: String,
    client: kube::Client,
}

/// What a server says of a token (`TokenReview`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Whether it accepts it.
    pub authenticated: bool,
    /// Why not.
    pub error: Option<String>,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// The server at an address, with the credentials and the CA of a configuration.
    pub fn new(
        config: &kube::Config,
        url: &str,
        tls_server_name: Option<&str>,
    ) -> Result<Self, AddressError> {
        let fail = |reason: String| AddressError::Url {
            url: url.to_owned(),
            reason,
        };
        let url = url.trim_end_matches('/');
        let uri: http::Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| fail(error.to_string()))?;
        if uri.scheme_str() != Some("https") || uri.host().is_none() {
            return Err(fail("it is no https URL".into()));
        }
        let mut config = config.clone();
        config.cluster_url = uri;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        config.write_timeout = Some(TIMEOUT);
        config.reset_reader_on_write = true;
        // We ask again ourselves, and want to see each failure.
        config.default_retry = false;
        if tls_server_name.is_some() {
            config.tls_server_name = tls_server_name.map(str::to_owned);
        }
        let client = kube::Client::try_from(config).map_err(|error| AddressError::Credentials {
            url: url.to_owned(),
            source: error.into(),
        })?;
        Ok(Self {
            url: url.to_owned(),
            client,
        })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its discovery document; none when it serves none.
    pub async fn discovery(&self) -> Result<Option<String>, LiveError> {
        self.document("/.well-known/openid-configuration").await
    }

    /// Its JWKS; none when it serves none.
    pub async fn jwks(&self) -> Result<Option<String>, LiveError> {
        self.document("/openid/v1/jwks").await
    }

    async fn document(&self, path: &'static str) -> Result<Option<String>, LiveError> {
        match self.get(path).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is ready (`/readyz`).
    pub async fn ready(&self) -> Result<(), LiveError> {
        self.get("/readyz").await.map(drop)
    }

    /// When its process started, in seconds since 1970, as its own metrics say. It tells an old process from a new one.
    pub async fn started(&self) -> Result<Option<f64>, LiveError> {
        Ok(start_instant(&self.get("/metrics").await?))
    }

    /// When its process started, in seconds since 1970, and what it has used since.
    pub async fn process(&self) -> Result<Option<(f64, Used)>, LiveError> {
        Ok(metrics::process(&self.get("/metrics").await?))
    }

    /// Since when its process counts, in seconds since 1970, and how often it has met a client that never reads a new
    /// token (`serviceaccount_stale_tokens_total`). A counter that is not there has not counted yet.
    pub async fn stale_tokens(&self) -> Result<Option<(i64, u64)>, LiveError> {
        let text = self.get("/metrics").await?;
        Ok(stale_tokens(&text))
    }

    /// A token signed by this server (`TokenRequest`), for its own audiences when none is given.
    pub async fn mint(
        &self,
        account: &ServiceAccount,
        audiences: &[&str],
    ) -> Result<String, LiveError> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            account.namespace(),
            account.name()
        );
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": TOKEN_SECONDS},
        });
        let answer = self.create(&path, "a TokenRequest", &body).await?;
        Ok(answer
            .pointer("/status/token")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// What this server says of a token (`TokenReview`), for its own audiences.
    pub async fn review(&self, token: &str) -> Result<Review, LiveError> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        });
        let answer = self
            .create(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                "a TokenReview",
                &body,
            )
            .await?;
        let status = answer.get("status").cloned().unwrap_or_default();
        Ok(Review {
            authenticated: status
                .get("authenticated")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            error: status
                .get("error")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }

    /// The UID of a ServiceAccount, which a token must name.
    pub async fn uid(&self, account: &ServiceAccount) -> Result<String, LiveError> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}",
            account.namespace(),
            account.name()
        );
        let value = self.read(&path, "for a ServiceAccount").await?;
        Ok(value
            .pointer("/metadata/uid")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// The addresses of all API servers, as they register themselves (`EndpointSlice` default/kubernetes).
    pub async fn all(&self) -> Result<Vec<String>, LiveError> {
        let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";
        let slices = self.read(path, "for the list of API servers").await?;
        Ok(addresses(&slices))
    }

    /// Reads an object.
    pub(crate) async fn read(
        &self,
        path: &str,
        question: &'static str,
    ) -> Result<Value, LiveError> {
        let text = self.ask(path, question).await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Creates an object.
    pub(crate) async fn create(
        &self,
        path: &str,
        question: &'static str,
        body: &Value,
    ) -> Result<Value, LiveError> {
        self.write(http::Method::POST, path, question, body).await
    }

    /// Replaces an object, if it is still of the version that the body names.
    pub(crate) async fn replace(
        &self,
        path: &str,
        question: &'static str,
        body: &Value,
    ) -> Result<Value, LiveError> {
        self.write(http::Method::PUT, path, question, body).await
    }

    /// Deletes an object, as `options` (`DeleteOptions`) say.
    pub(crate) async fn delete(
        &self,
        path: &str,
        question: &'static str,
        options: &Value,
    ) -> Result<Value, LiveError> {
        self.write(http::Method::DELETE, path, question, options)
            .await
    }

    async fn get(&self, path: &'static str) -> Result<String, LiveError> {
        self.ask(path, path).await
    }

    async fn ask(&self, path: &str, question: &'static str) -> Result<String, LiveError> {
        let request = Request::get(path).body(Vec::new());
        self.send(request, question).await
    }

    async fn write(
        &self,
        method: http::Method,
        path: &str,
        question: &'static str,
        body: &Value,
    ) -> Result<Value, LiveError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes());
        let text = self.send(request, question).await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn send(
        &self,
        request: Result<Request<Vec<u8>>, http::Error>,
        question: &'static str,
    ) -> Result<String, LiveError> {
        let fail = |source| LiveError {
            server: self.url.clone(),
            question,
            source: Box::new(Cause(source)),
        };
        let request = request.map_err(|error| fail(kube::Error::HttpError(error)))?;
        self.client.request_text(request).await.map_err(fail)
    }
}
