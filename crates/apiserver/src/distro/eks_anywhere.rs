//! The cluster specification of EKS Anywhere.
//!
//! `podIamConfig.serviceAccountIssuer` becomes the one issuer of the cluster; the one that kubeadm would set is dropped.
//! When `apiServerExtraArgs` names an issuer too, EKS Anywhere joins the two with a comma into one flag, which
//! kube-apiserver takes for one issuer that nobody trusts: a file that would do so is refused.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::{Flag, TokenFlags};
use crate::mounts::Mounts;
use crate::shape::{Field, Rest, Shape};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::EksAnywhere,
    name: "eks-anywhere",
    recognise,
    components,
    next: "eksctl anywhere create cluster -f FILE; the keys are those of Secret CLUSTER-sa in namespace eksa-system. \
           If apiServerExtraArgs is in the file, API_SERVER_EXTRA_ARGS_ENABLED=true must be in the environment",
    keys: "",
    new: "",
    only_one: "EKS Anywhere gives a cluster one issuer: choose it when the cluster is created, with --phase new; --remove-issuer URL drops the \
               one that is written there",
};

const FIELDS: &[Field] = &[Field {
    flag: Flag::Issuer,
    name: "serviceAccountIssuer",
    rest: Rest::Nowhere,
}];

/// The keys are in the Secret that Cluster API writes to every machine: a specification cannot place a file.
const DENIED: &[Flag] = &[Flag::KeyFile, Flag::SigningKeyFile];

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    super::has_type(document, "anywhere.eks.amazonaws.com", &["Cluster"])
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let (index, document) = super::the_only(documents, recognise)?;
    let extra = Path::keys(["spec", "controlPlaneConfiguration", "apiServerExtraArgs"]);
    let pod_iam = Path::keys(["spec", "podIamConfig"]);
    let fields = Shape::Fields {
        path: pod_iam.clone(),
        fields: FIELDS,
    };
    let map = Shape::Map {
        path: extra.clone(),
        lists: false,
        denied: DENIED,
    };
    let issuer = |shape: &Shape| {
        shape
            .flags(document)
            .map(|flags| flags.value(Flag::Issuer).map(str::to_owned))
    };
    if let (Some(first), Some(second)) = (issuer(&map)?, issuer(&fields)?) {
        return Err(ComponentError::CommaJoin {
            first: (extra, first),
            second: (pod_iam, second),
        });
    }
    let in_extra = issuer(&map)?.is_some();
    Ok(vec![Component {
        role: Role::ApiServer,
        place: Place::Document(index),
        // An issuer stays in the field that it is in, so that there are never two.
        shape: if in_extra {
            map
        } else {
            Shape::Both(Box::new(fields), Box::new(map))
        },
        defaults: TokenFlags::new([
            (
                Flag::Issuer,
                "https://kubernetes.default.svc.cluster.local".to_owned(),
            ),
            (Flag::KeyFile, "/etc/kubernetes/pki/sa.pub".to_owned()),
            (
                Flag::SigningKeyFile,
                "/etc/kubernetes/pki/sa.key".to_owned(),
            ),
        ]),
        mounts: Mounts::Unknown {
            visible: &["/etc/kubernetes/pki"],
        },
    }])
}
