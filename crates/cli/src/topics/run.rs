//! `run`: one-off dynos.

use std::io::IsTerminal;

use clap::Args;
use serde_json::{Map, Value, json};

use super::logs;
use crate::client::{Method, segment};
use crate::failure::{Failure, Outcome};
use crate::rendezvous;
use crate::session::{AppFlags, Session, Target};
use crate::wire::{Dyno, LogQuery};

/// What all one-off dynos have.
#[derive(Args)]
struct Common {
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Environment variables to set (use ';' to split multiple vars)
    #[arg(short, long, value_name = "A=1;B=2")]
    env: Option<String>,
    /// Dyno size
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    /// Process type
    #[arg(long = "type", value_name = "TYPE")]
    process_type: Option<String>,
}

impl Common {
    fn body(&self, session: &Session, command: &str, attach: bool) -> Outcome<Value> {
        let mut body = json!({
            "attach": attach,
            "command": command,
            "env": environment(session, self.env.as_deref().unwrap_or_default())?,
        });
        if let Some(size) = &self.size {
            body["size"] = json!(size);
        }
        if let Some(process_type) = &self.process_type {
            body["type"] = json!(process_type);
        }
        Ok(body)
    }

    /// The command as one line of shell: a single argument is taken as it is.
    fn line(&self) -> String {
        line(&self.command)
    }
}

/// Words as one line of shell: a single one is taken as it is.
pub(super) fn line(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        many => many.iter().map(|part| crate::words::shell(part)).collect::<Vec<_>>().join(" "),
    }
}

/// What the end of a command that tells its status is for the client.
pub(super) fn end(status: Option<u8>) -> Outcome {
    match status {
        Some(0) => Ok(()),
        Some(status) => Err(Failure::remote(status)),
        None => Err(Failure::user("No exit code returned")),
    }
}

pub(super) fn environment(session: &Session, pairs: &str) -> Outcome<Map<String, Value>> {
    let mut env = Map::new();
    if let Some(term) = &session.env.term {
        env.insert("TERM".into(), json!(term));
    }
    if let Some((width, height)) = terminal_size::terminal_size_of(std::io::stdout()) {
        env.insert("COLUMNS".into(), json!(width.0));
        env.insert("LINES".into(), json!(height.0));
    }
    for pair in pairs.split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{pair}` is not of the form NAME=VALUE")))?;
        env.insert(name.to_owned(), json!(value));
    }
    Ok(env)
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    common: Common,
    /// Passthrough the exit code of the remote command
    #[arg(short = 'x', long)]
    exit_code: bool,
    /// Force the command to not run in a tty
    #[arg(long)]
    no_tty: bool,
    #[arg(long, hide = true)]
    no_notify: bool,
}

impl Run {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.common.flags)?;
        let command = self.common.line();
        let sent = if self.exit_code { rendezvous::with_status(&command) } else { command.clone() };
        let mut body = self.common.body(session, &sent, true)?;
        if self.no_tty || !std::io::stdin().is_terminal() {
            body["force_no_tty"] = json!(true);
        }
        let dyno = start(&target, &body)?;
        let url = dyno.attach_url.as_deref().unwrap_or_default();
        session.screen.remark(&format!("Running {command} on {}... {}", target.app, dyno.name));
        let status = rendezvous::join(url, &target.server)?;
        if self.exit_code { end(status) } else { Ok(()) }
    }
}

#[derive(Args)]
pub(crate) struct Detached {
    #[command(flatten)]
    common: Common,
    /// Continually stream logs
    #[arg(short, long)]
    tail: bool,
}

impl Detached {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.common.flags)?;
        let command = self.common.line();
        let body = self.common.body(session, &command, false)?;
        let dyno: Dyno =
            session.screen.action(&format!("Running {command} on {}", target.app), || {
                let dyno = start(&target, &body)?;
                let more = format!(", {}", dyno.name);
                Ok((dyno, more))
            })?;
        if self.tail {
            let query =
                LogQuery { lines: 100, tail: true, dyno: Some(dyno.name), ..LogQuery::default() };
            return logs::show(&session.screen, &target.client, &target.app, &query);
        }
        session.screen.line(&format!(
            "Run `hythe logs --app {} --dyno {}` to view the output.",
            target.app, dyno.name
        ))
    }
}

fn start(target: &Target, body: &Value) -> Outcome<Dyno> {
    let path = format!("/apps/{}/dynos", segment(&target.app));
    target.client.ask(Method::Post, &path, Some(body))
}
