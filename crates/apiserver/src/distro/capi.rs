//! Cluster API's `KubeadmControlPlane`: a `ClusterConfiguration` inside, from which every machine is made anew.
//!
//! v1beta1 has `extraArgs` as a mapping, v1beta2 as a list in which a name may stand once only (a rule in the schema,
//! because it must convert to v1beta1). Two issuers fit into neither: kubeadm patches do it, see the documentation.

use std::path::Path as FilePath;

use serde_json::Value;

use super::kubeadm_config::{Form, cluster_configuration};
use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place};
use crate::edit::Path;

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Capi,
    name: "capi",
    recognise,
    components,
    next: "kubectl apply -f FILE on the management cluster: it replaces the control-plane machines one by one; wait until all \
           are new before the next phase",
    keys: "",
    new: "kubectl apply -f FILE on the management cluster, together with the cluster that it makes",
    only_one: "extraArgs holds each flag once in every version of Cluster API: on a live cluster add the second issuer with a kubeadm patch \
               (docs/distributions.md has it ready); for a cluster that does not exist yet one issuer is enough: --phase new",
};

const GROUP: &str = "controlplane.cluster.x-k8s.io";
const KINDS: &[&str] = &["KubeadmControlPlane", "KubeadmControlPlaneTemplate"];

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    super::has_type(document, GROUP, KINDS)
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let Some((version, kind)) =
            super::type_of(document).filter(|_| recognise(document, FilePath::new("")).is_some())
        else {
            continue;
        };
        let form = match version.rsplit('/').next() {
            Some("v1beta2") => Form::UniqueList,
            Some("v1beta1" | "v1alpha4" | "v1alpha3") => Form::Map,
            _ => {
                return Err(ComponentError::Version {
                    found: version.to_owned(),
                    expected: "controlplane.cluster.x-k8s.io/v1beta2 or v1beta1",
                });
            }
        };
        let template: &[&str] = if kind == "KubeadmControlPlaneTemplate" {
            &["spec", "template"]
        } else {
            &[]
        };
        let path =
            template
                .iter()
                .copied()
                .chain(["spec", "kubeadmConfigSpec", "clusterConfiguration"]);
        found.extend(cluster_configuration(
            document,
            &Path::keys(path),
            &Place::Document(index),
            form,
        ));
    }
    if found.is_empty() {
        return Err(ComponentError::None);
    }
    Ok(found)
}
