//! kind's cluster configuration: patches of kubeadm's configuration, as YAML texts in strings.
//!
//! It is read once, when the cluster is created, so there is nothing to adopt: `--phase new`. kind patches the version
//! of kubeadm's configuration that it generates (v1beta4 since Kubernetes 1.36); a patch that names another version is
//! passed over, so projects carry one of each and both are edited. A name stands once in either form.

use std::path::Path as FilePath;

use serde_json::Value;

use super::kubeadm_config::{Form, MOUNTED, cluster_configuration};
use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, InnerPath, Place};
use crate::edit::Path;
use crate::mounts::Mounts;
use crate::yaml;

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Kind,
    name: "kind",
    recognise,
    components,
    next: "kind create cluster --config FILE; bring the key files below /etc/kubernetes/pki of the control-plane node with \
           extraMounts. A live kind cluster is patched inside its node: /etc/kubernetes/manifests/kube-apiserver.yaml",
    keys: "",
    new: "",
    only_one: "a kind configuration is read once, when the cluster is created, and there one issuer is enough: --phase new; --remove-issuer URL \
               drops the one that is written there",
};

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    super::has_type(document, "kind.x-k8s.io", &["Cluster"])
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let (index, document) = super::the_only(documents, recognise)?;
    let patches = Path::keys(["kubeadmConfigPatches"]);
    let mut found = texts(document, index, &patches)?;
    if found.is_empty() {
        let count = patches
            .find(document)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        found.push((inside(index, &patches.index(count), 0), Value::Null));
    }
    let nodes = document
        .get("nodes")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    for node in 0..nodes {
        let path = Path::keys(["nodes"])
            .index(node)
            .key("kubeadmConfigPatches");
        found.extend(texts(document, index, &path)?);
    }
    let components = found
        .into_iter()
        .flat_map(|(place, configuration)| of_patch(&place, &configuration));
    Ok(components.collect())
}

/// The documents in a list of texts that are a `ClusterConfiguration`.
fn texts(
    document: &Value,
    index: usize,
    list: &Path,
) -> Result<Vec<(Place, Value)>, ComponentError> {
    let items = list
        .find(document)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut found = Vec::new();
    for (number, item) in items.enumerate() {
        let path = list.index(number);
        let text = item.as_str().unwrap_or_default();
        let documents = yaml::parse(text).map_err(|error| ComponentError::Inner {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        for (inner, document) in documents.into_iter().enumerate() {
            if document.get("kind").and_then(Value::as_str) == Some("ClusterConfiguration") {
                found.push((inside(index, &path, inner), document));
            }
        }
    }
    Ok(found)
}

fn inside(document: usize, text: &Path, inner: usize) -> Place {
    Place::Inside {
        document,
        text: InnerPath(text.clone()),
        inner,
        template: "kind: ClusterConfiguration\n",
    }
}

fn of_patch(place: &Place, configuration: &Value) -> Vec<Component> {
    let version = configuration.get("apiVersion").and_then(Value::as_str);
    let listed = ["apiServer", "controllerManager"].iter().any(|part| {
        configuration
            .get(part)
            .and_then(|part| part.get("extraArgs"))
            .is_some_and(Value::is_array)
    });
    // Without a version kind converts a mapping to whatever it generates.
    let form = if listed || version == Some("kubeadm.k8s.io/v1beta4") {
        Form::UniqueList
    } else {
        Form::Map
    };
    cluster_configuration(configuration, &Path::root(), place, form)
        .into_iter()
        .map(|component| Component {
            // A list in a patch replaces the lists of earlier patches: extraVolumes is left alone.
            mounts: Mounts::Unknown { visible: MOUNTED },
            ..component
        })
        .collect()
}
