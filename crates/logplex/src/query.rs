//! What a reader asks for.

use model::log::Source;

use crate::record::Record;

/// Which lines of a stream. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A process (`web.1`, `router`), or a process type (`web`) for all of its processes.
    pub dyno: Option<String>,
    /// A part of the platform.
    pub source: Option<Source>,
}

impl Filter {
    /// Whether a line is wanted.
    pub(crate) fn matches(&self, record: &Record) -> bool {
        self.wants(record.source, &record.process)
    }

    /// Whether lines of this process are wanted.
    pub(crate) fn wants(&self, source: Source, process: &str) -> bool {
        self.source.is_none_or(|wanted| wanted == source)
            && self.dyno.as_deref().is_none_or(|dyno| is_process(process, dyno))
    }
}

/// Whether the reader stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What is kept now, then the end.
    Recent,
    /// What is kept now, then each line as it comes.
    Tail,
}

/// What a session shows.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which lines; applied before they are counted.
    pub filter: Filter,
    /// How many lines of the past, at most. Ignored with `after`.
    pub lines: usize,
    /// Whether to stay.
    pub mode: Mode,
    /// The id of the last line this reader has seen: everything kept since comes, and if something
    /// is not kept any more, a line that says so.
    pub after: Option<u64>,
}

/// Whether a process has this name, or is of this type.
pub(crate) fn is_process(process: &str, wanted: &str) -> bool {
    let rest = process.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dyno_filter_is_a_name_or_a_type() {
        for (process, wanted, is) in [
            ("web.1", "web.1", true),
            ("web.1", "web", true),
            ("web.12", "web.1", false),
            ("webber.1", "web", false),
            ("router", "router", true),
            ("web", "web.1", false),
        ] {
            assert_eq!(is_process(process, wanted), is, "{process} for {wanted}");
        }
    }
}
