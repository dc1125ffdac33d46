//! The cluster specification of kOps.
//!
//! An issuer that is not written is derived from much else, so the one in force must be written out before another is
//! added. kOps adds its own key file to the list, and sets `--service-account-jwks-uri` to `ISSUER/openid/v1/jwks`
//! whatever the file says. With a `discoveryStore` it also writes both documents of the first issuer there, at every
//! `kops update cluster`, over those of another issuer that stand there.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::{Flag, TokenFlags};
use crate::mounts::Mounts;
use crate::shape::{Field, Rest, Shape};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Kops,
    name: "kops",
    recognise,
    components,
    next: "kops replace -f FILE, kops update cluster --yes, kops rolling-update cluster --instance-group-roles control-plane --yes",
    keys: "",
    new: "",
    only_one: "kOps has one field for it",
};

const FIELDS: &[Field] = &[
    Field {
        flag: Flag::Issuer,
        name: "serviceAccountIssuer",
        rest: Rest::Field("additionalServiceAccountIssuers"),
    },
    Field {
        flag: Flag::KeyFile,
        name: "serviceAccountKeyFile",
        rest: Rest::Same,
    },
    Field {
        flag: Flag::SigningKeyFile,
        name: "serviceAccountSigningKeyFile",
        rest: Rest::Nowhere,
    },
    Field {
        flag: Flag::ApiAudiences,
        name: "apiAudiences",
        rest: Rest::Same,
    },
];

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    super::has_type(document, "kops.k8s.io", &["Cluster"])
        .or_else(|| super::has_type(document, "kops", &["Cluster"]))
}

/// Where kOps publishes the documents of the issuer that signs (`pkg/model/issuerdiscovery.go`), if the specification
/// has it do so.
pub(super) fn discovery_store(documents: &[Value]) -> Option<(Path, &str)> {
    let (_, document) = super::the_only(documents, recognise).ok()?;
    let path = Path::keys(["spec", "serviceAccountIssuerDiscovery", "discoveryStore"]);
    let store = path.find(document).and_then(Value::as_str)?;
    (!store.is_empty()).then_some((path, store))
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let (index, _) = super::the_only(documents, recognise)?;
    Ok(vec![Component {
        role: Role::ApiServer,
        place: Place::Document(index),
        shape: Shape::Fields {
            path: Path::keys(["spec", "kubeAPIServer"]),
            fields: FIELDS,
        },
        defaults: TokenFlags::new([(Flag::ApiAudiences, "kubernetes.svc.default".to_owned())]),
        mounts: Mounts::Unknown {
            visible: &["/srv/kubernetes/kube-apiserver"],
        },
    }])
}
