//! What the lists of an app's things have in common.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::apps::{json_out, read};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session, Target};

/// What a list is told.
#[derive(Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Listing {
    /// The app, and what its list at `path` holds; nothing once that is printed, if JSON is wanted.
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        session: &Session,
        path: impl FnOnce(&str) -> String,
    ) -> Outcome<Option<(Target, Vec<T>)>> {
        let target = session.target(&self.flags)?;
        let values: Vec<Value> = target.client.list(&path(&target.app))?;
        if self.json {
            json_out(&session.screen, &Value::Array(values))?;
            return Ok(None);
        }
        let items = values.into_iter().map(read).collect::<Outcome<_>>()?;
        Ok(Some((target, items)))
    }
}
