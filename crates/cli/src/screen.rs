//! What is printed, and how: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Outcome};

/// Colours of the client. Used on terminals only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

/// The person's screen.
pub(crate) struct Screen {
    out_color: bool,
    err_color: bool,
    /// Columns of the terminal; none when output goes elsewhere.
    pub columns: Option<usize>,
}

impl Screen {
    /// Looks at the process's streams.
    pub(crate) fn detect(no_color: bool) -> Self {
        let out = io::stdout().is_terminal();
        let size = terminal_size::terminal_size_of(io::stdout());
        Self {
            out_color: out && !no_color,
            err_color: io::stderr().is_terminal() && !no_color,
            columns: size.map(|(width, _)| usize::from(width.0)),
        }
    }

    /// A screen for tests: no terminal.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { out_color: false, err_color: false, columns: None }
    }

    /// `text` in a style, if standard output shows styles.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        paint(self.out_color, style, text)
    }

    /// Prints one line. A reader that has gone (`| head`) ends the command in silence.
    pub(crate) fn line(&self, text: &str) -> Outcome {
        self.raw(&format!("{text}\n"))
    }

    /// Prints text as it is.
    pub(crate) fn raw(&self, text: &str) -> Outcome {
        self.raw_bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn raw_bytes(&self, bytes: &[u8]) -> Outcome {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::remote(0),
            _ => Failure::user(format!("cannot write the output: {error}")),
        })
    }

    /// `=== title`, and an empty line.
    pub(crate) fn header(&self, title: &str) -> Outcome {
        self.line(&self.paint(Style::Bold, &format!("=== {title}")))?;
        self.line("")
    }

    /// A line to standard error. Whether anybody reads it changes nothing.
    pub(crate) fn remark(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A warning, as Heroku's client marks it.
    pub(crate) fn warn(&self, text: &str) {
        self.marked(
            &format!("Warning: {text}").lines().map(str::to_owned).collect::<Vec<_>>(),
            Style::Yellow,
        );
    }

    /// An error.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.marked(&failure.lines(), Style::Red);
    }

    fn marked(&self, lines: &[String], style: Style) {
        for line in lines {
            self.remark(format!(" {}   {line}", paint(self.err_color, style, "›")).trim_end());
        }
    }

    /// Does something that takes a while: `Doing it... done`, to standard error. `work` says what
    /// follows `done`.
    pub(crate) fn action<T>(
        &self,
        doing: &str,
        work: impl FnOnce() -> Outcome<(T, String)>,
    ) -> Outcome<T> {
        let mut err = io::stderr();
        let _ = write!(err, "{doing}... ");
        let _ = err.flush();
        match work() {
            Ok((value, more)) => {
                let _ = writeln!(err, "done{more}");
                Ok(value)
            }
            Err(failure) => {
                let _ = writeln!(err, "{}", paint(self.err_color, Style::Red, "!"));
                Err(failure)
            }
        }
    }
}

fn paint(on: bool, style: Style, text: &str) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
}
