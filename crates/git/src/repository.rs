//! One bare repository per app, named by the app's id: a renamed app keeps its history.

use std::path::{Path, PathBuf};

use control::Control;
use model::AppId;

use crate::{Git, GitError};

/// What is built is what was committed: `export-ignore` and `export-subst` in a pushed
/// `.gitattributes` would make `git archive` leave files out or change them. This file of the
/// repository itself outranks those.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// All repositories of the server.
#[derive(Clone)]
pub(crate) struct Repositories {
    control: Control,
    git: Git,
}

impl Repositories {
    /// The repositories, in the directory that the operator decided on. It exists.
    pub(crate) fn new(control: Control, git: Git) -> Self {
        Self { control, git }
    }

    /// Where it is, after making it if there is none. Two at once both find one whole repository.
    pub(crate) async fn open(&self, app: AppId) -> Result<PathBuf, GitError> {
        let path = control::apps::repository(&self.control, app);
        if !tokio::fs::try_exists(&path).await.map_err(GitError::file("look for", &path))? {
            self.create(&path).await?;
        }
        Ok(path)
    }

    async fn create(&self, path: &Path) -> Result<(), GitError> {
        let directory = &self.control.settings.repositories;
        let draft = directory.join(format!("new-{}", uuid::Uuid::new_v4().simple()));
        let init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--"];
        let mut command = self.git.command(directory);
        command.args(init).arg(&draft);
        run("init", command).await?;
        let info = draft.join("info");
        tokio::fs::create_dir_all(&info).await.map_err(GitError::file("create", &info))?;
        let attributes = info.join("attributes");
        let written = tokio::fs::write(&attributes, ATTRIBUTES).await;
        written.map_err(GitError::file("write", &attributes))?;
        match tokio::fs::rename(&draft, path).await {
            Ok(()) => Ok(()),
            // Somebody else was faster, and theirs is as good.
            Err(_) if path.exists() => remove(&draft).await,
            Err(source) => Err(GitError::File { what: "create", path: path.to_owned(), source }),
        }
    }

    /// After a push: points HEAD at the branch that was built, tidies, and measures in bytes.
    pub(crate) async fn settle(&self, app: AppId, built: Option<&str>) -> Result<u64, GitError> {
        let path = control::apps::repository(&self.control, app);
        if let Some(branch) = built {
            let mut head = self.git.command(&path);
            head.args(["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
            run("symbolic-ref", head).await?;
        }
        let mut tidy = self.git.command(&path);
        tidy.args(["gc", "--auto", "--quiet"]);
        run("gc", tidy).await?;
        let measured = tokio::task::spawn_blocking(move || bytes_below(&path)).await;
        measured.map_err(|source| GitError::Run { what: "gc", source: source.into() })?
    }
}

async fn remove(path: &Path) -> Result<(), GitError> {
    match tokio::fs::remove_dir_all(path).await {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(GitError::File { what: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Runs to the end and takes a failure for an error, with the beginning of what git said.
async fn run(what: &'static str, command: std::process::Command) -> Result<(), GitError> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = command.output().await.map_err(|source| GitError::Run { what, source })?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().chars().take(300).collect();
    Err(GitError::Failed { what, complaint })
}

/// Bytes of all files below a directory. A file that vanishes meanwhile counts for nothing.
fn bytes_below(directory: &Path) -> Result<u64, GitError> {
    let mut total = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(GitError::file("list", &directory)(error)),
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => waiting.push(entry.path()),
                Ok(data) => total += data.len(),
                Err(_) => {}
            }
        }
    }
    Ok(total)
}
