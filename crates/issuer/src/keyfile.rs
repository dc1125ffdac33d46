//! Key files: read with bounds, written whole, private ones for their owner alone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;
use irsa_core::private::{PrivateKeyError, PrivateKeyPem};
use irsa_files::NewFile;
pub use irsa_files::open_regular;
use zeroize::Zeroizing;

/// Far above any key file: a bound on what a wrong path (a disk, a log) makes us read.
pub const MAX_BYTES: u64 = 1 << 20;

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refuses.
    #[error("file \"{}\" cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than [`MAX_BYTES`].
    #[error("file \"{}\" is larger than {MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Group or others have rights on a private key.
    #[error("private key \"{}\" can be read by others (mode {mode:04o}, expected 0600)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// No private key inside.
    #[error("\"{}\" is no signing key", path.display())]
    NotPrivate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PrivateKeyError,
    },
    /// Never overwritten.
    #[error("\"{}\" exists already and is not overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("\"{}\" cannot be written", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Explain for KeyFileError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Exposed { path, .. } => {
                format!(
                    "chmod 600 {}, and rotate it if this host is shared",
                    path.display()
                )
            }
            Self::NotPrivate { source, .. } => return source.help(),
            Self::Exists { .. } => "choose another --name or --out".into(),
            Self::TooLarge { .. } => {
                "name another file: keys, tokens and documents are far smaller".into()
            }
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path".into(),
                io::ErrorKind::IsADirectory => "name the file in it".into(),
                io::ErrorKind::NotADirectory if matches!(self, Self::Read { .. }) => {
                    "check the path: a part of it that should be a directory is a file".into()
                }
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "name a directory, new or existing: a file of that name is there".into()
                }
                io::ErrorKind::PermissionDenied if matches!(self, Self::Write { .. }) => {
                    "choose a directory that you may write to".into()
                }
                io::ErrorKind::PermissionDenied => "run as the owner of the file".into(),
                _ => return None,
            },
        })
    }
}

/// Reads a file that may hold private keys; `-` is standard input.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    if path == Path::new("-") {
        return read_all(path, io::stdin(), MAX_BYTES);
    }
    let fail = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    read_all(path, file, size)
}

/// Reads a file for whoever reads it again and again: what is no regular file is refused. Whoever opens a pipe waits
/// for its writer, and an endpoint that follows its files would wait for ever.
pub fn read_regular(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let fail = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let (file, size) = open_regular(path).map_err(fail)?;
    read_all(path, file, size)
}

/// Reads a private key, unless group or others could do so too.
pub fn read_private(path: &Path) -> Result<PrivateKeyPem, KeyFileError> {
    let fail = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let (text, mode) = if path == Path::new("-") {
        (read(path)?, 0o600)
    } else {
        // The file that is looked at is the one that is read.
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        let text = read_all(path, file, metadata.len())?;
        (text, metadata.mode() & 0o777)
    };
    let key = PrivateKeyPem::parse(&text).map_err(|source| KeyFileError::NotPrivate {
        path: path.to_owned(),
        source,
    })?;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(key)
}

/// Reads to the end into one allocation of the expected size: growing would leave unwiped copies of a key behind.
fn read_all(path: &Path, from: impl Read, size: u64) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let fail = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Zeroizing::new(Vec::new());
    text.reserve_exact(usize::try_from(size.min(MAX_BYTES)).unwrap_or_default() + 1);
    from.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(fail)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(KeyFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// The files that a new pair is written to: `NAME.key` and `NAME.pub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairPaths {
    /// The private key, mode 0600.
    pub private: PathBuf,
    /// The public key, mode 0644.
    pub public: PathBuf,
}

impl PairPaths {
    /// The pair `name` in `directory`.
    pub fn new(directory: &Path, name: &str) -> Self {
        let path = |extension| directory.join(format!("{name}.{extension}"));
        Self {
            private: path("key"),
            public: path("pub"),
        }
    }

