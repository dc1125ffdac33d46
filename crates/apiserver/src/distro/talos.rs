//! Talos' machine configuration.
//!
//! Up to 1.13 the flags are in `cluster.apiServer.extraArgs`; since 1.13 a value may be a list. Talos has one service
//! account key (`cluster.serviceAccount.key`) and refuses the key flags. Since 1.14 a document of its own,
//! `KubeServiceAccountConfig`, has the issuer that signs and the issuers and keys that are accepted.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::{Flag, TokenFlags};
use crate::mounts::Mounts;
use crate::shape::{Field, Rest, Shape};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Talos,
    name: "talos",
    recognise,
    components,
    next: "talosctl apply-config -n NODE -f FILE, one control-plane node at a time, each ready before the next; two issuers in a \
           list need Talos 1.13",
    keys: "",
    new: "",
    only_one: "write the values as a list, which needs Talos 1.13",
};

/// Talos sets them, and refuses them in `extraArgs`.
const DENIED: &[Flag] = &[
    Flag::KeyFile,
    Flag::SigningKeyFile,
    Flag::SigningEndpoint,
    Flag::PrivateKeyFile,
];

/// The types of a machine that runs kube-apiserver.
const CONTROL_PLANES: [&str; 2] = ["controlplane", "init"];

/// The document of Talos 1.14 with kube-apiserver's other flags.
const SEPARATE: &str = "KubeAPIServerConfig";

const FIELDS: &[Field] = &[
    Field {
        flag: Flag::Issuer,
        name: "issuer.issuerURL",
        rest: Rest::Field("accepted.issuers"),
    },
    Field {
        flag: Flag::ApiAudiences,
        name: "accepted.audiences",
        rest: Rest::Same,
    },
];

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    if super::type_of(document) == Some(("v1alpha1", "KubeServiceAccountConfig")) {
        return Some("kind KubeServiceAccountConfig".to_owned());
    }
    let keys = document.as_object()?;
    if keys.contains_key("apiVersion") || keys.contains_key("kind") {
        return None;
    }
    let part = ["cluster", "machine"]
        .into_iter()
        .find(|part| document.get(part).is_some_and(Value::is_object))?;
    Some(format!("key {part}"))
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let mut own = None;
    let mut machine = None;
    for (index, document) in documents.iter().enumerate() {
        if recognise(document, FilePath::new("")).is_none() {
            continue;
        }
        let slot = if document.get("kind").is_some() {
            &mut own
        } else {
            &mut machine
        };
        if slot.replace((index, document)).is_some() {
            return Err(ComponentError::Twice(Role::ApiServer));
        }
    }
    let kind = machine.and_then(|(_, document): (usize, &Value)| document.pointer("/machine/type"));
    if let Some(kind) = kind.and_then(Value::as_str)
        && !CONTROL_PLANES.contains(&kind)
    {
        return Err(ComponentError::NoControlPlane(kind.to_owned()));
    }
    // Talos takes no cluster.apiServer beside it, and its extraArgs overrule KubeServiceAccountConfig.
    let separate = documents
        .iter()
        .find(|one| super::type_of(one) == Some(("v1alpha1", SEPARATE)));
    let names_flags = |document: &Value| {
        let extra = document.get("extraArgs").and_then(Value::as_object);
        extra.is_some_and(|extra| extra.keys().any(|name| Flag::named(name).is_some()))
    };
    if separate.is_some_and(|document| own.is_none() || names_flags(document)) {
        return Err(ComponentError::Separate(SEPARATE));
    }
    // Where both are, the document of its own holds the issuers.
    match (own, machine) {
        (Some((index, _)), _) => Ok(vec![service_account(index)]),
        (None, Some((index, document))) => Ok(vec![extra_args(index, document)]),
        (None, None) => Err(ComponentError::None),
    }
}

fn service_account(index: usize) -> Component {
    Component {
        role: Role::ApiServer,
        place: Place::Document(index),
        shape: Shape::Fields {
            path: Path::root(),
            fields: FIELDS,
        },
        defaults: TokenFlags::default(),
        mounts: Mounts::Unknown { visible: &[] },
    }
}

fn extra_args(index: usize, document: &Value) -> Component {
    let endpoint = document
        .pointer("/cluster/controlPlane/endpoint")
        .and_then(Value::as_str);
    Component {
        role: Role::ApiServer,
        place: Place::Document(index),
        shape: Shape::Map {
            path: Path::keys(["cluster", "apiServer", "extraArgs"]),
            lists: true,
            denied: DENIED,
        },
        defaults: TokenFlags::new(endpoint.into_iter().flat_map(|endpoint| {
            [Flag::Issuer, Flag::ApiAudiences].map(|flag| (flag, endpoint.to_owned()))
        })),
        mounts: Mounts::Unknown { visible: &[] },
    }
}
