//! Key files put where kube-apiserver can read them, and nobody else.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use irsa_core::block::KeyFile;
use irsa_core::explain::Explain;
use irsa_core::private::{PrivateKeyError, PrivateKeyPem};
use irsa_files::NewFile;
use zeroize::Zeroizing;

/// Far above any key file.
const MAX_BYTES: u64 = 1 << 20;

/// Why a key was not placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file system refuses.
    #[error("\"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A pipe, a directory, a device: it may have no end, and no name that a key could keep.
    #[error("\"{}\" is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// A private key where a public one belongs.
    #[error("\"{}\" holds a private key, expected public keys only", .0.display())]
    Private(PathBuf),
    /// No key that kube-apiserver would accept tokens with.
    #[error("\"{}\" holds no public key that kube-apiserver reads", .0.display())]
    NoPublicKey(PathBuf),
    /// No key that kube-apiserver would sign with.
    #[error("\"{}\" is no signing key", path.display())]
    NoSigningKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: PrivateKeyError,
    },
    /// Another key is there under this name.
    #[error("\"{}\" exists already and holds something else", .0.display())]
    Taken(PathBuf),
}

impl Explain for PlaceError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run as root".into()
            }
            Self::Io { .. } => "nothing is half-written; mend the cause and run it again".into(),
            Self::NotAFile(_) => "write the key to a file of its own, and name that".into(),
            Self::Private(_) => {
                "name the .pub file; the private half goes with --place-signing-key".into()
            }
            Self::NoPublicKey(_) | Self::NoSigningKey { .. } => {
                "irsa keys inspect FILE shows what each block of the file is".into()
            }
            Self::Taken(_) => {
                "a key keeps its name for ever: give the new key file another name".into()
            }
        })
    }
}

/// Who may read a private key: as the key in use, so that an API server that does not run as root can read it.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    owner: Option<(u32, u32)>,
    mode: u32,
}

impl Access {
    /// Owner and group of a key that is in use, which group members may read if they may read that one. Without such a
    /// key it is for whoever places it.
    pub fn like(key: Option<&Path>) -> Self {
        match key.map(fs::metadata) {
            Some(Ok(metadata)) => Self {
                owner: Some((metadata.uid(), metadata.gid())),
                mode: 0o600 | (metadata.mode() & 0o040),
            },
            Some(Err(_)) | None => Self {
                owner: None,
                mode: 0o600,
            },
        }
    }
}

/// Copies public keys to a directory, which is made when it is missing. Returns where they are.
pub fn public(file: &Path, directory: &Path) -> Result<PathBuf, PlaceError> {
    let text = read(file)?;
    let keys = KeyFile::parse(&text);
    if keys
        .blocks
        .iter()
        .any(irsa_core::block::KeyBlock::is_private)
    {
        return Err(PlaceError::Private(file.to_owned()));
    }
    if keys.apiserver_keys().map_or(0, |keys| keys.len()) == 0 {
        return Err(PlaceError::NoPublicKey(file.to_owned()));
    }
    write(
        file,
        &text,
        directory,
        Access {
            owner: None,
            mode: 0o644,
        },
    )
}

/// Copies a signing key to a directory. Returns where it is.
pub fn private(file: &Path, directory: &Path, access: Access) -> Result<PathBuf, PlaceError> {
    let text = read(file)?;
    PrivateKeyPem::parse(&text).map_err(|source| PlaceError::NoSigningKey {
        path: file.to_owned(),
        source,
    })?;
    write(file, &text, directory, access)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PlaceError> {
    let fail = |source| PlaceError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    };
    // Without waiting: a pipe that nobody writes to would keep the run, and the node's lock, for ever.
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(PlaceError::NotAFile(path.to_owned()));
    }
    let size = metadata.len();
    if size > MAX_BYTES {
        return Err(fail(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(
        usize::try_from(size).unwrap_or_default() + 1,
    ));
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(fail)?;
    Ok(text)
}

fn write(
    file: &Path,
    text: &[u8],
    directory: &Path,
    access: Access,
) -> Result<PathBuf, PlaceError> {
    let target = directory.join(file.file_name().unwrap_or_default());
    let fail = |source| PlaceError::Io {
        path: target.clone(),
        action: "written",
        source,
    };
    make_directory(directory).map_err(fail)?;
    if let Ok(found) = target.symlink_metadata() {
        // A link could lead to a file that is not ours to give away.
        if !found.is_file() || *read(&target)? != text {
            return Err(PlaceError::Taken(target));
        }
        mend(&target, access).map_err(fail)?;
        return Ok(target);
    }
    let mut new = NewFile::in_directory(directory).map_err(fail)?;
    new.write_all(text).map_err(fail)?;
    give(new.as_file(), access).map_err(fail)?;
    new.create(&target).map_err(fail)?;
    Ok(target)
}

/// Every API server must be able to look into it; the files in it say who may read them.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))
}

