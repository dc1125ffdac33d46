//! Who asks: the account and partition of the credentials in force.

use aws_sdk_sts::Client;

use crate::error::IamError;

/// The caller, as `sts:GetCallerIdentity` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`.
    pub partition: String,
    /// The user or role.
    pub arn: String,
}

/// Asks STS. It needs no permission.
pub async fn identify(client: &Client) -> Result<Caller, IamError> {
    let what = "the AWS account cannot be found out";
    let answer = client
        .get_caller_identity()
        .send()
        .await
        .map_err(|error| IamError::of(what, error))?;
    let missing = || IamError::request(what, "the answer of STS names no account");
    let arn = answer.arn().ok_or_else(missing)?.to_owned();
    let partition = arn.split(':').nth(1).ok_or_else(missing)?.to_owned();
    Ok(Caller {
        account: answer.account().ok_or_else(missing)?.to_owned(),
        partition,
        arn,
    })
}
