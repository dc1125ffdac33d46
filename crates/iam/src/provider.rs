//! The IAM OIDC provider: looked at, and changed one call at a time. What is to be changed is decided in
//! [`irsa_core::provider`].

use std::collections::BTreeMap;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::Tag;
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::{ProviderArn, ProviderChange, ProviderState, ProviderWanted};

use crate::error::{Fault, IamError};

/// What the provider is like; `None` if there is none.
pub async fn observe(
    client: &Client,
    arn: &ProviderArn,
) -> Result<Option<ProviderState>, IamError> {
    let sent = client
        .get_open_id_connect_provider()
        .open_id_connect_provider_arn(arn.to_string())
        .send()
        .await
        .map_err(|error| IamError::of(format!("OIDC provider {arn} cannot be read"), error));
    match sent {
        Ok(found) => Ok(Some(ProviderState {
            url: found.url().unwrap_or_default().to_owned(),
            client_ids: found.client_id_list().to_vec(),
            ca_thumbprints: found.thumbprint_list().to_vec(),
            tags: tags_of(found.tags()),
        })),
        Err(error) if error.fault() == Fault::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes one change.
pub async fn apply(
    client: &Client,
    arn: &ProviderArn,
    change: &ProviderChange,
) -> Result<(), IamError> {
    let name = arn.to_string();
    let what = format!("OIDC provider {arn} cannot be changed");
    match change {
        ProviderChange::Create(wanted) => return create(client, wanted).await,
        ProviderChange::AddClientId(id) => client
            .add_client_id_to_open_id_connect_provider()
            .open_id_connect_provider_arn(name)
            .client_id(id)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what, error)),
        ProviderChange::RemoveClientId(id) => client
            .remove_client_id_from_open_id_connect_provider()
            .open_id_connect_provider_arn(name)
            .client_id(id)
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what, error)),
        ProviderChange::Thumbprints { list, .. } => client
            .update_open_id_connect_provider_thumbprint()
            .open_id_connect_provider_arn(name)
            .set_thumbprint_list(Some(list.clone()))
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what, error)),
        ProviderChange::Tag(tags) => client
            .tag_open_id_connect_provider()
            .open_id_connect_provider_arn(name)
            .set_tags(Some(sdk_tags(tags)?))
            .send()
            .await
            .map(drop)
            .map_err(|error| IamError::of(what, error)),
    }
}

async fn create(client: &Client, wanted: &ProviderWanted) -> Result<(), IamError> {
    let thumbprints = (!wanted.ca_thumbprints.is_empty()).then(|| wanted.ca_thumbprints.clone());
    client
        .create_open_id_connect_provider()
        .url(wanted.issuer.as_str())
        .set_client_id_list(Some(wanted.client_ids.clone()))
        .set_thumbprint_list(thumbprints)
        .set_tags(Some(sdk_tags(&wanted.tags)?))
        .send()
        .await
        .map(drop)
        .map_err(|error| {
            IamError::of(
                format!("OIDC provider of {} cannot be made", wanted.issuer),
                error,
            )
        })
}

/// Deletes the provider. From then on no token of the issuer is accepted.
pub async fn delete(client: &Client, arn: &ProviderArn) -> Result<(), IamError> {
    client
        .delete_open_id_connect_provider()
        .open_id_connect_provider_arn(arn.to_string())
        .send()
        .await
        .map(drop)
        .map_err(|error| IamError::of(format!("OIDC provider {arn} cannot be deleted"), error))
}

/// The ARNs of all OIDC providers of the account.
pub async fn list(client: &Client) -> Result<Vec<ProviderArn>, IamError> {
    let listed = client
        .list_open_id_connect_providers()
        .send()
        .await
        .map_err(|error| IamError::of("the OIDC providers cannot be listed", error))?;
    let arns = listed.open_id_connect_provider_list().iter();
    Ok(arns
        .filter_map(|entry| ProviderArn::parse(entry.arn()?).ok())
        .collect())
}

pub(crate) fn tags_of(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter()
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect()
}

pub(crate) fn sdk_tags(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, IamError> {
    tags.iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|error| IamError::request("the tags cannot be sent", error))
}

/// The provider of an issuer, looked for among all: for services whose ARNs are not made as those of AWS.
pub async fn find(client: &Client, issuer: &IssuerUrl) -> Result<Option<ProviderArn>, IamError> {
    Ok(list(client)
        .await?
        .into_iter()
        .find(|arn| arn.is_of(issuer)))
}
