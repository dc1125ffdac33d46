//! Signing keys at rest: `KID.key` and `KID.pub`, named for what they are, so that no other file is taken for one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_core::issuer::IssuerUrl;
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;

use super::StateError;
use super::secret::SecretKeys;
use crate::keyfile::{self, KeyFileError, PairPaths};
use crate::sign::random_uuid;

/// The file that says whose keys these are.
const OWNER: &str = "issuer";

/// The file that names the place: a random text, so that two places are told apart however they are reached.
const PLACE: &str = "place";

/// No run takes as long as this to write a file.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// A place where private keys rest, of any kind.
#[derive(Debug, Clone)]
pub enum AnyKeys {
    /// A directory of this host.
    Directory(KeysAtRest),
    /// A Secret of the cluster.
    Secret(Box<SecretKeys>),
}

impl AnyKeys {
    /// The keys whose private half is there, read back.
    pub async fn kids(&self) -> Result<BTreeSet<Kid>, StateError> {
        match self {
            Self::Directory(keys) => keys.kids(),
            Self::Secret(keys) => keys.kids().await,
        }
    }

    /// The keys of which anything is there, whatever is in it.
    pub async fn names(&self) -> Result<BTreeSet<Kid>, StateError> {
        match self {
            Self::Directory(keys) => keys.names(),
            Self::Secret(keys) => keys.names().await,
        }
    }

    /// Whose keys rest there: the issuer that has bound the place.
    pub async fn owner(&self) -> Result<Option<String>, StateError> {
        match self {
            Self::Directory(keys) => keys.line(OWNER),
            Self::Secret(keys) => keys.owner().await,
        }
    }

    /// The name that the place was given when it was bound.
    pub async fn place_id(&self) -> Result<Option<String>, StateError> {
        match self {
            Self::Directory(keys) => keys.line(PLACE),
            Self::Secret(keys) => keys.place_id().await,
        }
    }

    /// Binds the place to an issuer, or refuses if it is bound to another one: whoever erases what it does not know must
    /// be alone there.
    pub async fn bind(&self, issuer: &IssuerUrl) -> Result<(), StateError> {
        self.demand(issuer).await?;
        let name = random_uuid().map_err(StateError::Random)?;
        match self {
            Self::Directory(keys) => keys.bind(issuer, &name)?,
            Self::Secret(keys) => keys.bind(issuer, &name).await?,
        }
        // Another run may have been faster.
        self.demand(issuer).await
    }

