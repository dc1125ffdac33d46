//! The keys of a rollout: those to be placed, what kube-apiserver will call them, and their kids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use irsa_apiserver::place::Access;
use irsa_apiserver::plan::Wanted;
use irsa_core::block::KeyFile;
use irsa_core::kid::Kid;
use irsa_issuer::keyfile;

use super::super::servers::below;
use crate::report::Failure;

/// A key to place.
pub(super) struct Key {
    pub(super) source: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) private: bool,
    pub(super) access: Access,
}

/// The keys that are to be placed, and what kube-apiserver will call them.
pub(super) struct Sources {
    pub(super) public: Vec<PathBuf>,
    pub(super) private: Option<PathBuf>,
    pub(super) directory: String,
}

impl Sources {
    /// Adds the keys to what is wanted, by the paths at which they are going to be seen.
    pub(super) fn name(&self, wanted: &mut Wanted) -> Result<(), Failure> {
        for file in &self.public {
            wanted.key_files.push(self.placed(file)?);
        }
        if let Some(file) = &self.private {
            wanted.signing_key_file = Some(self.placed(file)?);
        }
        Ok(())
    }

    fn placed(&self, file: &Path) -> Result<String, Failure> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("{}/{name}", self.directory.trim_end_matches('/'));
        super::super::wanted::path(&path)
            .map_err(|reason| Failure::usage(format!("\"{path}\" cannot be a key file"), reason))
    }

    /// The source of a file that is not placed yet.
    pub(super) fn find(&self, file: &str) -> Option<PathBuf> {
        let all = self.public.iter().chain(&self.private);
        let placed = |source: &&PathBuf| self.placed(source).is_ok_and(|path| path == file);
        all.clone().find(placed).cloned()
    }

    pub(super) fn keys(&self, root: &Path, like: Option<&Path>) -> Vec<Key> {
        let directory = below(root, &self.directory);
        let key = |source: &PathBuf, private| Key {
            source: source.clone(),
            directory: directory.clone(),
            private,
            access: Access::like(like),
        };
        let public = self.public.iter().map(|source| key(source, false));
        public
            .chain(self.private.iter().map(|source| key(source, true)))
            .collect()
    }
}

/// The kids in some of kube-apiserver's files.
pub(super) fn kids(
    files: &[String],
    read: impl Fn(&str) -> Option<PathBuf>,
) -> Result<BTreeSet<Kid>, Failure> {
    let mut found = BTreeSet::new();
    for file in files {
        let Some(path) = read(file) else {
            return Err(Failure::usage(
                format!("\"{file}\" is not visible to kube-apiserver"),
                "place it with --place-key FILE, or name a file below a directory that the manifest mounts",
            ));
        };
        let keys = KeyFile::parse(&keyfile::read(&path)?)
            .apiserver_keys()
            .map_err(|error| {
                Failure::usage(
                    format!("{}: {error}", path.display()),
                    "irsa keys inspect FILE shows what each block of the file is",
                )
            })?;
        found.extend(keys.into_iter().map(|(_, key)| key.kid()));
    }
    Ok(found)
}
