//! An app's two files: the current one, and the one before it.
//!
//! A line is `ID MICROSECONDS SOURCE PROCESS TEXT`, so the files can be read with `less`. Nothing
//! is synced: a killed server loses nothing that was written, a machine without power may. A torn
//! last line is cut off when the files are read, and a line that makes no sense is skipped.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use model::log::Source;
use model::{AppId, Timestamp};

use crate::config::Config;
use crate::record::Record;

/// Reads the newest lines of as many apps as memory is meant for, those that spoke last first.
/// Deletes the files of apps that were silent for too long.
pub(crate) fn load(directory: &Path, config: &Config) -> io::Result<Vec<(AppId, Vec<Record>)>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut apps: Vec<_> = list(directory)?.into_iter().collect();
    apps.sort_by_key(|(_, modified)| std::cmp::Reverse(*modified));
    let mut loaded = Vec::new();
    let mut room = config.bytes_overall;
    for (app, modified) in apps {
        let result = if Timestamp::now().since(modified) > config.keep_for {
            delete(directory, app).map(|()| Vec::new())
        } else {
            read(directory, app, config)
        };
        let records = result.unwrap_or_else(|error| {
            tracing::warn!(%app, %error, "cannot read the kept log lines of an app");
            Vec::new()
        });
        let bytes: usize = records.iter().map(Record::bytes).sum();
        if bytes > room {
            break;
        }
        room -= bytes;
        loaded.push((app, records));
    }
    Ok(loaded)
}

/// Appends lines. When the current file is large enough, it first becomes the old one.
pub(crate) fn append<'a>(
    directory: &Path,
    app: AppId,
    records: impl Iterator<Item = &'a Record>,
    bytes_per_file: u64,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for Record { id, at, source, process, text, .. } in records {
        writeln!(bytes, "{id} {} {} {process} {text}", at.micros(), source.as_str())?;
    }
    let current = current(directory, app);
    let mut file = open(&current)?;
    let mut length = file.metadata()?.len();
    if length >= bytes_per_file {
        fs::rename(&current, old(directory, app))?;
        file = open(&current)?;
        length = 0;
    }
    file.write_all(&bytes).inspect_err(|_| {
        // Half a line must not stand before the next one. If even that fails, the two are skipped
        // as one line without sense.
        let _ = file.set_len(length);
    })
}

/// Deletes an app's files, if there are any.
pub(crate) fn delete(directory: &Path, app: AppId) -> io::Result<()> {
    for path in [current(directory, app), old(directory, app)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn current(directory: &Path, app: AppId) -> PathBuf {
    directory.join(format!("{app}.log"))
}

fn old(directory: &Path, app: AppId) -> PathBuf {
    directory.join(format!("{app}.old"))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The apps that have files, and when they last spoke.
fn list(directory: &Path) -> io::Result<HashMap<AppId, Timestamp>> {
    let mut apps = HashMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let stem = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log").or_else(|| name.strip_suffix(".old")));
        let Some(app) = stem.and_then(|stem| stem.parse::<AppId>().ok()) else { continue };
        let modified = timestamp(entry.metadata()?.modified()?);
        let newest = apps.entry(app).or_insert(modified);
        *newest = modified.max(*newest);
    }
    Ok(apps)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// An app's newest lines, oldest first.
fn read(directory: &Path, app: AppId, config: &Config) -> io::Result<Vec<Record>> {
    let mut text = read_whole_lines(&old(directory, app))?;
    text.push_str(&read_whole_lines(&current(directory, app))?);
    let mut records: Vec<Record> = Vec::new();
    for record in text.lines().filter_map(parse) {
        if records.last().is_none_or(|last| last.id < record.id) {
            records.push(record);
        }
    }
    let surplus = records.len().saturating_sub(config.lines_per_app);
    records.drain(..surplus);
    Ok(records)
}

/// A file's text without a torn last line, which is cut off the file too.
fn read_whole_lines(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
        bytes.truncate(whole);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(line: &str) -> Option<Record> {
    let mut parts = line.splitn(5, ' ');
    let id = parts.next()?.parse().ok()?;
    let at = Timestamp::from_micros(parts.next()?.parse().ok()?);
    let source = match parts.next()? {
        "app" => Source::App,
        "heroku" => Source::Heroku,
        _ => return None,
    };
    let process = parts.next()?.into();
    Some(Record { id, at, source, process, text: parts.next()?.into(), lost: 0 })
}

#[cfg(test)]
mod tests;