    /// Writes both halves; neither file may exist. The private one is durable before the public one appears, so a
    /// crash in between leaves nothing that could be published without its key.
    pub fn create(&self, key: &PrivateKeyPem) -> Result<(), KeyFileError> {
        for path in [&self.private, &self.public] {
            if path.symlink_metadata().is_ok() {
                return Err(KeyFileError::Exists { path: path.clone() });
            }
        }
        if let Some(parent) = self.private.parent() {
            fs::create_dir_all(parent).map_err(|source| KeyFileError::Write {
                path: parent.to_owned(),
                source,
            })?;
        }
        let text = key.public_key().to_pem();
        // Both are written before one has a name: what can fail then has hardly a way to leave half a pair.
        let private = new(&self.private, key.expose_pem().as_bytes(), 0o600)?;
        let public = new(&self.public, text.as_bytes(), 0o644)?;
        private
            .create(&self.private)
            .map_err(failed(&self.private))?;
        let named = public.create(&self.public).map_err(failed(&self.public));
        let is_ours = || fs::read(&self.public).is_ok_and(|there| there == text.as_bytes());
        match named {
            // Another run has met the private half alone, and has written this one: see `restore_public`.
            Err(KeyFileError::Exists { .. }) if is_ours() => Ok(()),
            Err(error) => {
                // Half a pair would be in the way of the next attempt; but a key whose public half stands may be in use.
                if !is_ours() {
                    drop(fs::remove_file(&self.private));
                }
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes the public half again if it is missing, as after a crash between the two files.
    pub fn restore_public(&self) -> Result<(), KeyFileError> {
        if self.public.symlink_metadata().is_ok() {
            return Ok(());
        }
        let key = read_private(&self.private)?;
        let text = key.public_key().to_pem();
        let public = new(&self.public, text.as_bytes(), 0o644)?;
        public.create(&self.public).map_err(failed(&self.public))
    }
}

fn new(path: &Path, text: &[u8], mode: u32) -> Result<NewFile, KeyFileError> {
    NewFile::holding(irsa_files::parent(path), text, mode).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    |source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path },
        _ => KeyFileError::Write { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use irsa_core::algorithm::Curve;
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    fn key() -> PrivateKeyPem {
        PrivateKeyPem::from_scalar(Curve::P256, &[1]).unwrap()
    }

    #[test]
    fn a_pair_is_written_once_with_the_right_modes() {
        let home = tempfile::tempdir().unwrap();
        let paths = PairPaths::new(&home.path().join("new"), "sa");
        paths.create(&key()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&paths.private), mode(&paths.public)), (0o600, 0o644));
        assert_eq!(
            read_private(&paths.private).unwrap().public_key(),
            key().public_key()
        );
        assert!(matches!(
            paths.create(&key()),
            Err(KeyFileError::Exists { .. })
        ));
        assert_eq!(fs::read_dir(home.path().join("new")).unwrap().count(), 2);
    }

    #[test]
    fn a_public_half_that_is_missing_is_written_again() {
        let home = tempfile::tempdir().unwrap();
        let paths = PairPaths::new(home.path(), "sa");
        paths.create(&key()).unwrap();
        let public = fs::read(&paths.public).unwrap();
        fs::remove_file(&paths.public).unwrap();
        paths.restore_public().unwrap();
        paths.restore_public().unwrap();
        assert_eq!(fs::read(&paths.public).unwrap(), public);
    }

    #[test]
    fn a_lone_public_half_stops_the_private_one() {
        let home = tempfile::tempdir().unwrap();
        let paths = PairPaths::new(home.path(), "sa");
        fs::write(&paths.public, "x").unwrap();
        assert!(matches!(
            paths.create(&key()),
            Err(KeyFileError::Exists { .. })
        ));
        assert!(!paths.private.exists());
    }

    /// As with `irsa bootstrap` from two machines: the one that meets the private half alone writes the public one.
    #[test]
    fn a_pair_that_another_run_completes_is_kept() {
        let home = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let paths = PairPaths::new(home.path(), &round.to_string());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !paths.private.exists() {
                        std::hint::spin_loop();
                    }
                    paths.restore_public().or_else(|error| match error {
                        KeyFileError::Exists { .. } => Ok(()),
                        other => Err(other),
                    })
                });
                paths.create(&key()).unwrap();
            });
            assert!(paths.private.exists() && paths.public.exists(), "{round}");
        }
    }

    #[test]
    fn half_a_pair_is_not_left_behind() {
        let home = tempfile::tempdir().unwrap();
        let paths = PairPaths {
            public: home.path().join("a folder that is not there/sa.pub"),
            ..PairPaths::new(home.path(), "sa")
        };
        paths.create(&key()).unwrap_err();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sa.key");
        fs::write(&path, key().expose_pem()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("can be read by others (mode 0640, expected 0600)")
        );
        assert!(error.help().unwrap().starts_with("chmod 600 "));
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("a.pub");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = read_regular(&pipe).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("a pipe, a socket or a device"), "{why}");
        assert!(read_regular(Path::new("/dev/zero")).is_err());
        let file = home.path().join("b.pub");
        fs::write(&file, "x").unwrap();
        assert_eq!(read_regular(&file).unwrap().as_slice(), b"x");
    }

    #[test]
    fn a_file_too_large_is_not_read_whole() {
        assert!(matches!(
            read(Path::new("/dev/zero")),
            Err(KeyFileError::TooLarge { .. })
        ));
    }
}
