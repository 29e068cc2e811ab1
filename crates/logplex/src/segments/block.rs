//! A block: some thousand lines, column by column, compressed, behind a head that says what it
//! may hold.
//!
//! On disk: `HYL1`, the lengths of head and body, the head's checksum (each 4 bytes), the head,
//! the body. A block is written whole or cut off.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use model::Timestamp;
use model::log::Source;

use super::bytes::{Reader, put, put_bytes, put_signed};
use super::words::{self, Words};
use crate::record::Record;

const MAGIC: &[u8; 4] = b"HYL1";
const PREFIX: usize = 16;
/// No head and no body is larger, so that bad lengths cannot take all memory.
const MAX_PART: usize = 64 << 20;

/// What a block may hold, without reading it.
#[derive(Debug)]
pub(crate) struct Head {
    pub first_id: u64,
    pub last_id: u64,
    pub from: Timestamp,
    pub until: Timestamp,
    pub count: usize,
    processes: Vec<(Source, Arc<str>)>,
    /// The head as it was read. Most of it is the filter, its end, which is not copied.
    bytes: Vec<u8>,
    filter_at: usize,
    raw_bytes: usize,
    body_crc: u32,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Of the block in its file.
    pub offset: u64,
    head_bytes: usize,
    body_bytes: usize,
}

/// Lines in order, column by column.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub ids: Vec<u64>,
    pub times: Vec<Timestamp>,
    kinds: Vec<usize>,
    processes: Vec<(Source, Arc<str>)>,
    /// Lines that say that others are lost: which one, and how many.
    lost: Vec<(usize, u64)>,
    /// All texts, one after the other.
    pub texts: String,
    /// Where each text ends.
    pub ends: Vec<usize>,
}

/// One line, before it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub id: u64,
    pub at: Timestamp,
    pub source: Source,
    pub process: &'a str,
    pub text: &'a str,
    pub lost: u64,
}

impl Head {
    /// Whether the block may hold a line with all of these words.
    pub fn may_hold(&self, words: &[u64]) -> bool {
        words.iter().all(|&hash| words::may_hold(&self.bytes[self.filter_at..], hash))
    }

    /// Whether a process that is wanted spoke in the block.
    pub fn has_process(&self, wanted: impl Fn(Source, &str) -> bool) -> bool {
        self.processes.iter().any(|(source, process)| wanted(*source, process))
    }
}

impl Place {
    /// Where the next block begins.
    pub fn end(self) -> u64 {
        self.offset + (PREFIX + self.head_bytes + self.body_bytes) as u64
    }
}

impl Block {
    /// Adds a line behind the others.
    pub fn push(&mut self, row: Row<'_>) {
        let Row { id, at, source, process, text, lost } = row;
        let kind = self.kind(source, process);
        if lost > 0 {
            self.lost.push((self.ids.len(), lost));
        }
        self.ids.push(id);
        self.times.push(at);
        self.kinds.push(kind);
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// One line's text.
    pub fn text(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[start..self.ends[row]]
    }

    /// Who spoke.
    pub fn process(&self, row: usize) -> (Source, &Arc<str>) {
        let (source, process) = &self.processes[self.kinds[row]];
        (*source, process)
    }

    /// One line.
    pub fn record(&self, row: usize) -> Record {
        let (source, process) = self.process(row);
        Record {
            id: self.ids[row],
            at: self.times[row],
            source,
            process: process.clone(),
            text: self.text(row).into(),
            lost: self.lost(row),
        }
    }

    /// How many lines this one says are lost.
    pub fn lost(&self, row: usize) -> u64 {
        self.lost.iter().find(|(at, _)| *at == row).map_or(0, |(_, lost)| *lost)
    }

    /// The block as it is written. There must be a line.
    pub(super) fn encode(&self, words: &mut Words, level: i32) -> io::Result<Vec<u8>> {
        let raw = self.columns();
        let body = zstd::bulk::compress(&raw, level)?;
        let head = self.head(words, raw.len(), crc32fast::hash(&body));
        let mut out = Vec::with_capacity(PREFIX + head.len() + body.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&length(head.len())?.to_le_bytes());
        out.extend_from_slice(&length(body.len())?.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&body);
        Ok(out)
    }

    fn kind(&mut self, source: Source, process: &str) -> usize {
        let same = |(s, p): &(Source, Arc<str>)| *s == source && **p == *process;
        // Lines of one process come in rows; of many, there are a few dozen.
        if let Some(&last) = self.kinds.last()
            && same(&self.processes[last])
        {
            return last;
        }
        self.processes.iter().position(same).unwrap_or_else(|| {
            self.processes.push((source, process.into()));
            self.processes.len() - 1
        })
    }

    fn columns(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.texts.len() + self.len() * 8);
        let mut before = self.ids.first().copied().unwrap_or(0);
        for &id in &self.ids {
            put(&mut out, id.wrapping_sub(before));
            before = id;
        }
        let mut before = 0;
        for at in &self.times {
            put_signed(&mut out, at.micros().wrapping_sub(before));
            before = at.micros();
        }
        self.kinds.iter().for_each(|&kind| put(&mut out, kind as u64));
        let mut before = 0;
        for &end in &self.ends {
            put(&mut out, (end - before) as u64);
            before = end;
        }
        put(&mut out, self.lost.len() as u64);
        for &(row, lost) in &self.lost {
            put(&mut out, row as u64);
            put(&mut out, lost);
        }
        out.extend_from_slice(self.texts.as_bytes());
        out
    }

