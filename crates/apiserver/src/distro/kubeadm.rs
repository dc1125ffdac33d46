//! The static pod manifests that kubeadm writes to `/etc/kubernetes/manifests`.
//!
//! Everything that is in force is in the manifest: there are no defaults behind it but kube-apiserver's own.
//! `kubeadm upgrade` writes the manifest anew from the `ClusterConfiguration`, so a change must be made there as well.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::TokenFlags;
use crate::mounts::Mounts;
use crate::shape::{Shape, ShapeError};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Kubeadm,
    name: "kubeadm",
    recognise,
    components,
    next: "the kubelet starts the pod anew when the file changes in its manifest directory: one node at a time, each \
           checked before the next (irsa apiserver rollout does that); make the same change in the ClusterConfiguration, \
           from which kubeadm upgrade writes the manifest anew",
    keys: "",
    new: "",
    only_one: "give the flag once for each value",
};

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    (super::type_of(document)? == ("v1", "Pod")).then_some(())?;
    containers(document).find_map(|(_, container)| {
        let role = role(container).or_else(|| wrapped(container).map(|(role, _)| role))?;
        Some(format!("a Pod with a container of {role}"))
    })
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let mut found: Vec<Component> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if super::type_of(document) != Some(("v1", "Pod")) {
            continue;
        }
        for (number, container) in containers(document) {
            let Some(role) = role(container) else {
                continue;
            };
            if found.iter().any(|other| other.role == role) {
                return Err(ComponentError::Twice(role));
            }
            found.push(component(role, index, number, container)?);
        }
    }
    if found.is_empty() {
        return Err(wrapper(documents).map_or(ComponentError::None, Into::into));
    }
    Ok(found)
}

/// The first program that starts a component in the place of itself.
fn wrapper(documents: &[Value]) -> Option<ShapeError> {
    let pods = documents
        .iter()
        .filter(|document| super::type_of(document) == Some(("v1", "Pod")));
    pods.flat_map(containers).find_map(|(number, container)| {
        let (role, wrapper) = wrapped(container)?;
        let path = Path::keys(["spec"]).key("containers").index(number);
        Some(ShapeError::Wrapped {
            path: path.key("command"),
            program: role.program(),
            wrapper: wrapper.to_owned(),
        })
    })
}

fn component(
    role: Role,
    document: usize,
    number: usize,
    container: &Value,
) -> Result<Component, ComponentError> {
    let spec = Path::keys(["spec"]);
    let path = spec.key("containers").index(number);
    if first_word(container).is_some_and(|word| SHELLS.contains(&word)) {
        return Err(ShapeError::Shell(path.key("command")).into());
    }
    for key in ["command", "args"] {
        if container.get(key).is_some_and(Value::is_string) {
            return Err(ShapeError::Type {
                path: path.key(key),
                expected: "a list of strings, one for each flag",
            }
            .into());
        }
    }
    Ok(Component {
        role,
        place: Place::Document(document),
        shape: Shape::Arguments {
            lists: vec![path.key("command"), path.key("args")],
            prefix: "--",
        },
        defaults: TokenFlags::default(),
        mounts: Mounts::Pod {
            spec,
            container: path,
        },
    })
}

const SHELLS: [&str; 5] = ["sh", "bash", "ash", "dash", "busybox"];

fn containers(document: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let list = document
        .pointer("/spec/containers")
        .and_then(Value::as_array);
    list.into_iter().flatten().enumerate()
}

/// The component that another program starts, by an argument that names it, and that program.
fn wrapped(container: &Value) -> Option<(Role, &str)> {
    let wrapper = first_word(container)?;
    let lists = ["command", "args"].into_iter();
    let lists = lists.filter_map(|key| container.get(key)?.as_array());
    let words = lists.flatten().skip(1).filter_map(Value::as_str);
    let role = words
        .filter(|word| !word.starts_with('-'))
        .find_map(|word| {
            let name = word.rsplit('/').next()?;
            let mut roles = [Role::ApiServer, Role::ControllerManager].into_iter();
            roles.find(|role| role.program() == name)
        })?;
    Some((role, wrapper))
}

/// What a container runs: the program decides, and the name where a shell or an image's entry point hides it.
fn role(container: &Value) -> Option<Role> {
    let of = |name: &str| {
        let mut roles = [Role::ApiServer, Role::ControllerManager].into_iter();
        roles.find(|role| role.program() == name)
    };
    let named = || container.get("name").and_then(Value::as_str).and_then(of);
    match first_word(container) {
        Some(word) if SHELLS.contains(&word) || word.starts_with('-') => named(),
        Some(word) => of(word),
        None => named(),
    }
}

/// The base name of the program.
fn first_word(container: &Value) -> Option<&str> {
    ["command", "args"].into_iter().find_map(|key| {
        let list = container.get(key)?;
        let first = list.as_str().or_else(|| list.get(0)?.as_str())?;
        let word = first.split_whitespace().next()?;
        Some(word.rsplit('/').next().unwrap_or(word))
    })
}
