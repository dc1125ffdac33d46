//! What `irsa doctor` sees of a role: its ARN and trust policy, with `iam:GetRole` alone.

use aws_sdk_iam::Client;
use irsa_core::diagnosis::facts::RoleFound;
use irsa_core::trust::TrustPolicy;

use crate::error::{Fault, IamError};

/// The role; `None` if there is none.
pub async fn look(client: &Client, name: &str) -> Result<Option<RoleFound>, IamError> {
    let what = || format!("role \"{name}\" cannot be read");
    let sent = client.get_role().role_name(name).send().await;
    let output = match sent.map_err(|error| IamError::of(what(), error)) {
        Ok(output) => output,
        Err(error) if error.fault() == Fault::Missing => return Ok(None),
        Err(error) => return Err(error),
    };
    let role = output
        .role()
        .ok_or_else(|| IamError::request(what(), "the answer has no role"))?;
    // IAM returns policy documents percent-encoded (RFC 3986).
    let document = role.assume_role_policy_document().unwrap_or_default();
    let document = percent_encoding::percent_decode_str(document).decode_utf8_lossy();
    Ok(Some(RoleFound {
        arn: role.arn().to_owned(),
        trust: TrustPolicy::parse(&document),
    }))
}
