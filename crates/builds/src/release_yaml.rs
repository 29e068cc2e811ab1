//! What a buildpack's `bin/release` prints: YAML, of which the default process types matter here.
//!
//! Read event by event, so that aliases are never expanded and nothing grows beyond the text.

use model::ProcessType;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::ScanError;

use crate::process_types::Commands;

const WANTED: &str = "default_process_types";

/// The default process types in `text`; entries whose name or command is unusable are left out.
///
/// # Errors
/// When it is not YAML.
pub fn default_process_types(text: &str) -> Result<Commands, ScanError> {
    let mut parser = Parser::new_from_str(text);
    let mut place = Place::default();
    let mut found = Commands::new();
    loop {
        match parser.next_token()?.0 {
            Event::StreamEnd => return Ok(found),
            Event::MappingStart(..) => place.enter(Kind::Mapping),
            Event::SequenceStart(..) => place.enter(Kind::Sequence),
            Event::MappingEnd | Event::SequenceEnd => place.leave(),
            Event::Alias(_) => drop(place.scalar(String::new())),
            Event::Scalar(text, ..) => {
                if let Some((name, command)) = place.scalar(text) {
                    take(&mut found, &name, command);
                }
            }
            _ => {}
        }
    }
}

fn take(found: &mut Commands, name: &str, command: String) {
    let command = command.trim().to_owned();
    // A command goes into one line of a shell and of a table.
    let usable = !command.is_empty() && !command.contains(['\n', '\r', '\0']);
    if let (true, Ok(name)) = (usable, name.parse::<ProcessType>()) {
        found.insert(name, command);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mapping,
    Sequence,
}

/// Where in the document the parser is: one level for each open collection, with the key that waits
/// for its value.
#[derive(Default)]
struct Place(Vec<(Kind, Option<String>)>);

impl Place {
    fn enter(&mut self, kind: Kind) {
        self.0.push((kind, None));
    }

    fn leave(&mut self) {
        self.0.pop();
        // The collection was a value (or, oddly, a key): either way its key is used up.
        if let Some((_, key)) = self.0.last_mut() {
            *key = match key.take() {
                Some(_) => None,
                None => Some(String::new()),
            };
        }
    }

    /// Takes in a scalar; answers key and value when it completes an entry of the wanted mapping.
    fn scalar(&mut self, text: String) -> Option<(String, String)> {
        let wanted = match self.0.as_slice() {
            [(Kind::Mapping, Some(key)), (Kind::Mapping, _)] => key == WANTED,
            _ => false,
        };
        let (kind, key) = self.0.last_mut()?;
        if *kind == Kind::Sequence {
            return None;
        }
        match key.take() {
            Some(key) => wanted.then_some((key, text)),
            None => {
                *key = Some(text);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let types = default_process_types(text).expect("YAML");
        types.into_iter().map(|(name, command)| (name.to_string(), command)).collect()
    }

    fn pair(name: &str, command: &str) -> (String, String) {
        (name.to_owned(), command.to_owned())
    }

    #[test]
    fn block_flow_and_folded_forms_are_read() {
        let block = "---\naddons:\n- heroku-postgresql\nconfig_vars:\n  A: web\n\
                     default_process_types:\n  rake: bundle exec rake\n  web: 'bin/x -p ${PORT}'\n";
        assert_eq!(
            read(block),
            [pair("rake", "bundle exec rake"), pair("web", "bin/x -p ${PORT}")]
        );
        let json = r#"{"addons":[],"default_process_types":{"web":"npm start"}}"#;
        assert_eq!(read(json), [pair("web", "npm start")]);
        let folded = "default_process_types:\n  web: one\n    two\n";
        assert_eq!(read(folded), [pair("web", "one two")]);
    }

    #[test]
    fn nothing_else_is_taken_for_process_types() {
        for text in [
            "",
            "--- {}\n",
            "default_process_types: {}\n",
            "default_process_types: text\n",
            "x:\n  default_process_types:\n    web: y\n",
            "default_process_types:\n  web:\n    deep: x\n",
            "default_process_types:\n- web: x\n",
            "default_process_types:\n  'two words': x\n  web: \"a\\nb\"\n",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn aliases_are_not_expanded() {
        let text = "a: &a [x, x]\ndefault_process_types:\n  web: *a\n  worker: w\n";
        assert_eq!(read(text), [pair("worker", "w")]);
        assert!(default_process_types("a: [").is_err());
    }
}
