//! What goes when too much is kept: the oldest files, by age, by an app's bytes, by all bytes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AppId, Timestamp};

use crate::config::Config;
use crate::segments::Segments;

/// What is kept, and how much of it at most.
pub(crate) struct Retention {
    directory: PathBuf,
    keep_for: Duration,
    bytes_per_app: u64,
    bytes_overall: u64,
    /// What each app has on disk.
    used: HashMap<AppId, u64>,
}

/// Lines that went before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub app: AppId,
    /// Lines up to then are gone.
    pub until: Timestamp,
    pub bytes: u64,
    pub why: Why,
}

/// Whose bytes were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The app's own.
    App,
    /// Those of all apps together.
    All,
}

impl Retention {
    /// Bounds from the configuration; nothing is used yet.
    pub fn new(directory: &Path, config: &Config) -> Self {
        Self {
            directory: directory.to_owned(),
            keep_for: config.keep_for,
            bytes_per_app: config.disk.bytes_per_app,
            bytes_overall: config.disk.bytes_overall,
            used: HashMap::new(),
        }
    }

    /// Looks at what an app has on disk now.
    pub fn measure(&mut self, app: AppId) -> io::Result<u64> {
        let bytes = Segments::new(&self.directory, app).bytes()?;
        match bytes {
            0 => self.used.remove(&app),
            bytes => self.used.insert(app, bytes),
        };
        Ok(bytes)
    }

    /// The apps that have something on disk.
    pub fn apps(&self) -> Vec<AppId> {
        self.used.keys().copied().collect()
    }

    /// Deletes what is too old. That is no surprise, so nobody is told.
    pub fn expire(&mut self, now: Timestamp) -> io::Result<()> {
        for app in self.apps() {
            let segments = Segments::new(&self.directory, app);
            let is_old = |modified: Timestamp| now.since(modified) > self.keep_for;
            let mut gone = false;
            for file in segments.files()?.iter().filter(|file| is_old(file.modified)) {
                fs::remove_file(&file.path)?;
                gone = true;
            }
            if segments.journal_modified().is_some_and(is_old) {
                segments.delete_journal()?;
                gone = true;
            }
            if gone && self.measure(app)? == 0 {
                segments.delete()?;
            }
        }
        Ok(())
    }

    /// Deletes the oldest files of an app, and of the largest apps, until the bounds hold.
    pub fn make_room(&mut self, app: AppId) -> io::Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        while self.measure(app)? > self.bytes_per_app {
            match self.cut(app, Why::App)? {
                Some(cut) => cuts.push(cut),
                None => break,
            }
        }
        while self.used.values().sum::<u64>() > self.bytes_overall {
            let largest = self.used.iter().max_by_key(|(_, bytes)| **bytes).map(|(app, _)| *app);
            let Some(largest) = largest else { break };
            match self.cut(largest, Why::All)? {
                Some(cut) => cuts.push(cut),
                None => break,
            }
            self.measure(largest)?;
        }
        Ok(cuts)
    }

    /// Deletes an app's oldest file; its journal stays.
    fn cut(&self, app: AppId, why: Why) -> io::Result<Option<Cut>> {
        let files = Segments::new(&self.directory, app).files()?;
        let Some(oldest) = files.first() else { return Ok(None) };
        fs::remove_file(&oldest.path)?;
        Ok(Some(Cut { app, until: oldest.modified, bytes: oldest.bytes, why }))
    }
}

impl Cut {
    /// What the app is told.
    pub fn text(&self) -> String {
        let Self { until, why, .. } = self;
        let whose = match why {
            Why::App => "this app's logs have reached their limit",
            Why::All => {
                "the logs of all apps have reached their limit, and this app's are the largest"
            }
        };
        format!("Log lines up to {until} were deleted before their time: {whose}.")
    }
}

#[cfg(test)]
mod tests;
