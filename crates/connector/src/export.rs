//! Objects written to a folder for `kubectl apply -f`: for their owner alone, whole or not at all, never over a file.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;
use irsa_files::NewFile;
use zeroize::Zeroizing;

use crate::manifest::Manifest;

/// The connector's objects, with the activation code in one of them.
pub const AGENT_FILE: &str = "1-eks-connector.yaml";
/// The console's rules.
pub const CONSOLE_FILE: &str = "2-eks-connector-console.yaml";

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system refuses.
    #[error("\"{}\" cannot be written", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Never overwritten.
    #[error("\"{}\" exists already with another content and is not overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A bug.
    #[error("{object} cannot be written as YAML: this is a bug")]
    Yaml {
        /// Which object.
        object: String,
    },
}

impl Explain for ExportError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Write { .. } => {
                "choose another folder with --out; the activation is kept in the journal".into()
            }
            Self::Exists { path } => format!(
                "move {} away, or choose another folder with --out",
                path.display()
            ),
            Self::Yaml { .. } => "report it with the output of irsa version".into(),
        })
    }
}

/// Refuses a folder in which the files stand already or cannot be made; makes the folder, mode 0700, if it is missing.
pub fn demand_free(directory: &Path) -> Result<(), ExportError> {
    let fail = |source| ExportError::Write {
        path: directory.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(fail)?;
    for name in [AGENT_FILE, CONSOLE_FILE] {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(ExportError::Exists { path });
        }
    }
    // A folder that cannot be written is better known before AWS is asked.
    NewFile::in_directory(directory).map(drop).map_err(fail)
}

/// Writes both files, mode 0600; files that hold the very same already are left alone.
pub fn write(
    directory: &Path,
    agent: &[Manifest],
    console: &[Manifest],
) -> Result<Vec<PathBuf>, ExportError> {
    let mut written = Vec::new();
    for (name, manifests) in [(AGENT_FILE, agent), (CONSOLE_FILE, console)] {
        let path = directory.join(name);
        create(&path, yaml(manifests)?.as_bytes())?;
        written.push(path);
    }
    Ok(written)
}

/// The objects as YAML documents.
pub fn yaml(manifests: &[Manifest]) -> Result<Zeroizing<String>, ExportError> {
    let documents = manifests.iter().map(|manifest| {
        serde_saphyr::to_string(manifest.expose_value())
            .map(Zeroizing::new)
            .map_err(|_| ExportError::Yaml {
                object: manifest.to_string(),
            })
    });
    let documents: Vec<_> = documents.collect::<Result<_, _>>()?;
    // One allocation: growing would leave unwiped copies of the code behind.
    let length: usize = documents.iter().map(|text| text.len() + 5).sum();
    let mut all = Zeroizing::new(String::with_capacity(length));
    for document in documents {
        all.push_str("---\n");
        all.push_str(&document);
        if !document.ends_with('\n') {
            all.push('\n');
        }
    }
    Ok(all)
}

fn create(path: &Path, text: &[u8]) -> Result<(), ExportError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists {
            path: path.to_owned(),
        },
        _ => ExportError::Write {
            path: path.to_owned(),
            source,
        },
    };
    if let Ok(file) = fs::File::open(path) {
        let mut found = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        file.take(text.len() as u64 + 1)
            .read_to_end(&mut found)
            .map_err(fail)?;
        return if *found == text {
            Ok(())
        } else {
            Err(ExportError::Exists {
                path: path.to_owned(),
            })
        };
    }
    irsa_files::create(path, text, 0o600).map_err(fail)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::Value;

    use super::*;
    use crate::activation::ActivationCode;
    use crate::grant::Grants;
    use crate::image::Images;
    use crate::manifest::agent::{self, AgentSettings};
    use crate::manifest::console;

    fn objects() -> (Vec<Manifest>, Vec<Manifest>) {
        let settings = AgentSettings {
            cluster_arn: "arn:aws:eks:eu-central-1:111122223333:cluster/prod",
            region: "eu-central-1",
            activation_id: "0f8fad5b-d9cb-469f-a165-70867728950e",
            images: &Images::default(),
        };
        let code = ActivationCode::new(Zeroizing::new("cAnArYcAnArYcAnArY01".into()));
        let grants = Grants::parse([
            "arn:aws:iam::111122223333:role/Admin=full",
            "arn:aws:iam::111122223333:role/Dev=ns:a,b",
        ]);
        (
            agent::manifests(&settings, Some(&code)),
            console::manifests(&grants.unwrap()).unwrap(),
        )
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_objects() {
        for manifests in [objects().0, objects().1] {
            let text = yaml(&manifests).unwrap();
            let read: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            let meant: Vec<_> = manifests.iter().map(Manifest::expose_value).collect();
            assert_eq!(read.iter().collect::<Vec<_>>(), meant);
        }
    }

    #[test]
    fn files_are_for_their_owner_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("new");
        demand_free(&directory).unwrap();
        let (agent, console) = objects();
        let written = write(&directory, &agent, &console).unwrap();
        for path in &written {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
        write(&directory, &agent, &console).unwrap();
        assert!(matches!(
            demand_free(&directory),
            Err(ExportError::Exists { .. })
        ));
        let error = write(&directory, &console, &agent).unwrap_err();
        assert!(matches!(error, ExportError::Exists { .. }), "{error}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
    }
}
