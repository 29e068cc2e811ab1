//! The extended headers of tar: long names of GNU tar and records of pax.
//!
//! Read here, and not by the tar library, because their size must be bounded and names may hold
//! line feeds.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use tar::{Entry, EntryType};

use super::{ArchiveError, Names};

/// No header that people's tools write comes near this.
const MAX_HEADER: u64 = 1024 * 1024;

/// What extended headers said about the entry that follows them.
#[derive(Default)]
pub(super) struct Pending {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Pending {
    /// Takes in `entry` if it is an extended header; says whether it was.
    pub(super) fn absorb<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
    ) -> Result<bool, ArchiveError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(until_nul(bounded(entry)?)),
            EntryType::GNULongLink => self.link = Some(until_nul(bounded(entry)?)),
            EntryType::XHeader => self.records(&bounded(entry)?)?,
            // Git puts the commit there; nothing in it concerns us.
            EntryType::XGlobalHeader => drop(bounded(entry)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The names of the entry that follows.
    pub(super) fn names<R: Read>(self, entry: &Entry<'_, R>) -> Result<Names, ArchiveError> {
        let path = self.path.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let link = self
            .link
            .or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        // A size record exists for files over 8 GB, which are over every limit here; and a sparse
        // file's content is not what the header says.
        let other_size = self.size.is_some_and(|size| size != entry.size());
        if self.sparse || other_size {
            return Err(ArchiveError::Kind(path));
        }
        Ok(Names { path, link: PathBuf::from(OsStr::from_bytes(&link)) })
    }

    /// Records are `<length> <key>=<value>\n`, where length counts the whole record.
    fn records(&mut self, mut rest: &[u8]) -> Result<(), ArchiveError> {
        while !rest.is_empty() {
            let (key, value, next) = record(rest).ok_or_else(malformed)?;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value).ok_or_else(malformed)?),
                _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
            rest = next;
        }
        Ok(())
    }
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space])?).ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let body = &bytes[space + 1..length - 1];
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn malformed() -> ArchiveError {
    ArchiveError::Format(io::Error::other("malformed pax record"))
}

fn bounded<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > MAX_HEADER {
        return Err(ArchiveError::Format(io::Error::other("an extended header is too large")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(ArchiveError::Format)?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
