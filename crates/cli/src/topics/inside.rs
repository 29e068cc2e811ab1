//! `run:inside`: a command in a dyno that runs already.

use std::io::IsTerminal;

use clap::Args;
use serde_json::json;

use super::run::{end, environment, line};
use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::rendezvous;
use crate::session::{AppFlags, Session};
use crate::wire::Dyno;

#[derive(Args)]
pub(crate) struct Inside {
    /// Name of the dyno, such as web.1
    #[arg(value_name = "DYNO")]
    dyno: String,
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
    /// Passthrough the exit code of the remote command
    #[arg(short = 'x', long)]
    exit_code: bool,
    /// Force the command to not run in a tty
    #[arg(long)]
    no_tty: bool,
}

impl Inside {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let command = line(&self.command);
        let sent = if self.exit_code { rendezvous::with_status(&command) } else { command.clone() };
        let mut body = json!({
            "command": sent,
            "env": environment(session, self.env.as_deref().unwrap_or_default())?,
        });
        if self.no_tty || !std::io::stdin().is_terminal() {
            body["force_no_tty"] = json!(true);
        }
        let path = format!("/apps/{}/dynos/{}", segment(&target.app), segment(&self.dyno));
        let dyno: Dyno = target.client.ask(Method::Post, &path, Some(&body))?;
        let url = dyno.attach_url.as_deref().unwrap_or_default();
        let what = format!("Running {command} inside {} on {}...", dyno.name, target.app);
        session.screen.remark(&what);
        let status = rendezvous::join(url, &target.server)?;
        if self.exit_code { end(status) } else { Ok(()) }
    }
}
