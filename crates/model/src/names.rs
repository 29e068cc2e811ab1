//! Names people give and read: apps, process types, dynos.

use std::fmt;
use std::str::FromStr;

/// Why a name was refused. The text is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an app name.
    #[error(
        "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes."
    )]
    AppShape,
    /// Too short or too long for an app name.
    #[error("Name is too short or too long (minimum is 3 characters, maximum is 30 characters).")]
    AppLength,
    /// Not a process type.
    #[error("Process type must be 1 to 128 letters, digits, underscores or dashes.")]
    ProcessType,
    /// Not `type.number`.
    #[error("Dyno name must be a process type, a dot and a number, such as web.1.")]
    Dyno,
}

/// An app's name: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$` (Platform API schema).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

impl AppName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if !(3..=30).contains(&text.len()) {
            return Err(NameError::AppLength);
        }
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let starts = text.as_bytes()[0].is_ascii_lowercase();
        if starts && text.bytes().all(inner) && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::AppShape)
        }
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a process type: `^[-\w]{1,128}$` (Platform API schema).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessType(String);

impl ProcessType {
    /// The type that receives HTTP.
    #[must_use]
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type that runs before a release becomes current.
    #[must_use]
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// The type of one-off dynos.
    #[must_use]
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// The type of dynos that compile slugs; never listed to users.
    #[must_use]
    pub fn build() -> Self {
        Self("build".to_owned())
    }

    /// Whether this type receives HTTP.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessType {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=128).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ProcessType)
        }
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dyno's name: `web.1`, `run.4821`. Not unique over time, and not even at one moment: an old and
/// a new `web.1` coexist while a release is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DynoName {
    /// The process type.
    pub process_type: ProcessType,
    /// 1 and up for the formation; random up to four digits for one-offs.
    pub number: u32,
}

impl FromStr for DynoName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (process_type, number) = text.rsplit_once('.').ok_or(NameError::Dyno)?;
        let number = number.parse().map_err(|_| NameError::Dyno)?;
        Ok(Self { process_type: process_type.parse()?, number })
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_follow_the_published_pattern() {
        for good in ["abc", "a-1", "demo", "a23456789012345678901234567890"] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "Abc", "1abc", "abc-", "a_b", "é-bc", &"a".repeat(31)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dyno_names_round_trip() {
        let name: DynoName = "my-worker.12".parse().expect("a good name");
        assert_eq!(name.to_string(), "my-worker.12");
        assert!("web".parse::<DynoName>().is_err());
    }
}
