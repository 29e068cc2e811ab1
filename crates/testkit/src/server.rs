//! The real server, in a directory of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Person;
use crate::leftovers::Traces;
use crate::wait;

/// What is stopped is gone from the machine within this time.
const GONE: Duration = Duration::from_secs(10);

/// A running server. Dropping it stops the server and its dynos, and fails the test when anything of
/// them is left on the machine; the directory stays when the test fails, and its path is printed.
pub struct Server {
    binary: PathBuf,
    dir: PathBuf,
    child: Option<Child>,
    /// The server that has taken over, which is nobody's child.
    heir: Option<Pid>,
    address: SocketAddr,
    token: String,
    settings: String,
    traces: Option<Traces>,
}

impl Server {
    /// Starts a server with the tests' settings.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    #[track_caller]
    pub fn start(binary: impl Into<PathBuf>) -> Self {
        Self::start_with(binary, "")
    }

    /// Starts a server with these lines of `hythe.toml`.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    #[track_caller]
    pub fn start_with(binary: impl Into<PathBuf>, settings: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("hythe-test-").tempdir().expect("a directory");
        let dir = dir.keep();
        let mut server = Self {
            binary: binary.into(),
            dir,
            child: None,
            heir: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: String::new(),
            settings: settings.to_owned(),
            traces: None,
        };
        fs::create_dir(server.data_dir()).expect("the data directory");
        server.launch();
        server.traces = Some(Traces::of(&server.data_dir()));
        server.token = fs::read_to_string(server.dir.join("token")).expect("the first token");
        server
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first account's API token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.trim()
    }

