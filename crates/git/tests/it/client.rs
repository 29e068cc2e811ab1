//! A person's git, without the machine's or the tester's configuration.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// How a run of git ended.
#[derive(Debug)]
pub struct Ran {
    pub success: bool,
    pub stdout: String,
    /// Standard error; spaces at ends of lines, which git pads with, are taken off.
    pub stderr: String,
}

impl Ran {
    /// Expects success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.success, "{self:#?}");
        self
    }

    /// Expects a failure.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert!(!self.success, "{self:#?}");
        self
    }

    /// Expects a text in what git showed.
    #[track_caller]
    pub fn shows(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }

    /// What the server said, line by line.
    pub fn remote(&self) -> Vec<&str> {
        let said = |line: &'_ str| line.starts_with("remote:");
        self.stderr
            .lines()
            .filter(|line| said(line))
            .map(|line| line["remote:".len()..].strip_prefix(' ').unwrap_or(""))
            .collect()
    }
}

/// A repository with a working tree.
pub struct Checkout {
    pub path: PathBuf,
}

pub fn command(directory: &Path) -> Command {
    let mut command = Command::new("/usr/bin/git");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Me")
        .env("GIT_AUTHOR_EMAIL", "me@example.com")
        .env("GIT_COMMITTER_NAME", "Me")
        .env("GIT_COMMITTER_EMAIL", "me@example.com")
        .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub async fn git(directory: &Path, arguments: &[&str]) -> Ran {
    finish(command(directory).args(arguments).spawn().expect("git runs")).await
}

pub async fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().await.expect("git ends");
    let stderr = String::from_utf8_lossy(&output.stderr).replace('\r', "\n");
    let lines: Vec<_> = stderr.lines().map(str::trim_end).collect();
    Ran {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: lines.join("\n"),
    }
}

impl Checkout {
    /// An empty repository on `main`, in a new directory below `parent`.
    pub async fn new(parent: &Path) -> Self {
        let path = tempfile::tempdir_in(parent).expect("a directory").keep();
        git(&path, &["init", "--quiet", "--initial-branch=main"]).await.ok();
        Self { path }
    }

    pub async fn git(&self, arguments: &[&str]) -> Ran {
        git(&self.path, arguments).await
    }

    /// Writes files and commits them.
    pub async fn commit(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            std::fs::write(self.path.join(name), content).expect("written");
        }
        self.git(&["add", "--all"]).await.ok();
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "A commit"]).await.ok();
    }

    pub async fn push(&self, what: &str) -> Ran {
        self.git(&["push", "hythe", what]).await
    }

    /// Starts a push without waiting for it.
    pub fn start_push(&self, what: &str) -> Child {
        command(&self.path).args(["push", "hythe", what]).spawn().expect("git runs")
    }

    pub async fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).await.ok().stdout.trim().to_owned()
    }
}
