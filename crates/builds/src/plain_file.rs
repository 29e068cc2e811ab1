//! Reads files that an untrusted build left behind: only plain ones, only so many bytes, never
//! through a symlink, never waiting on a pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// `path`, opened for reading; `None` when there is no plain file of that name.
///
/// # Errors
/// When the disk fails.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The content of `path`; `None` when there is no plain file of that name.
///
/// # Errors
/// When it is larger than `max_bytes`, or the disk fails.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let name = path.file_name().unwrap_or_default().display().to_string();
        let text = format!("{name} is larger than {}", crate::sizes::human(max_bytes));
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some(bytes))
}

/// Like [`read`], as text; bytes that are not UTF-8 are replaced.
///
/// # Errors
/// As [`read`].
pub fn read_text(path: &Path, max_bytes: u64) -> io::Result<Option<String>> {
    Ok(read(path, max_bytes)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn is_absence(error: &io::Error) -> bool {
    // ELOOP: a symlink; ENXIO: a socket; ENOTDIR: a parent that is a file.
    let absent = [libc::ENOENT, libc::ELOOP, libc::ENXIO, libc::ENOTDIR];
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("plain"), "text").expect("written");
        std::os::unix::fs::symlink(path("plain"), path("link")).expect("linked");
        std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
        assert_eq!(read(&path("plain"), 4).expect("read"), Some(b"text".to_vec()));
        for absent in ["missing", "link", "socket", "."] {
            assert_eq!(read(&path(absent), 4).expect("no error"), None, "{absent}");
        }
        let error = read(&path("plain"), 3).expect_err("too large");
        assert_eq!(error.to_string(), "plain is larger than 3B");
    }
}
