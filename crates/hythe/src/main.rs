//! `hythe`: the platform (`hythe server`), the operator's commands (`hythe admin`, `hythe doctor`)
//! and the client (everything else), in one binary.
//!
//! This file is the table of contents. Two entries are hidden: `hythe dyno` is the shim around one
//! dyno, and a program name of `pre-receive` is git's hook. Both branch off here, before any thread
//! or runtime exists, because the shim must be single-threaded and both must start in a millisecond.

mod admin;
mod capacity;
mod certificates;
mod doctor;
mod environment;
mod first_start;
mod foundation;
mod gap;
mod hook;
mod metrics;
mod open_files;
mod platform;
mod ports;
mod private_files;
mod programs;
mod server;
mod service_manager;
mod settings;
mod stop_dynos;
mod takeover;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

/// The server's and the operator's commands.
#[derive(Parser)]
#[command(name = "hythe", version, about = "A self-hosted Heroku")]
enum Command {
    /// Run the platform
    Server(settings::Flags),
    /// Operator's commands, on the server's own machine
    #[command(subcommand)]
    Admin(admin::Command),
    /// Check what this machine lacks for running the platform, and say how to mend it
    Doctor(doctor::Flags),
}

fn main() -> ExitCode {
    let arguments = environment::arguments();
    if let Some(code) = hidden(&arguments) {
        return code;
    }
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some("server" | "admin" | "doctor") => operate(Command::parse_from(arguments)),
        _ => cli::run(arguments, client_environment()),
    }
}

fn hidden(arguments: &[OsString]) -> Option<ExitCode> {
    let program = arguments.first().map(Path::new)?;
    if program.file_name().is_some_and(|name| name == "pre-receive") {
        return Some(hook::run());
    }
    match (arguments.get(1)?.to_str()?, arguments.get(2)) {
        ("dyno", Some(dir)) => Some(live(Path::new(dir), &arguments[3..])),
        _ => None,
    }
}

/// The life of a shim, up to a step of it if a test says so.
fn live(dir: &Path, more: &[OsString]) -> ExitCode {
    let (option, step) = (more.first(), more.get(1).and_then(|step| step.to_str()));
    if option.is_some_and(|option| option == "--crash-at")
        && let Some(step) = step.and_then(|step| step.parse().ok())
    {
        sandbox::steps::arm(step);
    }
    sandbox::run(dir)
}

fn operate(command: Command) -> ExitCode {
    let result = match command {
        Command::Server(flags) => server::run(flags),
        Command::Admin(command) => admin::run(command),
        Command::Doctor(flags) => return doctor::run(&flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "an operator's command talks to the operator")]
fn complain(error: &anyhow::Error) {
    eprintln!(" !     {error:#}");
}

fn client_environment() -> cli::Env {
    let config_home = environment::named("XDG_CONFIG_HOME").map(std::path::PathBuf::from);
    let config_home = config_home.or_else(|| Some(environment::home()?.join(".config")));
    let term = environment::named("TERM");
    cli::Env {
        program: std::env::current_exe().unwrap_or_else(|_| "hythe".into()),
        config_dir: config_home.map(|dir| dir.join("hythe")),
        api_key: environment::API_KEY.get(),
        server: environment::SERVER.get(),
        app: environment::APP.get(),
        no_color: environment::named("NO_COLOR").is_some() || term.as_deref() == Some("dumb"),
        term,
        now: model::Timestamp::now().micros() / 1_000_000,
    }
}
