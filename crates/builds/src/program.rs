//! Runs a program of the machine: explicit arguments, nothing of our environment, no input, ended
//! when nobody waits for it any more.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// So much of what a program says is kept.
const MAX_SAID: u64 = 16 * 1024;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("could not run {}", program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("{} failed ({status}): {said}", program.display())]
    Failed {
        /// Which.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The first line that it complained with.
        said: String,
    },
}

/// Runs `program` to its end and answers what it printed.
///
/// # Errors
/// When it cannot be started or fails.
pub async fn run<I>(program: &Path, arguments: I) -> Result<String, ProgramError>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let arguments: Vec<OsString> =
        arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    let failed = |source| ProgramError::Start { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (out, err) = tokio::join!(head(child.stdout.take()), head(child.stderr.take()));
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return out.map_err(failed);
    }
    let said = err.map_err(failed)?;
    let said = said.trim().lines().next().unwrap_or_default().to_owned();
    Err(ProgramError::Failed { program: program.to_owned(), status, said })
}

/// The first [`MAX_SAID`] bytes; the rest is read, so that the program can go on, and forgotten.
async fn head(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut said = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream).take(MAX_SAID).read_to_end(&mut said).await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_fails_is_named_with_what_it_said() {
        let error = run(Path::new("/usr/bin/ls"), ["/nowhere"]).await.expect_err("fails");
        let text = error.to_string();
        assert!(text.starts_with("/usr/bin/ls failed (exit status: 2): "), "{text}");
        assert!(text.contains("/nowhere"), "{text}");
        let missing = run(Path::new("/nowhere/x"), [""; 0]).await.expect_err("is not there");
        assert_eq!(missing.to_string(), "could not run /nowhere/x");
    }

    #[tokio::test]
    async fn only_the_head_of_long_output_is_kept() {
        let said = run(Path::new("/usr/bin/seq"), ["100000"]).await.expect("runs");
        assert_eq!(said.len() as u64, MAX_SAID);
    }

    #[tokio::test]
    async fn nothing_of_our_environment_is_handed_on() {
        let said = run(Path::new("/usr/bin/env"), [""; 0]).await.expect("runs");
        assert_eq!(said, "LC_ALL=C\nPATH=/usr/bin:/bin\n");
    }
}
