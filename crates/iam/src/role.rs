//! An IAM role: looked at, and changed one call at a time. What is to be changed is decided in [`irsa_core::role`].

use aws_sdk_iam::Client;
use aws_sdk_iam::operation::get_role::GetRoleOutput;
use aws_sdk_iam::types::Role;
use irsa_core::role::{INLINE_POLICY, RoleAttachments, RoleChange, RoleRemoval, RoleState};
use irsa_core::trust::TrustPolicy;

use crate::error::{Fault, IamError};
use crate::provider::{sdk_tags, tags_of};

fn what(name: &str, verb: &str) -> String {
    format!("role \"{name}\" cannot be {verb}")
}

/// What the role is like; `None` if there is none.
pub async fn observe(client: &Client, name: &str) -> Result<Option<RoleState>, IamError> {
    let sent = client.get_role().role_name(name).send().await;
    let found = match sent.map_err(|error| IamError::of(what(name, "read"), error)) {
        Ok(found) => found,
        Err(error) if error.fault() == Fault::Missing => return Ok(None),
        Err(error) => return Err(error),
    };
    let role = of_answer(name, &found)?;
    Ok(Some(RoleState {
        arn: role.arn().to_owned(),
        path: role.path().to_owned(),
        trust: trust_of(name, role)?,
        policy_arns: attached(client, name).await?,
        inline: inline(client, name).await?,
        boundary: role
            .permissions_boundary()
            .and_then(|boundary| boundary.permissions_boundary_arn())
            .map(str::to_owned),
        max_session: role.max_session_duration(),
        tags: tags_of(role.tags()),
    }))
}

fn of_answer<'a>(name: &str, found: &'a GetRoleOutput) -> Result<&'a Role, IamError> {
    let missing = || IamError::request(what(name, "read"), "the answer has no role");
    found.role().ok_or_else(missing)
}

fn trust_of(name: &str, role: &Role) -> Result<TrustPolicy, IamError> {
    let text = decoded(role.assume_role_policy_document().unwrap_or_default());
    TrustPolicy::parse(&text).map_err(|error| IamError::request(what(name, "understood"), error))
}

/// IAM returns policy documents percent-encoded (RFC 3986).
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

async fn attached(client: &Client, name: &str) -> Result<Vec<String>, IamError> {
    let mut arns = Vec::new();
    let mut marker = None;
    loop {
        let page = client
            .list_attached_role_policies()
            .role_name(name)
            .set_marker(marker)
            .send()
            .await
            .map_err(|error| IamError::of(what(name, "asked for its policies"), error))?;
        let policies = page.attached_policies().iter();
        arns.extend(policies.filter_map(|policy| policy.policy_arn().map(str::to_owned)));
        marker = page.marker().map(str::to_owned);
        if !page.is_truncated() || marker.is_none() {
            return Ok(arns);
        }
    }
}

async fn inline(client: &Client, name: &str) -> Result<Option<String>, IamError> {
    let sent = client
        .get_role_policy()
        .role_name(name)
        .policy_name(INLINE_POLICY)
        .send()
        .await
        .map_err(|error| IamError::of(what(name, "asked for its inline policy"), error));
    match sent {
        Ok(found) => Ok(Some(decoded(found.policy_document()))),
        Err(error) if error.fault() == Fault::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes one change.
pub async fn apply(client: &Client, name: &str, change: &RoleChange) -> Result<(), IamError> {
    match change {
        RoleChange::Create { .. } => create(client, name, change).await,
        RoleChange::Trust { before, trust, .. } => set_trust(client, name, before, trust).await,
        RoleChange::Boundary(arn) => client
            .put_role_permissions_boundary()
            .role_name(name)
            .permissions_boundary(arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "given a permissions boundary"), error)),
        RoleChange::MaxSession(seconds) => client
            .update_role()
            .role_name(name)
            .max_session_duration(*seconds)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "changed"), error)),
        RoleChange::Attach(arn) => client
            .attach_role_policy()
            .role_name(name)
            .policy_arn(arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(format!("{} {arn}", what(name, "given policy")), error)),
        RoleChange::Inline(text) => client
            .put_role_policy()
            .role_name(name)
            .policy_name(INLINE_POLICY)
            .policy_document(text)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "given its inline policy"), error)),
    }
}

