//! Which files of the host a component sees, and how one more directory is shown to it.

use serde_json::{Value, json};

use crate::edit::{Edit, Operation, Path};
use crate::shape::ShapeError;

/// How a component comes to files of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounts {
    /// It is a process of the host, and sees all.
    Host,
    /// A pod: volumes and volume mounts.
    Pod {
        /// The pod's `spec`.
        spec: Path,
        /// The container.
        container: Path,
    },
    /// A list of `hostPath` and `mountPath` (kubeadm, Cluster API, Talos).
    Volumes {
        /// The list.
        path: Path,
        /// How the read-only switch is spelt.
        read_only: &'static str,
        /// Whether each entry has a name and a type, as kubeadm's have.
        named: bool,
        /// Directories that are mounted without being listed.
        visible: Vec<String>,
    },
    /// A list of `host:container:ro` (RKE2).
    Binds {
        /// The list.
        path: Path,
        /// Directories that are mounted without being listed.
        visible: &'static [&'static str],
    },
    /// The specification has no word for it.
    Unknown {
        /// Directories that are visible all the same.
        visible: &'static [&'static str],
    },
}

/// A directory that would have to be mounted and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotVisible(pub String);

/// The directory that the kubelet runs every file of.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

impl Mounts {
    /// Pairs of host and container path that are mounted by what is written.
    pub fn mounted(&self, document: &Value) -> Vec<(String, String)> {
        match self {
            Self::Host => vec![("/".to_owned(), "/".to_owned())],
            Self::Pod { spec, container } => pod_mounts(document, spec, container),
            Self::Volumes { path, visible, .. } => {
                let listed = list(document, path).iter().filter_map(|volume| {
                    Some((text(volume, "hostPath")?, text(volume, "mountPath")?))
                });
                let unlisted = visible.iter().map(|path| (path.clone(), path.clone()));
                listed.chain(unlisted).collect()
            }
            Self::Binds { path, visible } => {
                let listed = binds(document, path).into_iter().filter_map(|bind| {
                    let mut parts = bind.split(':');
                    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
                });
                listed.chain(same(visible)).collect()
            }
            Self::Unknown { visible } => same(visible).collect(),
        }
    }

    /// Where a file of the container is on the host.
    pub fn host_path(&self, document: &Value, file: &str) -> Option<String> {
        let mounted = self.mounted(document);
        let best = mounted
            .iter()
            .filter(|(_, inside)| is_below(file, inside))
            .max_by_key(|(_, inside)| inside.len())?;
        let rest = file.strip_prefix(best.1.trim_end_matches('/'))?;
        Some(format!("{}{rest}", best.0.trim_end_matches('/')))
    }

