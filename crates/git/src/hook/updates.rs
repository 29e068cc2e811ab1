//! Which refs a push changes, and what is to be done about it.

use std::io::{self, BufRead};

/// A push may not list more than this in all.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// A branch that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Main,
    Master,
}

impl Branch {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Master => "master",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"refs/heads/main" => Some(Self::Main),
            b"refs/heads/master" => Some(Self::Master),
            _ => None,
        }
    }
}

/// One line of the hook's standard input: `<old> <new> <ref>`. All zeros for "none". The name of a
/// ref may be any bytes but a line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Update {
    old: Option<String>,
    new: Option<String>,
    name: Vec<u8>,
}

/// What is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub branch: Branch,
    /// Where the branch was; `None` when it is new.
    pub old: Option<String>,
    /// The commit it is to be at.
    pub new: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing to build and nothing to say: tags, deletions.
    Accept,
    /// A branch that is kept but not built.
    Skip,
    /// Build.
    Build(Target),
}

/// The push asks for what is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The deployed branch would be gone.
    #[error("Deleting {0} is not allowed: it is the branch that is deployed.")]
    Deletion(&'static str),
}

/// Reads git's list.
pub(super) fn read(input: impl BufRead) -> io::Result<Vec<Update>> {
    let mut updates = Vec::new();
    let mut input = input.take(MAX_BYTES);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if line.pop() != Some(b'\n') {
            return Err(invalid("it is cut off or too long"));
        }
        updates.push(update(&line).ok_or_else(|| invalid("a line is not as git writes it"))?);
        line.clear();
    }
    Ok(updates)
}

fn update(line: &[u8]) -> Option<Update> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let old = object(parts.next()?)?;
    let new = object(parts.next()?)?;
    Some(Update { old, new, name: parts.next()?.to_vec() })
}

/// `Some(None)` for all zeros, `None` for what is no object's name.
#[allow(clippy::option_option, reason = "three answers, used in this file only")]
fn object(hex: &[u8]) -> Option<Option<String>> {
    let text = std::str::from_utf8(hex).ok()?;
    let shape = matches!(hex.len(), 40 | 64) && hex.iter().all(u8::is_ascii_hexdigit);
    let zero = hex.iter().all(|&digit| digit == b'0');
    shape.then(|| (!zero).then(|| text.to_owned()))
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Decides. Of `main` and `master` in one push, `main` is built.
pub(super) fn decide(updates: &[Update]) -> Result<Decision, Refused> {
    let mut target: Option<Target> = None;
    let mut skipped = false;
    for update in updates {
        let Some(branch) = Branch::parse(&update.name) else {
            skipped |= update.new.is_some() && update.name.starts_with(b"refs/heads/");
            continue;
        };
        let Some(new) = update.new.clone() else {
            return Err(Refused::Deletion(branch.as_str()));
        };
        if branch == Branch::Main || target.is_none() {
            target = Some(Target { branch, old: update.old.clone(), new });
        }
    }
    Ok(match target {
        Some(target) => Decision::Build(target),
        None if skipped => Decision::Skip,
        None => Decision::Accept,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn decide_on(lines: &[(&str, &str, &str)]) -> Result<Decision, Refused> {
        let text: String =
            lines.iter().map(|(old, new, name)| format!("{old} {new} {name}\n")).collect();
        decide(&read(text.as_bytes()).expect("well formed"))
    }

    fn build(branch: Branch, old: Option<&str>, new: &str) -> Result<Decision, Refused> {
        Ok(Decision::Build(Target { branch, old: old.map(str::to_owned), new: new.to_owned() }))
    }

    #[test]
    fn main_and_master_build_and_main_wins() {
        assert_eq!(decide_on(&[(NONE, A, "refs/heads/main")]), build(Branch::Main, None, A));
        assert_eq!(decide_on(&[(A, B, "refs/heads/master")]), build(Branch::Master, Some(A), B));
        let both = [(A, B, "refs/heads/main"), (NONE, A, "refs/heads/master")];
        assert_eq!(decide_on(&both), build(Branch::Main, Some(A), B));
        let turned = [both[1], both[0]];
        assert_eq!(decide_on(&turned), build(Branch::Main, Some(A), B));
    }

    #[test]
    fn other_branches_are_kept_and_tags_pass_in_silence() {
        assert_eq!(decide_on(&[(NONE, A, "refs/heads/feature/x")]), Ok(Decision::Skip));
        assert_eq!(decide_on(&[(NONE, A, "refs/tags/main")]), Ok(Decision::Accept));
        assert_eq!(decide_on(&[(A, NONE, "refs/heads/old")]), Ok(Decision::Accept));
        assert_eq!(decide_on(&[(NONE, A, "refs/heads/main/x")]), Ok(Decision::Skip));
    }

    #[test]
    fn the_deployed_branches_cannot_be_deleted() {
        let with_build = [(A, NONE, "refs/heads/master"), (A, B, "refs/heads/main")];
        assert_eq!(decide_on(&with_build), Err(Refused::Deletion("master")));
    }

    #[test]
    fn lines_that_git_would_not_write_are_refused() {
        for bad in ["x y z\n", "\n", &format!("{A} {B}\n"), &format!("{A} {B} refs/heads/main")] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let odd = format!("{NONE} {A} refs/heads/a b\u{1}\n");
        assert_eq!(read(odd.as_bytes()).expect("git allows it").len(), 1);
    }
}
