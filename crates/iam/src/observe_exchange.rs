//! A token shown to STS as a pod shows it: what comes back is the answer, and the credentials are dropped.

use aws_sdk_sts::Client;
use aws_sdk_sts::error::SdkError;
use irsa_core::aws_answer::AwsFault;
use irsa_core::diagnosis::facts::Exchange;

use crate::error::{Fault, IamError};

/// The shortest session that there is, in seconds.
const SHORTEST: i32 = 900;
/// Shows in `CloudTrail` who asked.
const SESSION: &str = "irsa-doctor";

/// Exchanges a token once. The call needs no credentials.
pub async fn exchange(client: &Client, role_arn: &str, token: &str) -> Result<Exchange, IamError> {
    let sent = client
        .assume_role_with_web_identity()
        .role_arn(role_arn)
        .role_session_name(SESSION)
        .web_identity_token(token)
        .duration_seconds(SHORTEST)
        .send()
        .await;
    let error = match sent {
        Ok(output) => {
            let user = output.assumed_role_user();
            let arn = user.map_or_else(|| role_arn.to_owned(), |user| user.arn().to_owned());
            return Ok(Exchange { answer: Ok(arn) });
        }
        Err(error) => error,
    };
    let refusal = match &error {
        SdkError::ServiceError(answered) => {
            let meta = answered.err().meta();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            Some((text(meta.code()), text(meta.message())))
        }
        _ => None,
    };
    let error = IamError::of("STS cannot be asked", error);
    match refusal {
        Some(refusal) if error.fault() != Fault::Aws(AwsFault::Busy) => Ok(Exchange {
            answer: Err(refusal),
        }),
        _ => Err(error),
    }
}
