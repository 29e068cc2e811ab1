//! Chores of the repository: `cargo run -p xtask -- tidy`.

mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[allow(clippy::disallowed_methods, reason = "xtask is not part of the product")]
    let chore = std::env::args().nth(1);
    match chore.as_deref() {
        Some("tidy") => report(&tidy::findings()),
        _ => {
            say("usage: cargo run -p xtask -- tidy");
            ExitCode::from(2)
        }
    }
}

fn report(findings: &[String]) -> ExitCode {
    for finding in findings {
        say(finding);
    }
    say(&format!("tidy: {} findings", findings.len()));
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::print_stdout, reason = "a chore talks to the person who runs it")]
fn say(line: &str) {
    println!("{line}");
}
