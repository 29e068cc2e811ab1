//! A terminal, and somebody who reads and types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};

/// How long a program may keep its reader waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that runs on a terminal of its own. It is killed when this is dropped.
pub struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// Up to where [`Terminal::expect`] has read.
    read: usize,
    child: Child,
}

impl Terminal {
    /// Starts a program on a terminal of this size.
    pub fn start(mut command: Command, rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a terminal");
        let copy = || slave.try_clone().expect("a copy");
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().expect("started");
        // Only the program may hold the other end, or its end would never be seen.
        drop((command, slave));
        let screen = shown(File::from(master.try_clone().expect("a copy")));
        Self { keyboard: File::from(master), screen, seen: String::new(), read: 0, child }
    }

    /// Types these keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Reads on until the program has said `text`.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no {text:?} ({error}) in:\n{}", self.seen),
            }
        }
    }

    /// Waits for the program's end; gives its exit status and all that it said.
    #[track_caller]
    pub fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on:\n{}", self.seen),
            }
        }
        let status = self.child.wait().expect("an exit status");
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

/// What comes up on the screen, until nobody can write to it any more.
fn shown(mut master: File) -> Receiver<Vec<u8>> {
    let (sender, screen) = mpsc::sync_channel(256);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // A terminal that nobody holds any more reads as an error.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}
