//! The Procfile: process types and their commands.

use std::collections::BTreeMap;

use crate::ProcessType;

/// Reads a Procfile: `^([A-Za-z0-9_-]+):\s*(.+)$` per line. Other lines are ignored, a later line
/// with the same name wins (platform behaviour, 4.5).
#[must_use]
pub fn parse(text: &str) -> BTreeMap<ProcessType, String> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(ProcessType, String)> {
    let (name, command) = line.split_once(':')?;
    let command = command.trim();
    if command.is_empty() { None } else { Some((name.parse().ok()?, command.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_match_are_ignored_and_later_ones_win() {
        let types = parse(
            "web: old\n# a comment: here\nnot a line\nweb:node server.js\r\nx-y_1: a: b\nempty:\n",
        );
        let pairs: Vec<_> =
            types.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
        assert_eq!(pairs, [("web", "node server.js"), ("x-y_1", "a: b")]);
    }
}
