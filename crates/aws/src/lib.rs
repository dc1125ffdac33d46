//! What every adapter of an AWS service shares: the HTTP client ([`client`]), with bounds on what it reads ([`bounded`]),
//! and a call of the SDK that failed, sorted by what came back. What the answer means is each adapter's own, by its
//! service's codes, then by those that all share ([`irsa_core::aws_answer`]).

pub mod bounded;
pub mod client;

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use irsa_core::aws_answer::Answer;
use irsa_core::explain::chain;

/// The cause of a failure.
pub type Cause = Box<dyn Error + Send + Sync>;

/// What came of a call that did not succeed.
#[derive(Debug)]
pub enum Refusal {
    /// The service said why.
    Answered {
        /// What it said.
        answer: Answer,
        /// The Region that S3 names when a bucket is in another one (`x-amz-bucket-region`).
        region: Option<String>,
    },
    /// No request was made: no credentials, a value that cannot be sent.
    Unsent(Cause),
    /// No answer, or half of one: whether the service acted is unknown.
    Broken {
        /// The status, if it came as far as that.
        status: Option<u16>,
        /// What broke.
        source: Cause,
    },
}

impl Refusal {
    /// Sorts an error of the SDK. `service` is who answers, as it is shown: `S3`, `AWS`.
    pub fn of<E>(service: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = match &error {
            SdkError::ServiceError(answered) => {
                let (raw, meta) = (answered.raw(), answered.err().meta());
                let header = |name| raw.headers().get(name).map(str::to_owned);
                let answer = Answer {
                    service,
                    status: raw.status().as_u16(),
                    code: meta.code().unwrap_or_default().to_owned(),
                    message: meta.message().unwrap_or_default().to_owned(),
                    request_id: header("x-amzn-requestid").or_else(|| header("x-amz-request-id")),
                };
                let region = header("x-amz-bucket-region");
                return Self::Answered { answer, region };
            }
            SdkError::ConstructionFailure(_) => return Self::Unsent(Box::new(error)),
            SdkError::DispatchFailure(failure)
                if (failure.is_other() || failure.is_user()) && !from_connection(&error) =>
            {
                return Self::Unsent(Box::new(error));
            }
            SdkError::ResponseError(broken) => Some(broken.raw().status().as_u16()),
            _ => None,
        };
        Self::Broken {
            status,
            source: Box::new(error),
        }
    }
}

/// Whether a failure comes from a connection. The SDK calls a connection that ends in the middle of an answer "other",
/// like credentials that are missing, though the request was on its way.
fn from_connection(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<hyper::Error>)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use aws_sdk_sts::Config;
    use aws_sdk_sts::config::retry::RetryConfig;
    use aws_sdk_sts::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> HttpResponse {
        let status = StatusCode::try_from(status).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::empty());
        for (name, value) in headers {
            response.headers_mut().insert(*name, *value);
        }
        response
    }

    fn of(error: SdkError<ErrorMetadata, HttpResponse>) -> Refusal {
        Refusal::of("S3", error)
    }

    #[test]
    fn an_answer_is_told_from_none() {
        let meta = ErrorMetadata::builder()
            .code("SlowDown")
            .message("m")
            .build();
        let headers = [
            ("x-amz-request-id", "R1"),
            ("x-amz-bucket-region", "eu-west-1"),
        ];
        let Refusal::Answered { answer, region } =
            of(SdkError::service_error(meta, response(503, &headers)))
        else {
            panic!("an answer");
        };
        assert_eq!(
            answer.to_string(),
            "S3 answered 503 SlowDown: m (request R1)"
        );
        assert_eq!(region.as_deref(), Some("eu-west-1"));

        let unsent = of(SdkError::construction_failure("no value"));
        assert!(matches!(unsent, Refusal::Unsent(_)));
        let user = ConnectorError::user("bad".into());
        assert!(matches!(
            of(SdkError::dispatch_failure(user)),
            Refusal::Unsent(_)
        ));
        let cut = ConnectorError::io("reset".into());
        let broken = of(SdkError::dispatch_failure(cut));
        assert!(matches!(broken, Refusal::Broken { status: None, .. }));
        let half = of(SdkError::response_error("cut", response(304, &[])));
        assert!(matches!(
            half,
            Refusal::Broken {
                status: Some(304),
                ..
            }
        ));
    }

    /// Asks a server that reads the request, sends this, and ends the connection.
    async fn asked(answer: &'static str, credentials: bool) -> Refusal {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            read
        });
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(url)
            .retry_config(RetryConfig::disabled());
        if credentials {
            config = config.credentials_provider(Credentials::new("AK", "SK", None, None, "test"));
        }
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let error = client.get_caller_identity().send().await.unwrap_err();
        if credentials {
            assert!(server.join().unwrap() > 0, "nothing was sent");
        }
        Refusal::of("AWS", error)
    }

    #[tokio::test]
    async fn a_connection_that_ends_early_does_not_mean_that_nothing_was_sent() {
        for answer in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n<",
            "this is not HTTP\r\n\r\n",
        ] {
            let refusal = asked(answer, true).await;
            assert!(
                matches!(refusal, Refusal::Broken { .. }),
                "{answer:?}: {refusal:?}"
            );
        }
        let refusal = asked("", false).await;
        assert!(matches!(refusal, Refusal::Unsent(_)), "{refusal:?}");
    }
}
