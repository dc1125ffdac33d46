//! An HTTP client for the SDK, with bounds for what comes back: whoever answers for a store or a service, or sits in
//! between, may send without end, or a byte now and then for ever. The SDK bounds neither.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use hyper::body::{Body, Bytes, Frame};
use tokio::time::{Sleep, sleep};

/// The most of an answer that is read: a page of a list has some hundred kilobytes.
pub const MAX_ANSWER: usize = 8 << 20;

/// The most of a refusal that is read.
pub const MAX_REFUSAL: usize = 256 << 10;

/// How long the rest of an answer may take once its headers are there.
pub const READ_WITHIN: Duration = Duration::from_secs(10);

/// The same client, reading no more of an answer than [`MAX_ANSWER`] ([`MAX_REFUSAL`] of one that is no success), for
/// no longer than [`READ_WITHIN`].
pub fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(BoundedClient(client))
}

#[derive(Debug)]
struct BoundedClient(SharedHttpClient);

impl HttpClient for BoundedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(BoundedConnector(
            self.0.http_connector(settings, components),
        ))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct BoundedConnector(SharedHttpConnector);

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let response = call.await?;
            let limit = if response.status().is_success() {
                MAX_ANSWER
            } else {
                MAX_REFUSAL
            };
            Ok(response
                .map(|body| SdkBody::from_body_1_x(BoundedBody::new(body, limit, READ_WITHIN))))
        })
    }
}

struct BoundedBody {
    body: Pin<Box<SdkBody>>,
    limit: usize,
    read: usize,
    within: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl BoundedBody {
    fn new(body: SdkBody, limit: usize, within: Duration) -> Self {
        Self {
            body: Box::pin(body),
            limit,
            read: 0,
            within,
            deadline: Box::pin(sleep(within)),
        }
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            let within = self.within.as_secs_f64();
            let late = format!("the answer did not end within {within} s");
            return Poll::Ready(Some(Err(
                io::Error::new(io::ErrorKind::TimedOut, late).into()
            )));
        }
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.read += frame.data_ref().map_or(0, Bytes::len);
            if self.read > self.limit {
                let large = format!("the answer is larger than {} bytes", self.limit);
                return Poll::Ready(Some(Err(io::Error::other(large).into())));
            }
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use aws_sdk_sts::Config;
    use aws_sdk_sts::config::retry::RetryConfig;
    use aws_sdk_sts::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_http_client::Builder;

    use super::*;
    use crate::Refusal;

    /// What comes of a call to whoever sends this head, and then this again and again.
    async fn asked(head: &'static str, again: &'static [u8]) -> (Refusal, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 8192]).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut sent = 0;
            while stream.write_all(again).is_ok() && sent < 1 << 30 {
                sent += again.len();
            }
            sent
        });
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(url)
            .http_client(bounded(Builder::new().build_http()))
            .credentials_provider(Credentials::new("AK", "SK", None, None, "test"))
            .retry_config(RetryConfig::disabled());
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let error = client.get_caller_identity().send().await.unwrap_err();
        drop(client);
        // The runtime must be free to end the connection: the server writes until it does.
        let sent = tokio::task::spawn_blocking(|| server.join().unwrap());
        (Refusal::of("AWS", error), sent.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        for (head, limit) in [
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n<Error><Code>X</Code><Message>",
                MAX_REFUSAL,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n<Answer>", MAX_ANSWER),
        ] {
            let (refusal, sent) = asked(head, &[b'A'; 16_000]).await;
            let Refusal::Broken { status, source } = refusal else {
                panic!("{refusal:?}");
            };
            assert!(status.is_some());
            let text = format!("{source:?}");
            assert!(
                text.contains(&format!("larger than {limit} bytes")),
                "{text}"
            );
            // What the kernel's buffers hold was sent too.
            assert!(sent < limit + (32 << 20), "{sent}");
        }
    }

    /// Sends a byte at every look, and never all.
    struct Drip;

    impl Body for Drip {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
        }
    }

    #[tokio::test]
    async fn an_answer_that_drips_is_not_waited_for() {
        let within = Duration::from_millis(50);
        let body = BoundedBody::new(SdkBody::from_body_1_x(Drip), MAX_ANSWER, within);
        let mut body = Box::pin(body);
        let error = loop {
            match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(_)) => sleep(Duration::from_millis(5)).await,
                Some(Err(error)) => break error,
                None => panic!("it ended"),
            }
        };
        assert_eq!(error.to_string(), "the answer did not end within 0.05 s");
    }
}