    /// The server's data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The private CA's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.data_dir().join("tls/ca.pem")
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match (self.heir, &self.child) {
            (Some(heir), _) => heir.as_raw().unsigned_abs(),
            (None, child) => child.as_ref().expect("running").id(),
        }
    }

    /// Has a new server take over from this one, with the binary that is now at its path. Returns
    /// when it serves; the old one may still have requests under way.
    ///
    /// # Panics
    /// When none takes over.
    #[track_caller]
    pub fn upgrade(&mut self) {
        let old = self.pid();
        let before = self.log().matches(TAKEN_OVER).count();
        kill(pid_of(old), Signal::SIGUSR2).expect("a signal");
        wait::until("another server", Duration::from_secs(60), || {
            let taken = self.log().matches(TAKEN_OVER).count() > before;
            taken.then_some(()).ok_or_else(|| self.log())
        });
        let servers = servers_of(&self.data_dir());
        let heir = servers.into_iter().find(|&pid| pid != old);
        self.heir = heir.map(pid_of);
        assert!(self.heir.is_some(), "no other server runs");
    }

    /// Waits until the first server, from which another has taken over, has ended.
    ///
    /// # Panics
    /// When it does not, or ends in disgrace.
    #[track_caller]
    pub fn wait_for_old_end(&mut self) {
        let mut child = self.child.take().expect("running");
        wait::until("the old server's end", Duration::from_secs(60), || {
            let ended = child.try_wait().expect("a child");
            ended.ok_or_else(|| self.log())
        });
        let status = child.wait().expect("ended");
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// The binary under test.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Somebody at a shell with git and the official CLI, logged in to this server.
    #[must_use]
    pub fn person(&self) -> Person {
        Person::new(self)
    }

    /// Kills the server as a power cut would, leaving dynos alone.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("SIGKILL");
        child.wait().expect("reaped");
    }

    /// Starts it again on the same address and directory.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.launch();
    }

    /// Starts it again with more on its command line.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_again_with(&mut self, more: &[&str]) {
        if let Err(error) = self.try_launch(more) {
            panic!("the server did not start: {error:#}\n{}", self.log());
        }
    }

    /// Starts it again, to abort at this step. It may be dead before it is ready.
    ///
    /// # Panics
    /// When it cannot be run, or does not come up and does not abort.
    #[track_caller]
    pub fn start_again_to_crash_at(&mut self, step: &str) {
        let Err(error) = self.try_launch(&["--crash-at", step]) else { return };
        wait::until("the server's death", Duration::from_secs(5), || {
            self.has_aborted().then_some(()).ok_or_else(|| format!("{error:#}\n{}", self.log()))
        });
    }

    /// Whether it has died by its own hand.
    ///
    /// # Panics
    /// When it has ended any other way.
    #[track_caller]
    pub fn has_aborted(&mut self) -> bool {
        let Some(child) = &mut self.child else { return true };
        let Some(status) = child.try_wait().expect("a child") else { return false };
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "{status}\n{}", self.log());
        self.child = None;
        true
    }

    /// From the next start on, these lines of `hythe.toml`.
    pub fn set_settings(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
    }

    /// From the next start on, another binary.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Tells it to stop, and waits. Dynos stay.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("running");
        terminate(&mut child);
    }

    /// What the server said about itself.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// What is left on the machine after everything was stopped; the kernel takes a moment.
    fn left(&self) -> Vec<String> {
        let until = Instant::now() + GONE;
        loop {
            let left = self.traces.as_ref().map(Traces::left).unwrap_or_default();
            if left.is_empty() || Instant::now() > until {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn launch(&mut self) {
        self.start_again_with(&[]);
    }

    fn try_launch(&mut self, more: &[&str]) -> anyhow::Result<()> {
        fs::write(self.data_dir().join("hythe.toml"), &self.settings)?;
        let log = File::options().create(true).append(true).open(self.dir.join("server.log"))?;
        let mut child = Command::new(&self.binary)
            .args(["server", "--data-dir"])
            .arg(self.data_dir())
            .args(["--listen", &self.address.to_string(), "--owner", "ada@example.com"])
            .arg("--token-file")
            .arg(self.dir.join("token"))
            .args(more)
            .env("HYTHE_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("run {}", self.binary.display()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        self.child = Some(child);
        self.address = ready(stdout)?;
        Ok(())
    }
}

/// Reads up to the line `ready http://ADDRESS`, and goes on reading so that the pipe never fills.
fn ready(stdout: std::process::ChildStdout) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    let address = loop {
        let line = lines.next().context("it ended before it was ready")??;
        if let Some(address) = line.strip_prefix("ready http://") {
            break address.trim().parse().with_context(|| format!("read {line:?}"))?;
        }
    };
    std::thread::spawn(move || lines.for_each(drop));
    Ok(address)
}

fn terminate(child: &mut Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let _gone_already = kill(pid, Signal::SIGTERM);
    wait::until("the server's end", Duration::from_secs(60), || match child.try_wait() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("still running".to_owned()),
        Err(error) => Err(error.to_string()),
    });
}

/// What an old server says when it has been relieved.
const TAKEN_OVER: &str = "Another server has taken over.";

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id"))
}

/// The servers that run with this data directory.
fn servers_of(data_dir: &Path) -> Vec<u32> {
    let wanted = format!("\0server\0--data-dir\0{}\0", data_dir.display());
    let numbers = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let line = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|&pid| line(pid).contains(&wanted)).collect()
}

/// Whether it has anything left, such as locks: a zombie has not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

impl Drop for Server {
    fn drop(&mut self) {
        // Those that have taken over are nobody's children.
        for pid in servers_of(&self.data_dir()) {
            let _gone_already = kill(pid_of(pid), Signal::SIGKILL);
            while runs(pid) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(mut child) = self.child.take() {
            let _gone_already = child.kill();
            let _gone_already = child.wait();
        }
        let stopped = Command::new(&self.binary)
            .args(["admin", "stop-dynos", "--data-dir"])
            .arg(self.data_dir())
            .output();
        let panicking = std::thread::panicking();
        let left = if panicking { Vec::new() } else { self.left() };
        if panicking || !left.is_empty() {
            #[allow(clippy::print_stderr, reason = "a failed test says where to look")]
            {
                eprintln!("kept {} ({stopped:?})", self.dir.display());
            }
        } else {
            let _best_effort = fs::remove_dir_all(&self.dir);
        }
        assert!(left.is_empty(), "left on the machine: {left:#?}");
    }
}
