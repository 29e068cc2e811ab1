//! git's hook: hands the environment to the git room, which does not read it itself.

use std::process::ExitCode;

use crate::environment;

/// Runs as `pre-receive`.
pub fn run() -> ExitCode {
    match git::hook::HookEnv::read(environment::raw) {
        Ok(env) => git::hook::main(&env),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "git shows a hook's standard error to the person")]
fn complain(error: &git::hook::NotAHook) {
    eprintln!(" !     {error}");
}