/// IAM has no condition for this write: what stands is looked at once more just before it.
async fn set_trust(
    client: &Client,
    name: &str,
    before: &TrustPolicy,
    trust: &str,
) -> Result<(), IamError> {
    let what = || what(name, "given another trust policy");
    let sent = client.get_role().role_name(name).send().await;
    let found = sent.map_err(|error| IamError::of(what(), error))?;
    if trust_of(name, of_answer(name, &found)?)? != *before {
        return Err(IamError::lost_race(what()));
    }
    client
        .update_assume_role_policy()
        .role_name(name)
        .policy_document(trust)
        .send()
        .await
        .map(drop)
        .map_err(|error| IamError::of(what(), error))
}

async fn create(client: &Client, name: &str, change: &RoleChange) -> Result<(), IamError> {
    let RoleChange::Create {
        path,
        trust,
        boundary,
        max_session,
        tags,
        ..
    } = change
    else {
        return Ok(());
    };
    client
        .create_role()
        .role_name(name)
        .path(path)
        .assume_role_policy_document(trust)
        .set_permissions_boundary(boundary.clone())
        .set_max_session_duration(*max_session)
        .set_tags(Some(sdk_tags(tags)?))
        .send()
        .await
        .map(drop)
        .map_err(|error| IamError::of(what(name, "made"), error))
}

/// What hangs on the role besides managed policies.
pub async fn attachments(client: &Client, name: &str) -> Result<RoleAttachments, IamError> {
    let mut found = RoleAttachments::default();
    let mut marker = None;
    loop {
        let page = client
            .list_role_policies()
            .role_name(name)
            .set_marker(marker)
            .send()
            .await
            .map_err(|error| IamError::of(what(name, "asked for its inline policies"), error))?;
        found.inline.extend(page.policy_names().iter().cloned());
        marker = page.marker().map(str::to_owned);
        if !page.is_truncated() || marker.is_none() {
            break;
        }
    }
    // A role is in one profile, or by quota in a few: the first page has them all.
    let profiles = client
        .list_instance_profiles_for_role()
        .role_name(name)
        .send()
        .await
        .map_err(|error| IamError::of(what(name, "asked for its instance profiles"), error))?;
    let names = profiles.instance_profiles().iter();
    found.instance_profiles = names
        .map(|profile| profile.instance_profile_name().to_owned())
        .collect();
    Ok(found)
}

/// Makes one step of a removal. What is gone already counts as removed.
pub async fn remove(client: &Client, name: &str, removal: &RoleRemoval) -> Result<(), IamError> {
    let done = match removal {
        RoleRemoval::Detach(arn) => client
            .detach_role_policy()
            .role_name(name)
            .policy_arn(arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "freed of its policies"), error)),
        RoleRemoval::DeleteInline => client
            .delete_role_policy()
            .role_name(name)
            .policy_name(INLINE_POLICY)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "freed of its inline policy"), error)),
        RoleRemoval::Delete => client
            .delete_role()
            .role_name(name)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what(name, "deleted"), error)),
    };
    match done {
        Err(error) if error.fault() == Fault::Missing => Ok(()),
        other => other,
    }
}

/// The names of all roles of the account.
pub async fn names(client: &Client) -> Result<Vec<String>, IamError> {
    let mut names = Vec::new();
    let mut marker = None;
    loop {
        let page = client
            .list_roles()
            .set_marker(marker)
            .send()
            .await
            .map_err(|error| IamError::of("the roles cannot be listed", error))?;
        names.extend(page.roles().iter().map(|role| role.role_name().to_owned()));
        marker = page.marker().map(str::to_owned);
        if !page.is_truncated() || marker.is_none() {
            return Ok(names);
        }
    }
}
