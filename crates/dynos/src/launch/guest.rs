//! What a program inside a running dyno is started with.

use std::path::PathBuf;

use model::Dyno;
use model::dyno::Visit;
use sandbox::protocol::Exec;
use store::desired::Given;

use super::{HOME, environment, platform_env, port, start, wired};

/// What `visit` asks for, in `dyno`. Its number is given later.
pub(crate) fn guest(dyno: &Dyno, given: Option<&Given>, visit: &Visit) -> Exec {
    let platform = platform_env(dyno, given, port(dyno.id));
    let env = environment(dyno.kind, given, Some((visit.terminal, &visit.env)), &platform);
    Exec {
        number: 0,
        argv: start(&visit.command),
        env: env.into_iter().collect(),
        cwd: PathBuf::from(HOME),
        terminal: wired(visit.terminal),
    }
}
