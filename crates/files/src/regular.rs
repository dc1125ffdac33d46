//! Files of others: regular ones, read with a bound and without waiting for anybody.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Opens a regular file without waiting, with its size. What else stands there is an error.
pub fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    let wait_for_nobody = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = File::options()
        .read(true)
        .custom_flags(wait_for_nobody)
        .open(path)?;
    // The file that is looked at is the one that is read.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "it is a directory, expected a file"
        } else {
            "it is a pipe, a socket or a device, expected a file"
        };
        return Err(io::Error::other(what));
    }
    Ok((file, metadata.len()))
}

/// Reads a regular file of at most `most` bytes, which may hold a secret; a larger one is an error
/// ([`FileTooLarge`](io::ErrorKind::FileTooLarge)), whatever its size was when it was opened.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let (file, length) = open_regular(path)?;
    let too_large = |length: u64| {
        let problem = format!("{length} bytes, at most {most} are read");
        io::Error::new(io::ErrorKind::FileTooLarge, problem)
    };
    if length > most {
        return Err(too_large(length));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // growing would leave unwiped copies behind
    bytes.reserve_exact(usize::try_from(length).unwrap_or_default() + 1);
    file.take(most + 1).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    if read > most {
        return Err(too_large(read));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_are_read_and_only_small_ones() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(*read_regular(&path, 5).unwrap(), b"12345");
        let large = read_regular(&path, 4).unwrap_err();
        assert_eq!(large.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(large.to_string(), "5 bytes, at most 4 are read");
        // It says that it is empty, and is not.
        let endless = read_regular(Path::new("/proc/self/environ"), 0);
        assert_eq!(endless.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let pipe = home.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for other in [&pipe, home.path(), Path::new("/dev/zero")] {
            let error = read_regular(other, 5).unwrap_err().to_string();
            assert!(error.ends_with("expected a file"), "{error}");
        }
    }
}
