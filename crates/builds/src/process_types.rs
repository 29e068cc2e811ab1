//! Which process types a slug has: the buildpack's defaults, overlaid by the Procfile.

use std::collections::BTreeMap;

use model::ProcessType;

/// Commands by process type.
pub type Commands = BTreeMap<ProcessType, String>;

/// What is declared where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTypes {
    /// In the Procfile.
    pub declared: Commands,
    /// By the buildpack.
    pub defaults: Commands,
}

impl ProcessTypes {
    /// What the slug gets: an entry of the Procfile wins, other defaults are kept.
    #[must_use]
    pub fn overlaid(&self) -> Commands {
        let mut all = self.defaults.clone();
        all.extend(self.declared.clone());
        all
    }

    /// The block of the transcript.
    #[must_use]
    pub fn transcript(&self) -> String {
        let declared = names(self.declared.keys());
        let added = names(self.defaults.keys().filter(|name| !self.declared.contains_key(name)));
        let declared = if declared.is_empty() { "(none)".to_owned() } else { declared };
        if added.is_empty() {
            return format!(
                "-----> Discovering process types\n       Procfile declares types -> {declared}\n\n"
            );
        }
        format!(
            "-----> Discovering process types\n       \
             Procfile declares types     -> {declared}\n       \
             Default types for buildpack -> {added}\n\n"
        )
    }
}

fn names<'a>(types: impl Iterator<Item = &'a ProcessType>) -> String {
    types.map(ProcessType::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(declared: &str, defaults: &str) -> ProcessTypes {
        let parse = model::procfile::parse;
        ProcessTypes { declared: parse(declared), defaults: parse(defaults) }
    }

    #[test]
    fn the_procfile_wins_and_other_defaults_are_kept() {
        let types = types("web: mine\nworker: w\n", "web: theirs\nconsole: c\n");
        let all = types.overlaid();
        let all: Vec<_> = all.iter().map(|(name, run)| (name.as_str(), run.as_str())).collect();
        assert_eq!(all, [("console", "c"), ("web", "mine"), ("worker", "w")]);
    }

    #[test]
    fn the_arrow_is_padded_only_beside_a_second_line() {
        assert_eq!(
            types("worker: w\nweb: x", "web: y").transcript(),
            "-----> Discovering process types\n       Procfile declares types -> web, worker\n\n"
        );
        assert_eq!(
            types("web: x", "rake: r\nconsole: c").transcript(),
            "-----> Discovering process types\n       \
             Procfile declares types     -> web\n       \
             Default types for buildpack -> console, rake\n\n"
        );
        assert_eq!(
            types("", "web: x").transcript(),
            "-----> Discovering process types\n       \
             Procfile declares types     -> (none)\n       \
             Default types for buildpack -> web\n\n"
        );
        assert_eq!(
            types("", "").transcript(),
            "-----> Discovering process types\n       Procfile declares types -> (none)\n\n"
        );
    }
}
