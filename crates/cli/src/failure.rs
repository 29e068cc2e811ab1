//! Errors as people see them: kinds that decide the exit status, a message, and what to do next.

use std::fmt;
use std::process::ExitCode;

/// Whose turn it is to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What was asked for cannot be had.
    User,
    /// The client's own files or the git repository are not as they should be.
    Config,
    /// The command line says nothing sensible.
    Usage,
    /// Nobody is logged in. Heroku's client has a status of its own for that.
    LoggedOut,
    /// The client or the server broke its word.
    Internal,
    /// A program on a dyno ended with this status, which is passed on.
    Remote(u8),
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub kind: Kind,
    pub message: String,
    pub hints: Vec<String>,
}

/// What commands return.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    pub(crate) fn logged_out() -> Self {
        Self::new(Kind::LoggedOut, "not logged in").hint("Run `hythe login` first.")
    }

    /// The status of a program on a dyno; nothing is printed.
    pub(crate) fn remote(status: u8) -> Self {
        Self::new(Kind::Remote(status), "")
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::User | Kind::Config => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
            Kind::LoggedOut => ExitCode::from(100),
            Kind::Internal => ExitCode::from(255),
            Kind::Remote(status) => ExitCode::from(status),
        }
    }

    /// The lines to print; empty when there is nothing to say.
    pub(crate) fn lines(&self) -> Vec<String> {
        if matches!(self.kind, Kind::Remote(_)) {
            return Vec::new();
        }
        let label = if self.kind == Kind::Internal { "Internal error" } else { "Error" };
        let mut lines = Vec::new();
        for (index, line) in self.message.lines().enumerate() {
            lines.push(if index == 0 { format!("{label}: {line}") } else { line.to_owned() });
        }
        lines.extend(self.hints.iter().map(|hint| format!("Hint: {hint}")));
        lines
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An attempt on a file of ours.
pub(crate) fn on_file(
    what: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| Failure::config(format!("cannot {what} {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_the_message() {
        let failure = Failure::user("Couldn't find that app.\nError ID: not_found").hint("Look.");
        let lines = ["Error: Couldn't find that app.", "Error ID: not_found", "Hint: Look."];
        assert_eq!(failure.lines(), lines);
        assert!(Failure::remote(7).lines().is_empty());
    }
}
