//! `logs:inputs`: licences to post lines into an app's log from outside.

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use super::listing::Listing;
use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::LogInput;

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let Some((target, inputs)) = self.listing.read(session, path)? else { return Ok(()) };
        let screen = &session.screen;
        if inputs.is_empty() {
            return screen.line(&format!("There are no log inputs of {}", target.app));
        }
        let row = |input: LogInput| {
            let numbers = [input.accepted.to_string(), input.refused.to_string()];
            let [accepted, refused] = numbers;
            vec![input.id, input.name, accepted, refused]
        };
        let rows: Vec<_> = inputs.into_iter().map(row).collect();
        tables::table(screen, &["ID", "Name", "Lines", "Refused posts"], &rows)
    }
}

#[derive(Args)]
pub(crate) struct Add {
    /// Name that lines come in under when they name no process, such as postgres
    name: String,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let body = json!({ "name": self.name });
        let value: Value = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
        if self.json {
            return json_out(&session.screen, &value);
        }
        let input: LogInput = read(value)?;
        session
            .screen
            .line("Post frames (application/logplex-1) to this URL; it is shown once:")?;
        session.screen.line(&input.url.unwrap_or_default())
    }
}

#[derive(Args)]
pub(crate) struct Remove {
    /// ID of the input
    input: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        session.screen.action(&format!("Removing log input {}", self.input), || {
            let path = format!("{}/{}", path(&target.app), segment(&self.input));
            target.client.tell(Method::Delete, &path, None)?;
            Ok(((), String::new()))
        })
    }
}

fn path(app: &str) -> String {
    format!("/apps/{}/log-inputs", segment(app))
}
