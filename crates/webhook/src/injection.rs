//! The JSON Patch that gives a pod what was decided for it. Additions only, and by position.

use serde::Serialize;
use serde_json::{Value, json};

use crate::decision::{Injection, Mode};
use crate::note::Note;
use crate::pod::{Container, Pod, Spec};
use crate::settings::{CONTAINER_CREDENTIALS_LABEL, ForeignVolume, Settings};
use crate::skip;

/// One operation of a JSON Patch (RFC 6902); upstream and we only ever add.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    op: &'static str,
    /// Where: a JSON Pointer (RFC 6901).
    pub path: String,
    /// What.
    pub value: Value,
}

/// What becomes of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    /// The operations, in upstream's order; empty when nothing is to be changed.
    pub operations: Vec<Operation>,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// What becomes of each container, in the order of the pod.
    pub containers: Vec<(String, Fate)>,
}

/// What becomes of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It gets these variables, and the mount if so said.
    Injected {
        /// The names of the variables.
        variables: Vec<&'static str>,
        /// Whether the token is mounted by us.
        mounted: bool,
    },
    /// It has everything.
    Complete,
    /// The pod's annotation says so.
    Skipped,
    /// Something else is mounted where the token belongs.
    PathTaken,
}

/// Builds the patch. An empty one means that the pod has everything, or may not be touched: the notes tell.
pub fn build(settings: &Settings, pod: &Pod<'_>, injection: &Injection) -> Patch {
    let mut patch = Patch {
        notes: injection.notes(),
        ..Patch::default()
    };
    let empty = Spec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let volume = match token_volume(settings, spec, injection) {
        Ok(volume) => volume,
        Err(note) => {
            patch.notes.push(note);
            return patch;
        }
    };
    let skipped = skipped(settings, pod, &mut patch.notes);
    let plan = Plan {
        settings,
        injection,
        token_file: token_file(injection, pod.is_windows()),
        skipped,
    };
    let mut operations = Vec::new();
    if matches!(injection.mode, Mode::ContainerCredentials { .. }) {
        operations.extend(label(pod));
    }
    operations.extend(volume);
    for (list, containers) in [
        ("containers", &spec.containers),
        ("initContainers", &spec.init_containers),
    ] {
        for (index, container) in containers.iter().flatten().enumerate() {
            let at = format!("/spec/{list}/{index}");
            let fate = plan.container(container, &at, &mut operations, &mut patch.notes);
            patch.containers.push((container.name().to_owned(), fate));
        }
    }
    // A pod whose every container is cut off gets no volume that nobody mounts.
    let lost = |(_, fate): &(String, Fate)| *fate == Fate::PathTaken;
    if !patch.containers.is_empty() && patch.containers.iter().all(lost) {
        operations.clear();
    }
    patch.operations = operations;
    patch
}

/// The operation that adds the token volume, if it is missing.
fn token_volume(
    settings: &Settings,
    spec: &Spec<'_>,
    injection: &Injection,
) -> Result<Option<Operation>, Note> {
    let name = &injection.volume_name;
    let found = spec.volumes.iter().flatten().flatten();
    if let Some(found) = found.into_iter().find(|volume| volume.name() == name) {
        let ours = found.has_token(&injection.audience, &injection.token_path);
        return if ours || settings.foreign_volume == ForeignVolume::Keep {
            Ok(None)
        } else {
            Err(Note::ForeignVolume {
                volume: name.clone(),
            })
        };
    }
    let mut token = serde_json::Map::new();
    // Go leaves an empty audience out, and the API server then issues its own.
    if !injection.audience.is_empty() {
        token.insert("audience".into(), injection.audience.clone().into());
    }
    token.insert("expirationSeconds".into(), injection.expiration.into());
    token.insert("path".into(), injection.token_path.clone().into());
    let volume = json!({"name": name, "projected": {"sources": [{"serviceAccountToken": token}]}});
    Ok(Some(if spec.volumes.is_none() {
        add("/spec/volumes", json!([volume]))
    } else {
        add("/spec/volumes/0", volume)
    }))
}

/// The label of the container credentials mode, if it is missing.
fn label(pod: &Pod<'_>) -> Option<Operation> {
    let labels = json!({CONTAINER_CREDENTIALS_LABEL: ENABLED});
    // No API server sends a pod without metadata; a patch must not name a place below what is not there all the same.
    let Some(metadata) = &pod.metadata else {
        return Some(add("/metadata", json!({"labels": labels})));
    };
    if metadata.labels.is_none() {
        return Some(add("/metadata/labels", labels));
    }
    let key = CONTAINER_CREDENTIALS_LABEL.replace('/', "~1");
    (pod.label(CONTAINER_CREDENTIALS_LABEL) != Some(ENABLED))
        .then(|| add(&format!("/metadata/labels/{key}"), json!(ENABLED)))
}

