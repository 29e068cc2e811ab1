//! The journal: an app's newest lines, before they are enough for a block.
//!
//! Lines written together are one chunk: its length, its checksum, its lines. Nothing is synced: a
//! killed server loses nothing that was written; a machine without power may, and the torn rest is
//! cut off when the app's lines are opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use model::Timestamp;
use model::log::Source;

use super::block::{Block, Row};
use super::bytes::{Reader, put, put_bytes, put_signed};
use crate::record::Record;

const PREFIX: usize = 8;

/// Appends lines as one chunk. Gives the journal's length. Leaves it as it was when that fails.
pub(super) fn append<'a>(
    path: &Path,
    records: impl Iterator<Item = &'a Record>,
) -> io::Result<u64> {
    let mut bytes = vec![0; PREFIX];
    records.for_each(|record| row(&mut bytes, record));
    let length = u32::try_from(bytes.len() - PREFIX).map_err(io::Error::other)?;
    let crc = crc32fast::hash(&bytes[PREFIX..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..PREFIX].copy_from_slice(&crc.to_le_bytes());
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(&bytes).inspect_err(|_| {
        // Half a chunk must not stand before the next one.
        let _ = file.set_len(before);
    })?;
    Ok(before + bytes.len() as u64)
}

/// Reads the whole chunks. An absent journal is an empty one.
pub(super) fn read(path: &Path) -> io::Result<Block> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(parse(&bytes).0)
}

/// Cuts off a torn rest. Gives the lines that are whole.
pub(super) fn recover(path: &Path) -> io::Result<Block> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Block::default()),
        read => read?,
    };
    let (block, whole) = parse(&bytes);
    if whole < bytes.len() {
        tracing::warn!(path = %path.display(), cut = bytes.len() - whole, "cut a torn log journal");
        File::options().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(block)
}

/// The lines of all whole chunks, and how many bytes those are.
fn parse(bytes: &[u8]) -> (Block, usize) {
    let mut block = Block::default();
    let mut reader = Reader(bytes);
    let mut whole = 0;
    while let Some(rows) = chunk(&mut reader) {
        let mut rows = Reader(rows);
        while let Some(row) = read_row(&mut rows) {
            if block.ids.last().is_none_or(|&last| last < row.id) {
                block.push(row);
            }
        }
        whole = bytes.len() - reader.0.len();
    }
    (block, whole)
}

fn chunk<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let (length, crc) = (reader.u32()?, reader.u32()?);
    let rows = reader.take(length as usize)?;
    (crc32fast::hash(rows) == crc).then_some(rows)
}

fn row(out: &mut Vec<u8>, record: &Record) {
    let Record { id, at, source, process, text, lost } = record;
    put(out, *id);
    put_signed(out, at.micros());
    out.push(u8::from(*source == Source::Heroku));
    put(out, *lost);
    put_bytes(out, process.as_bytes());
    put_bytes(out, text.as_bytes());
}

fn read_row<'a>(reader: &mut Reader<'a>) -> Option<Row<'a>> {
    let id = reader.number()?;
    let at = Timestamp::from_micros(reader.signed()?);
    let source = if reader.take(1)? == [1] { Source::Heroku } else { Source::App };
    let lost = reader.number()?;
    let process = std::str::from_utf8(reader.bytes()?).ok()?;
    let text = std::str::from_utf8(reader.bytes()?).ok()?;
    Some(Row { id, at, source, process, text, lost })
}
