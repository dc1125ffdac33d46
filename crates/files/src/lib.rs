//! New files that are whole or not there, also after a kill or a power cut.
//!
//! On Linux a file is written without a name (`O_TMPFILE` of open(2)) and named when it is whole, so that a run that is
//! killed leaves no copy of a private key behind. Where a file system knows no such files, as NFS, the file has a name
//! that begins with [`UNFINISHED`] until then.
//!
//! Files of others are read with a bound, and only where they are files.

mod regular;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

pub use regular::{open_regular, read_regular};

/// How the names of files begin that are being written. The dot keeps the kubelet from running what it finds in its
/// manifest directory.
pub const UNFINISHED: &str = ".irsa-";

/// A file that is being written: mode 0600, and gone when it is dropped, until it is given its place.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    name: Name,
}

#[derive(Debug)]
enum Name {
    /// None yet, on the file system of this directory.
    None {
        directory: PathBuf,
    },
    Temporary(TempPath),
}

impl NewFile {
    /// In the directory where it will be, or in one on the same file system.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        if let Some(file) = unnamed(directory) {
            let directory = directory.to_owned();
            let name = Name::None { directory };
            return Ok(Self { file, name });
        }
        Self::named(directory)
    }

    /// With these bytes and the permissions `mode`.
    pub fn holding(directory: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let mut file = Self::in_directory(directory)?;
        file.write_all(bytes)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    }

    fn named(directory: &Path) -> io::Result<Self> {
        let (file, path) = Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(directory)?
            .into_parts();
        let name = Name::Temporary(path);
        Ok(Self { file, name })
    }

    /// For its mode and owner.
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Makes it durable under a name that is free: an existing file is left alone
    /// ([`AlreadyExists`](io::ErrorKind::AlreadyExists)).
    pub fn create(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match self.name {
            Name::None { .. } => link(&self.file, path)?,
            Name::Temporary(name) => name.persist_noclobber(path)?,
        }
        sync_directory(parent(path))
    }

    /// Makes it durable in the place of whatever is there.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let name = match self.name {
            // Nothing but a rename takes the place of a file. What a kill could leave here is whole, and public or
            // in a directory that is swept.
            Name::None { directory } => Builder::new()
                .prefix(UNFINISHED)
                .make_in(directory, |name| link(&self.file, name))?
                .into_temp_path(),
            Name::Temporary(name) => name,
        };
        name.persist(path)?;
        sync_directory(parent(path))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a new file with the permissions `mode`; an existing one is left alone
/// ([`AlreadyExists`](io::ErrorKind::AlreadyExists)). At no moment can anybody open it whom `mode` does not let.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    NewFile::holding(parent(path), bytes, mode)?.create(path)
}

/// Puts a file with the permissions `mode` in the place of whatever is there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    NewFile::holding(parent(path), bytes, mode)?.replace(path)
}

/// Removes a file durably; one that is not there is removed already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_directory(parent(path)),
    }
}

/// The directory of a path; that of a bare file name is the current one.
pub fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes a directory, and those above it that are missing, so that it is still there after a power cut: what is synced in
/// a new directory is lost with the directory's own name.
pub fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|each| !each.as_os_str().is_empty() && !each.exists())
        .collect();
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    missing
        .into_iter()
        .try_for_each(|each| sync_directory(parent(each)))
}

/// Makes the names in a directory survive a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A file without a name, where that exists: a refusal for another reason is met again by the file with a name.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};

    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(open(directory, flags, Mode::RUSR | Mode::WUSR).ok()?);
    // Without /proc it could never be named.
    descriptor(&file).symlink_metadata().is_ok().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> Option<File> {
    None
}

/// Names a file that has none; as open(2) says it of `O_TMPFILE`.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};

    Ok(linkat(
        CWD,
        descriptor(file),
        CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd as _;

    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Both kinds of file systems.
    fn each(test: impl Fn(&Path, fn(&Path) -> io::Result<NewFile>)) {
        for new in [NewFile::in_directory, NewFile::named] {
            let home = tempfile::tempdir().unwrap();
            test(home.path(), new);
        }
    }

    #[test]
    fn directories_are_made_with_all_that_is_above_them() {
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("a/b");
        create_directory(&inner, 0o700).unwrap();
        create_directory(&inner, 0o755).unwrap();
        for made in [&inner, &home.path().join("a")] {
            let mode = fs::metadata(made).unwrap().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", made.display());
        }
        fs::write(inner.join("file"), "x").unwrap();
        assert!(create_directory(&inner.join("file/c"), 0o700).is_err());
    }

    #[test]
    fn what_exists_is_left_alone_by_create_and_taken_by_replace() {
        each(|home, new| {
            let path = home.join("file");
            let write = |text: &str| {
                let mut file = new(home).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                file
            };
            write("one").create(&path).unwrap();
            let refused = write("two").create(&path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&path).unwrap(), "one");
            write("three").replace(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "three");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            assert_eq!(names(home), ["file"]);
        });
    }

    #[test]
    fn a_file_that_is_dropped_leaves_nothing() {
        each(|home, new| {
            new(home).unwrap().write_all(b"half").unwrap();
            assert!(names(home).is_empty());
        });
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_name_that_is_taken() {
        each(|home, new| {
            let path = home.join("file");
            std::os::unix::fs::symlink("elsewhere", &path).unwrap();
            let refused = new(home).unwrap().create(&path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(names(home), ["file"]);
        });
    }

    /// A kill runs no destructor.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_killed_run_leaves_no_file() {
        let home = tempfile::tempdir().unwrap();
        let Some(file) = unnamed(home.path()) else {
            return; // The file system has no such files.
        };
        drop(file);
        let mut file = NewFile::in_directory(home.path()).unwrap();
        file.write_all(b"half").unwrap();
        assert!(names(home.path()).is_empty());
        std::mem::forget(file);
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn permissions_do_not_depend_on_the_umask() {
        let home = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o644, 0o664] {
            let path = home.path().join(format!("{mode:o}"));
            create(&path, b"x", mode).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
            replace(&path, b"y", 0o640).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        }
    }

    #[test]
    fn a_directory_that_is_missing_is_named_by_the_system() {
        let error = NewFile::in_directory(Path::new("/nonexistent/x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
