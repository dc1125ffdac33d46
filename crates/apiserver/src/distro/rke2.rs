//! The `config.yaml` of RKE2: k3s' own reader under another name.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge, k3s};
use crate::component::{Component, ComponentError};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::Rke2,
    name: "rke2",
    recognise,
    components,
    next: "systemctl restart rke2-server, one server at a time, each ready before the next",
    keys: "place the key files on every server first: only files that exist when rke2-server starts are mounted",
    new: "start rke2-server with it: the server that makes the cluster before those that join it",
    only_one: "give the flag once for each value",
};

fn recognise(document: &Value, path: &FilePath) -> Option<String> {
    let [k3s, rke2] = k3s::KEYS;
    k3s::evidence(document, path, ["rke2", "k3s"], rke2, k3s)
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    k3s::of_program(documents, "rke2")
}