    fn head(&self, words: &mut Words, raw_bytes: usize, body_crc: u32) -> Vec<u8> {
        let mut out = body_crc.to_le_bytes().to_vec();
        let times = || self.times.iter().map(|at| at.micros());
        put(&mut out, raw_bytes as u64);
        put(&mut out, self.len() as u64);
        put(&mut out, self.ids.first().copied().unwrap_or(0));
        put(&mut out, self.ids.last().copied().unwrap_or(0));
        put_signed(&mut out, times().min().unwrap_or(0));
        put_signed(&mut out, times().max().unwrap_or(0));
        put(&mut out, self.processes.len() as u64);
        for (source, process) in &self.processes {
            out.push(u8::from(*source == Source::Heroku));
            put_bytes(&mut out, process.as_bytes());
        }
        words.clear();
        for row in 0..self.len() {
            words::hashes(self.text(row).as_bytes(), |hash| words.add(hash));
        }
        put_bytes(&mut out, &words.filter());
        out
    }
}

/// Reads the head of the block at `offset`. `None` when there is no whole block there.
pub(crate) fn read_head(
    file: &File,
    offset: u64,
    length: u64,
) -> io::Result<Option<(Place, Head)>> {
    let mut prefix = [0; PREFIX];
    if offset + PREFIX as u64 > length {
        return Ok(None);
    }
    file.read_exact_at(&mut prefix, offset)?;
    let mut reader = Reader(&prefix[4..]);
    let (Some(head_bytes), Some(body_bytes), Some(crc)) =
        (reader.u32(), reader.u32(), reader.u32())
    else {
        return Ok(None);
    };
    let place = Place { offset, head_bytes: head_bytes as usize, body_bytes: body_bytes as usize };
    let sane = place.head_bytes <= MAX_PART && place.body_bytes <= MAX_PART;
    if &prefix[..4] != MAGIC || !sane || place.end() > length {
        return Ok(None);
    }
    let mut bytes = vec![0; place.head_bytes];
    file.read_exact_at(&mut bytes, offset + PREFIX as u64)?;
    let whole = crc32fast::hash(&bytes) == crc;
    Ok(whole.then(|| head(bytes)).flatten().map(|head| (place, head)))
}

/// Reads a block. `None` when its body is damaged.
pub(crate) fn read(file: &File, place: Place, head: &Head) -> io::Result<Option<Block>> {
    let mut bytes = vec![0; place.body_bytes];
    file.read_exact_at(&mut bytes, place.offset + (PREFIX + place.head_bytes) as u64)?;
    if crc32fast::hash(&bytes) != head.body_crc || head.raw_bytes > MAX_PART {
        return Ok(None);
    }
    let raw = zstd::bulk::decompress(&bytes, head.raw_bytes)?;
    Ok(block(&raw, head))
}

fn head(bytes: Vec<u8>) -> Option<Head> {
    let mut reader = Reader(&bytes);
    let body_crc = reader.u32()?;
    let raw_bytes = reader.size()?;
    let count = reader.size()?;
    let (first_id, last_id) = (reader.number()?, reader.number()?);
    let from = Timestamp::from_micros(reader.signed()?);
    let until = Timestamp::from_micros(reader.signed()?);
    let mut processes = Vec::new();
    for _ in 0..reader.size()? {
        let source = if reader.take(1)? == [1] { Source::Heroku } else { Source::App };
        processes.push((source, std::str::from_utf8(reader.bytes()?).ok()?.into()));
    }
    let (filter, rest) = (reader.bytes()?, reader.0.len());
    let filter_at = bytes.len() - rest - filter.len();
    Some(Head {
        first_id,
        last_id,
        from,
        until,
        count,
        processes,
        filter_at,
        bytes,
        raw_bytes,
        body_crc,
    })
}

fn block(raw: &[u8], head: &Head) -> Option<Block> {
    let mut reader = Reader(raw);
    let count = head.count.min(raw.len());
    let mut block = Block { processes: head.processes.clone(), ..Block::default() };
    let mut id = head.first_id;
    for _ in 0..count {
        id = id.wrapping_add(reader.number()?);
        block.ids.push(id);
    }
    let mut at = 0_i64;
    for _ in 0..count {
        at = at.wrapping_add(reader.signed()?);
        block.times.push(Timestamp::from_micros(at));
    }
    for _ in 0..count {
        block.kinds.push(reader.size().filter(|&kind| kind < head.processes.len())?);
    }
    let mut end = 0_usize;
    for _ in 0..count {
        end = end.checked_add(reader.size()?)?;
        block.ends.push(end);
    }
    for _ in 0..reader.size()? {
        block.lost.push((reader.size()?, reader.number()?));
    }
    block.texts = std::str::from_utf8(reader.take(end)?).ok()?.to_owned();
    let whole = block.ends.iter().all(|&end| block.texts.is_char_boundary(end));
    whole.then_some(block)
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}