    /// Refuses a place that is bound to another issuer.
    pub async fn demand(&self, issuer: &IssuerUrl) -> Result<(), StateError> {
        match self.owner().await? {
            Some(owner) if owner != issuer.as_str() => Err(StateError::OtherIssuer {
                place: self.place(),
                owner,
                issuer: issuer.as_str().to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Directory(keys) => format!("\"{}\"", keys.0.display()),
            Self::Secret(keys) => keys.place(),
        }
    }

    /// A key.
    pub async fn read(&self, kid: &Kid) -> Result<PrivateKeyPem, StateError> {
        match self {
            Self::Directory(keys) => Ok(keys.read(kid)?),
            Self::Secret(keys) => keys.read(kid).await,
        }
    }

    /// Stores a new key durably.
    pub async fn store(&self, key: &PrivateKeyPem) -> Result<(), StateError> {
        match self {
            Self::Directory(keys) => Ok(keys.store(key)?),
            Self::Secret(keys) => keys.store(key).await,
        }
    }

    /// Destroys a key.
    pub async fn erase(&self, kid: &Kid) -> Result<(), StateError> {
        match self {
            Self::Directory(keys) => keys.erase(kid),
            Self::Secret(keys) => keys.erase(kid).await,
        }
    }
}

/// A directory of signing keys.
#[derive(Debug, Clone)]
pub struct KeysAtRest(PathBuf);

impl KeysAtRest {
    /// The keys in a directory.
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The files of a key.
    pub fn paths(&self, kid: &Kid) -> PairPaths {
        PairPaths::new(&self.0, kid.as_str())
    }

    /// The keys whose private half is there, read back: a file that holds another key than its name says, or none, is
    /// no key at rest. One that cannot be read, or that others can read, is an error.
    pub fn kids(&self) -> Result<BTreeSet<Kid>, StateError> {
        let mut found = BTreeSet::new();
        for path in self.files()? {
            if path.extension() != Some(Path::new("key").as_os_str()) {
                continue;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(kid) = stem.and_then(Kid::parse) else {
                continue;
            };
            match self.read(&kid) {
                Ok(key) if key.public_key().kid() == kid => {
                    found.insert(kid);
                }
                // It was looked at, and is not the key that its name says.
                Ok(_) | Err(KeyFileError::NotPrivate { .. } | KeyFileError::TooLarge { .. }) => {}
                // It may be the key: one that is given up for a mode or a fault of a moment is lost for good.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// A key.
    pub fn read(&self, kid: &Kid) -> Result<PrivateKeyPem, KeyFileError> {
        keyfile::read_private(&self.paths(kid).private)
    }

    /// Stores a new key: durable, and 0600 from its first byte.
    pub fn store(&self, key: &PrivateKeyPem) -> Result<(), KeyFileError> {
        self.paths(&key.public_key().kid()).create(key)
    }

    /// Writes the public half again, if a crash came between the two files.
    pub fn restore_public(&self, kid: &Kid) -> Result<PathBuf, KeyFileError> {
        let paths = self.paths(kid);
        paths.restore_public()?;
        Ok(paths.public)
    }

    /// Destroys a key. What a file system keeps of removed files is its own business.
    pub fn erase(&self, kid: &Kid) -> Result<(), StateError> {
        let paths = self.paths(kid);
        for path in [paths.private, paths.public] {
            irsa_files::remove(&path).map_err(|source| StateError::Io {
                path,
                action: "removed",
                source,
            })?;
        }
        Ok(())
    }

    /// The keys of which a half is there, whatever is in it.
    pub fn names(&self) -> Result<BTreeSet<Kid>, StateError> {
        let files = self.files()?;
        let name = |path: PathBuf| {
            let ends = path
                .extension()
                .is_some_and(|end| end == "key" || end == "pub");
            Kid::parse(path.file_stem()?.to_str()?).filter(|_| ends)
        };
        Ok(files.into_iter().filter_map(name).collect())
    }

    /// What one of the files says that tell about the place.
    fn line(&self, file: &str) -> Result<Option<String>, StateError> {
        let path = self.0.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io {
                path,
                action: "read",
                source,
            }),
        }
    }

    /// The first one to do so has the place: a name that exists is not taken away.
    fn bind(&self, issuer: &IssuerUrl, name: &str) -> Result<(), StateError> {
        self.write_once(OWNER, issuer.as_str())?;
        self.write_once(PLACE, name)?;
        self.sweep()
    }

    /// Removes private keys that a run which was killed left half-written, where files have a name from the beginning (NFS).
    /// There is no lock here: another node may be storing a key now.
    fn sweep(&self) -> Result<(), StateError> {
        let fail = |source| StateError::Io {
            path: self.0.clone(),
            action: "swept",
            source,
        };
        for path in super::dir::unfinished(&self.0).map_err(fail)? {
            let written = path.symlink_metadata().and_then(|file| file.modified());
            // One that is gone was finished meanwhile.
            let age = written.ok().and_then(|written| written.elapsed().ok());
            if age.is_some_and(|age| age > LONGEST_WRITE) {
                irsa_files::remove(&path).map_err(fail)?;
            }
        }
        Ok(())
    }

    fn write_once(&self, file: &str, line: &str) -> Result<(), StateError> {
        if self.line(file)?.is_some() {
            return Ok(());
        }
        let fail = |source| StateError::Io {
            path: self.0.join(file),
            action: "written",
            source,
        };
        irsa_files::create_directory(&self.0, 0o700).map_err(fail)?;
        let line = format!("{line}\n");
        match irsa_files::create(&self.0.join(file), line.as_bytes(), 0o600) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(fail(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, StateError> {
        let fail = |source| StateError::Io {
            path: self.0.clone(),
            action: "read",
            source,
        };
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(fail)?.path());
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use irsa_core::algorithm::Curve;

    use super::*;

    #[test]
    fn only_files_that_hold_what_their_name_says_are_keys() {
        let home = tempfile::tempdir().unwrap();
        let keys = KeysAtRest::new(home.path().join("keys"));
        assert!(keys.kids().unwrap().is_empty());
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[7]).unwrap();
        let kid = key.public_key().kid();
        keys.store(&key).unwrap();
        fs::copy(keys.paths(&kid).private, home.path().join("keys/sa.key")).unwrap();
        let other = PrivateKeyPem::from_scalar(Curve::P256, &[8])
            .unwrap()
            .public_key()
            .kid();
        fs::copy(keys.paths(&kid).private, keys.paths(&other).private).unwrap();
        assert_eq!(keys.kids().unwrap(), BTreeSet::from([kid.clone()]));
        assert_eq!(keys.names().unwrap(), BTreeSet::from([kid.clone(), other]));
        fs::remove_file(keys.paths(&kid).public).unwrap();
        assert!(keys.restore_public(&kid).unwrap().exists());
        keys.erase(&kid).unwrap();
        keys.erase(&kid).unwrap();
        assert!(keys.kids().unwrap().is_empty());
    }

    #[test]
    fn a_key_that_cannot_be_read_is_no_key_that_is_missing() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let keys = KeysAtRest::new(home.path().to_owned());
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[7]).unwrap();
        let path = keys.paths(&key.public_key().kid()).private;
        keys.store(&key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = keys.kids().unwrap_err();
        assert!(
            matches!(&exposed, StateError::Key(KeyFileError::Exposed { .. })),
            "{exposed}"
        );
        // A directory in its place: the file system refuses, whoever asks.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let unread = keys.kids().unwrap_err();
        assert!(
            matches!(&unread, StateError::Key(KeyFileError::Read { .. })),
            "{unread}"
        );
    }

    #[test]
    fn a_place_of_keys_belongs_to_one_issuer() {
        use irsa_core::issuer::TrailingSlash;
        let home = tempfile::tempdir().unwrap();
        let keys = AnyKeys::Directory(KeysAtRest::new(home.path().join("keys")));
        let issuer = |text| IssuerUrl::parse(text, TrailingSlash::Refuse).unwrap();
        let (first, second) = (issuer("https://h/a"), issuer("https://h/b"));
        let block = |work: std::pin::Pin<Box<dyn Future<Output = Result<(), StateError>> + '_>>| {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(work)
        };
        block(Box::pin(keys.demand(&second))).unwrap();
        block(Box::pin(keys.bind(&first))).unwrap();
        block(Box::pin(keys.bind(&first))).unwrap();
        let refused = block(Box::pin(keys.bind(&second))).unwrap_err();
        assert!(
            matches!(&refused, StateError::OtherIssuer { .. }),
            "{refused}"
        );
        assert!(block(Box::pin(keys.demand(&second))).is_err());
        block(Box::pin(keys.demand(&first))).unwrap();
        let left: Vec<_> = fs::read_dir(home.path().join("keys")).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[tokio::test]
    async fn what_a_killed_run_left_of_a_key_is_removed_and_what_is_being_written_is_not() {
        use irsa_core::issuer::TrailingSlash;
        let home = tempfile::tempdir().unwrap();
        let place = AnyKeys::Directory(KeysAtRest::new(home.path().to_owned()));
        let issuer = IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap();
        let (old, new) = (home.path().join(".irsa-old"), home.path().join(".irsa-new"));
        fs::write(&new, "half").unwrap();
        let file = fs::File::create(&old).unwrap();
        let before = std::time::SystemTime::now() - LONGEST_WRITE * 2;
        file.set_modified(before).unwrap();
        place.bind(&issuer).await.unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[tokio::test]
    async fn a_place_keeps_its_name_and_no_other_has_it() {
        use irsa_core::issuer::TrailingSlash;
        let home = tempfile::tempdir().unwrap();
        let place = |name| AnyKeys::Directory(KeysAtRest::new(home.path().join(name)));
        let issuer = IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap();
        let (one, other) = (place("one"), place("other"));
        assert_eq!(one.place_id().await.unwrap(), None);
        one.bind(&issuer).await.unwrap();
        other.bind(&issuer).await.unwrap();
        let name = one.place_id().await.unwrap();
        assert!(name.is_some());
        assert_ne!(other.place_id().await.unwrap(), name);
        one.bind(&issuer).await.unwrap();
        assert_eq!(one.place_id().await.unwrap(), name);
        // One that was bound before places had names is given one.
        fs::remove_file(home.path().join("one/place")).unwrap();
        one.bind(&issuer).await.unwrap();
        assert!(one.place_id().await.unwrap().is_some());
    }
}
