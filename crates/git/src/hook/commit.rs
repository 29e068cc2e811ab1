//! The commit to be built: whether git will accept it, and what is in it.

use std::io::{self, BufRead, BufReader, Read};
use std::process::Stdio;

use super::HookEnv;
use super::updates::Target;

/// More files than this in one commit are refused; nested trees can name more than any disk holds.
const MAX_PATHS: u64 = 1_000_000;
/// At most this many submodules are named in the warning.
const NAMED_SUBMODULES: usize = 5;

/// Why a commit is not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    #[error("{0} does not point at a commit.")]
    NotACommit(&'static str),
    #[error("A branch below {0}/ is in the way of the branch {0}. Delete it, then push again.")]
    InTheWay(&'static str),
    #[error("{0} was changed by another push meanwhile. Fetch, then push again.")]
    Moved(&'static str),
    #[error("The commit has more than {MAX_PATHS} files.")]
    TooManyPaths,
    #[error("Git could not read the commit: {0}")]
    Read(#[source] io::Error),
}

/// A checked commit.
pub(super) struct Commit {
    name: String,
}

/// What is in a commit.
pub(super) struct Contents {
    /// How many files.
    pub paths: u64,
    /// Abbreviated name of its tree.
    pub tree: String,
    submodules: Vec<String>,
    more_submodules: u64,
}

impl Commit {
    /// Git looks at some rules only after the hook; then a build would have been released that the
    /// branch does not show. So they are looked at before.
    pub(super) fn check(env: &HookEnv, target: &Target) -> Result<Self, CommitError> {
        let branch = target.branch.as_str();
        let commit = format!("{}^{{commit}}", target.new);
        if ask(env, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])?
            != target.new
        {
            return Err(CommitError::NotACommit(branch));
        }
        let below = format!("refs/heads/{branch}/");
        if !ask(env, &["for-each-ref", "--count=1", &below])?.is_empty() {
            return Err(CommitError::InTheWay(branch));
        }
        Ok(Self { name: target.new.clone() })
    }

    /// Counts files and finds submodules.
    pub(super) fn contents(&self, env: &HookEnv) -> Result<Contents, CommitError> {
        let tree = format!("{}^{{tree}}", self.name);
        let tree = ask(env, &["rev-parse", "--short=7", "--end-of-options", &tree])?;
        let mut contents = Contents { paths: 0, tree, submodules: Vec::new(), more_submodules: 0 };
        let mut list = env.command();
        list.args(["ls-tree", "-r", "-z", "--full-tree", &self.name]);
        list.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut list = list.spawn().map_err(CommitError::Read)?;
        let counted = match list.stdout.take() {
            Some(stdout) => contents.count(BufReader::new(stdout)),
            None => Ok(()),
        };
        if counted.is_err() {
            // It may go on for ever; its exit status says nothing then.
            let _ = list.kill();
        }
        let status = list.wait().map_err(CommitError::Read)?;
        counted?;
        if status.success() {
            Ok(contents)
        } else {
            Err(CommitError::Read(io::Error::other("`git ls-tree` failed")))
        }
    }
}

impl Contents {
    fn count(&mut self, mut entries: impl BufRead) -> Result<(), CommitError> {
        let mut entry = Vec::new();
        while entries.read_until(0, &mut entry).map_err(CommitError::Read)? > 0 {
            self.paths += 1;
            if self.paths > MAX_PATHS {
                return Err(CommitError::TooManyPaths);
            }
            if entry.starts_with(b"160000 ") {
                self.note_submodule(&entry);
            }
            entry.clear();
        }
        Ok(())
    }

    fn note_submodule(&mut self, entry: &[u8]) {
        if self.submodules.len() == NAMED_SUBMODULES {
            self.more_submodules += 1;
            return;
        }
        let path = entry.splitn(2, |&byte| byte == b'\t').nth(1).unwrap_or_default();
        let path = String::from_utf8_lossy(path.strip_suffix(b"\0").unwrap_or(path));
        // A name may hold line ends and escape sequences; neither goes to a person's terminal.
        self.submodules.push(path.escape_debug().take(80).collect());
    }

    /// What the person should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        if self.submodules.is_empty() {
            return Vec::new();
        }
        let more = match self.more_submodules {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        vec![format!(
            "Warning: submodules are not supported yet; their directories are empty: {}{more}",
            self.submodules.join(", ")
        )]
    }
}

/// Whether the branch is still where the person's git saw it. Asked when it is this push's turn: the
/// push before may have moved it.
pub(super) fn check_unmoved(env: &HookEnv, target: &Target) -> Result<(), CommitError> {
    let name = format!("refs/heads/{}", target.branch.as_str());
    let now = ask(env, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
    if now == target.old.as_deref().unwrap_or_default() {
        Ok(())
    } else {
        Err(CommitError::Moved(target.branch.as_str()))
    }
}

/// The one line git answers with; empty when it has none.
fn ask(env: &HookEnv, arguments: &[&str]) -> Result<String, CommitError> {
    let mut command = env.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(CommitError::Read)?;
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(4096).read_to_string(&mut answer).map_err(CommitError::Read)?;
    }
    child.wait().map_err(CommitError::Read)?;
    Ok(answer.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(entries: &[u8]) -> Contents {
        let mut contents = Contents {
            paths: 0,
            tree: "d99bfd5".into(),
            submodules: Vec::new(),
            more_submodules: 0,
        };
        contents.count(entries).expect("few");
        contents
    }

    #[test]
    fn files_are_counted_whatever_their_names_are() {
        let contents = counted(b"100644 blob 1\ta\nb\x00120000 blob 2\tlink\x00");
        assert_eq!(contents.paths, 2);
        assert!(contents.warnings().is_empty());
    }

    #[test]
    fn submodules_are_named_without_line_ends() {
        let mut entries = b"160000 commit 1\tlib\n!\x1b[2J\0".to_vec();
        for _ in 0..7 {
            entries.extend_from_slice(b"160000 commit 1\tvendor/x\0");
        }
        let warnings = counted(&entries).warnings();
        let text = &warnings[0];
        assert!(text.contains(r"lib\n!\u{1b}[2J"), "{text}");
        assert!(text.ends_with("and 3 more"), "{text}");
        assert!(!text.contains('\n') && !text.contains('\x1b'));
    }
}
