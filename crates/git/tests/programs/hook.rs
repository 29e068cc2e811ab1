//! The hook as git runs it in this room's tests.

use std::process::ExitCode;

#[allow(clippy::disallowed_methods, reason = "a program of the tests reads its own environment")]
fn main() -> ExitCode {
    match git::hook::HookEnv::read(|name| std::env::var_os(name)) {
        Ok(env) => git::hook::main(&env),
        Err(_) => ExitCode::FAILURE,
    }
}
