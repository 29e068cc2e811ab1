//! Questions to the person.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, Outcome};

/// No answer is longer.
const MAX_ANSWER: u64 = 64 * 1024;

/// Whether somebody can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for one line.
pub(crate) fn line(question: &str) -> Outcome<String> {
    ask(question);
    read_line()
}

/// Asks for one line that is not shown while it is typed. Without a terminal it is simply read.
pub(crate) fn hidden(question: &str) -> Outcome<String> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    ask(question);
    let shown = Echo::off()?;
    let answer = read_line();
    drop(shown);
    let _ = writeln!(io::stderr());
    answer
}

fn ask(question: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question}: ");
    let _ = err.flush();
}

fn read_line() -> Outcome<String> {
    let mut answer = String::new();
    let read = io::stdin().lock().take(MAX_ANSWER).read_line(&mut answer);
    let count = read.map_err(|error| Failure::user(format!("cannot read the answer: {error}")))?;
    if count == 0 {
        return Err(Failure::usage("an answer is needed, and standard input has ended"));
    }
    Ok(answer.trim().to_owned())
}

/// The terminal without echo; dropping it brings the echo back.
struct Echo {
    before: Termios,
}

impl Echo {
    fn off() -> Outcome<Self> {
        let failed = |error| Failure::user(format!("cannot silence the terminal: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // If this fails, the terminal is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.before);
    }
}