fn skipped(settings: &Settings, pod: &Pod<'_>, notes: &mut Vec<Note>) -> Vec<String> {
    let key = settings.annotation("skip-containers");
    let names = match pod.annotation(&key).map(skip::parse) {
        None => return Vec::new(),
        Some(Err(_)) => {
            notes.push(Note::IgnoredAnnotation {
                key,
                expected: "a list like a,b",
            });
            return Vec::new();
        }
        Some(Ok(names)) => names,
    };
    let exists = |name: &String| {
        pod.containers()
            .any(|container| container.name() == name.as_str())
    };
    let missing = names.iter().filter(|name| !exists(name));
    notes.extend(missing.map(|name| Note::SkipsNothing { name: name.clone() }));
    names
}

/// What every container of a pod gets.
struct Plan<'a> {
    settings: &'a Settings,
    injection: &'a Injection,
    token_file: String,
    skipped: Vec<String>,
}

impl Plan<'_> {
    fn container(
        &self,
        container: &Container<'_>,
        at: &str,
        operations: &mut Vec<Operation>,
        notes: &mut Vec<Note>,
    ) -> Fate {
        if self.skipped.iter().any(|name| name == container.name()) {
            return Fate::Skipped;
        }
        let [first, second] = self.keys();
        let (has_first, has_second) = (container.defines(first), container.defines(second));
        if has_first != has_second {
            let missing = if has_first { second } else { first };
            let container = container.name().to_owned();
            notes.push(Note::HalfDefined { container, missing });
        }
        let has_region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .any(|it| container.defines(it));
        let has_sts = container.defines(STS);
        // Upstream's early return: not even the mount, whatever would have been injected.
        if (has_first || has_second) && has_region && has_sts {
            return Fate::Complete;
        }
        let volume = &self.injection.volume_name;
        let mounted = container.mounts().any(|(name, _)| name == volume);
        if !mounted && let Some(note) = self.path_taken(container) {
            notes.push(note);
            return Fate::PathTaken;
        }
        let variables = self.variables(has_first || has_second, has_region, has_sts);
        let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
        let env = variables
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        append(
            operations,
            &format!("{at}/env"),
            container.env.is_some(),
            env,
        );
        if !mounted {
            let path = &self.injection.mount_path;
            let mount = json!({"name": volume, "readOnly": true, "mountPath": path});
            let list = format!("{at}/volumeMounts");
            let there = container.volume_mounts.is_some();
            append(operations, &list, there, [mount]);
        }
        if names.is_empty() && mounted {
            return Fate::Complete;
        }
        Fate::Injected {
            variables: names,
            mounted: !mounted,
        }
    }

    /// Another volume that is mounted where the token belongs.
    fn path_taken(&self, container: &Container<'_>) -> Option<Note> {
        let path = clean(&self.injection.mount_path);
        let (other, _) = container.mounts().find(|(_, at)| clean(at) == path)?;
        Some(Note::MountPathTaken {
            container: container.name().to_owned(),
            path: self.injection.mount_path.clone(),
            volume: other.to_owned(),
        })
    }

    /// The two variables of the mode.
    fn keys(&self) -> [&'static str; 2] {
        match self.injection.mode {
            Mode::WebIdentity { .. } => ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"],
            Mode::ContainerCredentials { .. } => [
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            ],
        }
    }

    fn variables(&self, own: bool, region: bool, sts: bool) -> Vec<(&'static str, &str)> {
        let mut variables = Vec::new();
        if !sts && self.injection.regional_sts {
            variables.push((STS, "regional"));
        }
        if let Some(default) = self.settings.default_region.as_deref()
            && !region
        {
            variables.push(("AWS_DEFAULT_REGION", default));
            variables.push(("AWS_REGION", default));
        }
        if !own {
            let value = match &self.injection.mode {
                Mode::WebIdentity { role } => role,
                Mode::ContainerCredentials { full_uri } => full_uri,
            };
            let [first, second] = self.keys();
            variables.push((first, value));
            variables.push((second, &self.token_file));
        }
        variables
    }
}

/// Adds to a list that may not be there yet. `add` to `/-` appends; a missing or null list is made whole.
fn append(
    operations: &mut Vec<Operation>,
    list: &str,
    exists: bool,
    values: impl IntoIterator<Item = Value>,
) {
    let values: Vec<_> = values.into_iter().collect();
    if exists {
        let end = format!("{list}/-");
        operations.extend(values.into_iter().map(|value| add(&end, value)));
    } else if !values.is_empty() {
        operations.push(add(list, Value::Array(values)));
    }
}

fn add(path: &str, value: Value) -> Operation {
    Operation {
        op: "add",
        path: path.to_owned(),
        value,
    }
}

/// The path of the token as a process in the container sees it.
fn token_file(injection: &Injection, windows: bool) -> String {
    let path = clean(&format!(
        "{}/{}",
        injection.mount_path, injection.token_path
    ));
    if windows {
        format!("C:{}", path.replace('/', "\\"))
    } else {
        path
    }
}

/// Go's `filepath.Clean` on Unix.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

const STS: &str = "AWS_STS_REGIONAL_ENDPOINTS";
const ENABLED: &str = "enabled";

#[cfg(test)]
#[path = "injection_tests.rs"]
mod tests;