/// A key that was placed before: whoever changed its mode or owner since would keep kube-apiserver from it, or let
/// others at it.
fn mend(target: &Path, access: Access) -> io::Result<()> {
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(target)?;
    let found = file.metadata()?;
    let owned = access
        .owner
        .is_none_or(|owner| owner == (found.uid(), found.gid()));
    if found.mode() & 0o7777 == access.mode && owned {
        return Ok(());
    }
    give(&file, access)?;
    file.sync_all()
}

/// The owner first: a change of owner may clear bits of the mode.
fn give(file: &File, access: Access) -> io::Result<()> {
    if let Some((owner, group)) = access.owner {
        fchown(file, Some(owner), Some(group))?;
    }
    file.set_permissions(Permissions::from_mode(access.mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../keys-example")
            .join(name)
    }

    #[test]
    fn public_keys_are_placed_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("irsa");
        let placed = public(&example("p256.pub"), &directory).unwrap();
        assert_eq!(fs::metadata(&placed).unwrap().mode() & 0o777, 0o644);
        assert_eq!(public(&example("p256.pub"), &directory).unwrap(), placed);
        let other = home.path().join("p256.pub");
        fs::copy(example("rsa2048.pub"), &other).unwrap();
        assert!(matches!(
            public(&other, &directory),
            Err(PlaceError::Taken(_))
        ));
        assert!(matches!(
            public(&example("ed25519.pub"), &directory),
            Err(PlaceError::NoPublicKey(_))
        ));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_is_there_gets_its_mode_back_and_a_link_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("irsa");
        let source = home.path().join("ours.pub");
        fs::copy(example("p256.pub"), &source).unwrap();
        let placed = public(&source, &directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o755);
        for wrong in [0o600, 0o666, 0o4644] {
            fs::set_permissions(&placed, Permissions::from_mode(wrong)).unwrap();
            public(&source, &directory).unwrap();
            assert_eq!(fs::metadata(&placed).unwrap().mode() & 0o7777, 0o644);
        }
        let kept = directory.join("kept.pub");
        fs::rename(&placed, &kept).unwrap();
        std::os::unix::fs::symlink(&kept, &placed).unwrap();
        let error = public(&source, &directory).unwrap_err();
        assert!(matches!(error, PlaceError::Taken(_)), "{error}");
    }

    #[test]
    fn a_key_is_for_whoever_may_read_the_one_in_use() {
        let home = tempfile::tempdir().unwrap();
        let key = home.path().join("sa.key");
        fs::write(&key, "").unwrap();
        for (mode, wanted) in [
            (0o600, 0o600),
            (0o640, 0o640),
            (0o644, 0o640),
            (0o400, 0o600),
        ] {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Access::like(Some(&key)).mode, wanted, "{mode:o}");
        }
        let none = Access::like(None);
        assert_eq!((none.owner, none.mode), (None, 0o600));
    }

    /// Somebody else, as far as this process may give files away: root to anybody, others to a group of theirs.
    fn somebody_else() -> Option<(u32, u32)> {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        if user.is_root() {
            return Some((12_345, 54_321));
        }
        let groups = rustix::process::getgroups().ok()?;
        let other = groups.into_iter().find(|other| *other != group)?;
        Some((user.as_raw(), other.as_raw()))
    }

    /// kube-apiserver may run as a user of its own, who reads its key as owner or through the group.
    #[test]
    fn a_key_is_given_to_the_owner_of_the_one_in_use_and_given_again() {
        let Some((owner, group)) = somebody_else() else {
            return;
        };
        let home = tempfile::tempdir().unwrap();
        let (key, directory) = (home.path().join("sa.key"), home.path().join("irsa"));
        fs::write(&key, "").unwrap();
        let own = fs::metadata(&key).unwrap();
        std::os::unix::fs::chown(&key, Some(owner), Some(group)).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let place = || {
            let placed = write(&key, b"key", &directory, Access::like(Some(&key))).unwrap();
            let found = fs::metadata(&placed).unwrap();
            let wanted = (owner, group, 0o640);
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), wanted);
            placed
        };
        let placed = place();
        // The group alone, the owner alone, and both: each is mended, whatever the mode says.
        let (user_before, group_before) = (Some(own.uid()), Some(own.gid()));
        for (user, group) in [
            (None, group_before),
            (user_before, None),
            (user_before, group_before),
        ] {
            std::os::unix::fs::chown(&placed, user, group).unwrap();
            place();
        }
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let (pipe, directory) = (home.path().join("key.pub"), home.path().join("irsa"));
        let mode = rustix::fs::Mode::from(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for odd in [pipe.as_path(), home.path()] {
            for error in [
                public(odd, &directory).unwrap_err(),
                private(odd, &directory, Access::like(None)).unwrap_err(),
            ] {
                assert!(matches!(error, PlaceError::NotAFile(_)), "{error}");
            }
        }
        assert!(!directory.exists());
    }

    #[test]
    fn a_public_file_is_no_signing_key() {
        let home = tempfile::tempdir().unwrap();
        let error = private(
            &example("p256.pub"),
            home.path(),
            Access::like(Some(Path::new("/nowhere"))),
        )
        .unwrap_err();
        assert!(matches!(error, PlaceError::NoSigningKey { .. }));
    }
}