    /// The edits that make these files visible, each directory mounted at its own path, read-only.
    pub fn edits(
        &self,
        index: usize,
        document: &Value,
        files: &[String],
    ) -> Result<Result<Vec<Edit>, NotVisible>, ShapeError> {
        let mut directories: Vec<&str> = Vec::new();
        for file in files {
            let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
            if self.host_path(document, file).is_none() && !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        let mut edits = Vec::new();
        let mut document = document.clone();
        for directory in directories {
            if directory.matches('/').count() < 2 || is_below(directory, MANIFESTS) {
                return Ok(Err(NotVisible(directory.to_owned())));
            }
            let Some(operations) = self.mount(&document, directory)? else {
                return Ok(Err(NotVisible(directory.to_owned())));
            };
            let new: Vec<_> = operations
                .into_iter()
                .map(|(path, operation)| Edit {
                    document: 0,
                    path,
                    operation,
                })
                .collect();
            let after = crate::edit::apply(std::slice::from_ref(&document), &new);
            document = after
                .ok()
                .and_then(|all| all.into_iter().next())
                .unwrap_or(document);
            edits.extend(new.into_iter().map(|edit| Edit {
                document: index,
                ..edit
            }));
        }
        Ok(Ok(edits))
    }

    fn mount(
        &self,
        document: &Value,
        directory: &str,
    ) -> Result<Option<Vec<(Path, Operation)>>, ShapeError> {
        Ok(match self {
            Self::Host | Self::Unknown { .. } => None,
            Self::Pod { spec, container } => {
                let volumes = spec.key("volumes");
                let name = free_name(list(document, &volumes));
                Some(vec![
                    append(
                        document,
                        &container.key("volumeMounts"),
                        json!({"mountPath": directory, "name": name, "readOnly": true}),
                    )?,
                    append(
                        document,
                        &volumes,
                        json!({"hostPath": {"path": directory, "type": "DirectoryOrCreate"}, "name": name}),
                    )?,
                ])
            }
            Self::Volumes {
                path,
                read_only,
                named,
                ..
            } => {
                let volume = if *named {
                    let name = free_name(list(document, path));
                    json!({"name": name, "hostPath": directory, "mountPath": directory, *read_only: true, "pathType": "DirectoryOrCreate"})
                } else {
                    json!({"hostPath": directory, "mountPath": directory, *read_only: true})
                };
                Some(vec![append(document, path, volume)?])
            }
            Self::Binds { path, .. } => {
                let bind = format!("{directory}:{directory}:ro");
                let place = match path.find(document) {
                    Some(Value::String(one)) => (path.clone(), Operation::Set(json!([one, bind]))),
                    _ => append(document, path, bind.into())?,
                };
                Some(vec![place])
            }
        })
    }
}

fn append(document: &Value, path: &Path, value: Value) -> Result<(Path, Operation), ShapeError> {
    match path.find(document) {
        Some(Value::Array(items)) if !items.is_empty() => {
            Ok((path.index(items.len()), Operation::Insert(value)))
        }
        None | Some(Value::Null | Value::Array(_)) => {
            Ok((path.clone(), Operation::Set(Value::Array(vec![value]))))
        }
        Some(_) => Err(ShapeError::Type {
            path: path.clone(),
            expected: "a list",
        }),
    }
}

fn pod_mounts(document: &Value, spec: &Path, container: &Path) -> Vec<(String, String)> {
    let volumes = list(document, &spec.key("volumes"));
    let host_path = |name: &str| {
        let volume = volumes
            .iter()
            .find(|volume| text(volume, "name").as_deref() == Some(name))?;
        text(volume.get("hostPath")?, "path")
    };
    list(document, &container.key("volumeMounts"))
        .iter()
        .filter_map(|mount| Some((host_path(&text(mount, "name")?)?, text(mount, "mountPath")?)))
        .collect()
}

fn list<'a>(document: &'a Value, path: &Path) -> &'a [Value] {
    path.find(document)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn binds(document: &Value, path: &Path) -> Vec<String> {
    match path.find(document) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn same(paths: &'static [&'static str]) -> impl Iterator<Item = (String, String)> {
    paths
        .iter()
        .map(|path| ((*path).to_owned(), (*path).to_owned()))
}

/// A volume name of our own that no other volume has.
fn free_name(volumes: &[Value]) -> String {
    let taken = |name: &str| {
        volumes
            .iter()
            .any(|volume| text(volume, "name").as_deref() == Some(name))
    };
    let mut name = "irsa-keys".to_owned();
    let mut number = 2;
    while taken(&name) {
        name = format!("irsa-keys-{number}");
        number += 1;
    }
    name
}

/// Whether a path is a directory or anything in it.
pub fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"spec": {
            "containers": [{"volumeMounts": [{"mountPath": "/etc/kubernetes/pki", "name": "k8s-certs"}]}],
            "volumes": [{"hostPath": {"path": "/var/pki"}, "name": "k8s-certs"}, {"name": "irsa-keys"}],
        }})
    }

    fn mounts() -> Mounts {
        let spec = Path::keys(["spec"]);
        Mounts::Pod {
            container: spec.key("containers").index(0),
            spec,
        }
    }

    #[test]
    fn a_mounted_file_needs_nothing_and_is_found_on_the_host() {
        let file = "/etc/kubernetes/pki/sa.pub".to_owned();
        assert_eq!(
            mounts().host_path(&pod(), &file).unwrap(),
            "/var/pki/sa.pub"
        );
        assert_eq!(mounts().edits(0, &pod(), &[file]), Ok(Ok(Vec::new())));
        assert_eq!(mounts().host_path(&pod(), "/etc/kubernetes/pkix"), None);
    }

    #[test]
    fn a_directory_is_mounted_once() {
        let files = ["/etc/irsa/a.pub".to_owned(), "/etc/irsa/b.key".to_owned()];
        let edits = mounts().edits(0, &pod(), &files).unwrap().unwrap();
        let after = crate::edit::apply(&[pod()], &edits).unwrap();
        assert_eq!(
            mounts().host_path(&after[0], "/etc/irsa/a.pub").unwrap(),
            "/etc/irsa/a.pub"
        );
        assert_eq!(after[0]["spec"]["volumes"][2]["name"], "irsa-keys-2");
        assert_eq!(mounts().edits(0, &after[0], &files), Ok(Ok(Vec::new())));
    }

    #[test]
    fn not_the_whole_disk_and_not_the_manifests() {
        for file in [
            "/a.pub",
            "/etc/a.pub",
            "/etc/kubernetes/manifests/secrets/a.pub",
        ] {
            assert!(
                mounts()
                    .edits(0, &pod(), &[file.to_owned()])
                    .unwrap()
                    .is_err(),
                "{file}"
            );
        }
    }
}
