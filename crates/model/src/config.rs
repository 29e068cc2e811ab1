//! Config vars: the environment an app is given.

use std::collections::BTreeMap;
use std::fmt;

/// Names plus values of one app may not exceed this many bytes (Heroku, "Configuration and Config
/// Vars").
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a change of config vars was refused. The text is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The name is not one an environment can carry, or is reserved.
    #[error(
        "Invalid config var name `{0}`. Names use letters, digits and underscores, don't start with a digit, and don't start with `__` or `HEROKU_`."
    )]
    Name(String),
    /// The value cannot be carried by an environment.
    #[error("Config var `{0}` contains a NUL byte, which an environment cannot carry.")]
    Nul(String),
    /// All of them together are too large.
    #[error("Config vars are {0} bytes in all, over the limit of 65536 bytes.")]
    TooLarge(usize),
}

/// An app's config vars, sorted by name. `Debug` shows names only: values are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigVars(pub BTreeMap<String, String>);

impl ConfigVars {
    /// The vars after `changes`, where `None` removes. Refuses the whole change if any part is bad.
    ///
    /// # Errors
    /// Names what was wrong.
    pub fn changed(&self, changes: &BTreeMap<String, Option<String>>) -> Result<Self, ConfigError> {
        let mut vars = self.0.clone();
        for (name, value) in changes {
            match value {
                Some(value) => {
                    check(name, value)?;
                    vars.insert(name.clone(), value.clone());
                }
                None => {
                    vars.remove(name);
                }
            }
        }
        let bytes = vars.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_BYTES { Err(ConfigError::TooLarge(bytes)) } else { Ok(Self(vars)) }
    }

    /// One value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let shape = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit();
    if !shape || name.starts_with("__") || name.starts_with("HEROKU_") {
        return Err(ConfigError::Name(name.to_owned()));
    }
    if value.contains('\0') {
        return Err(ConfigError::Nul(name.to_owned()));
    }
    Ok(())
}

impl fmt::Debug for ConfigVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, value: Option<&str>) -> Result<ConfigVars, ConfigError> {
        let changes = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        ConfigVars::default().changed(&changes)
    }

    #[test]
    fn reserved_and_odd_names_are_refused() {
        for name in ["", "1A", "A-B", "__X", "HEROKU_APP_ID", "A B", "É"] {
            assert!(matches!(change(name, Some("v")), Err(ConfigError::Name(_))), "{name}");
        }
        assert!(change("A_1", Some("x $HOME \"q\" é\n")).is_ok());
    }

    #[test]
    fn the_whole_may_not_exceed_64_kib() {
        assert!(change("A", Some(&"x".repeat(MAX_BYTES - 1))).is_ok());
        assert_eq!(
            change("A", Some(&"x".repeat(MAX_BYTES))),
            Err(ConfigError::TooLarge(MAX_BYTES + 1))
        );
    }

    #[test]
    fn values_are_not_printed() {
        let vars = change("TOKEN", Some("s3cret")).expect("good");
        assert_eq!(format!("{vars:?}"), r#"{"TOKEN"}"#);
    }
}
