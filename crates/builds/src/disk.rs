//! How much room a disk has left.

use std::io;
use std::path::Path;

/// Bytes that may still be written to the disk of `path`.
///
/// # Errors
/// When the disk cannot be asked.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let answer = nix::sys::statvfs::statvfs(path)?;
    Ok(answer.blocks_available().saturating_mul(answer.fragment_size()))
}
