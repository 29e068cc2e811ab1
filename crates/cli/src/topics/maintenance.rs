//! `maintenance`: the page that visitors see instead of the app.

use clap::Args;
use serde_json::json;

use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session};
use crate::wire::App;

/// No argument but the app.
#[derive(Args)]
pub(crate) struct Only {
    #[command(flatten)]
    flags: AppFlags,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    On,
    Off,
}

impl Only {
    pub(crate) fn show(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let app: App = target.client.get(&format!("/apps/{}", segment(&target.app)))?;
        session.screen.line(if app.maintenance { "on" } else { "off" })
    }

    pub(crate) fn set(self, session: &Session, mode: Mode) -> Outcome {
        let target = session.target(&self.flags)?;
        let verb = if mode == Mode::On { "Enabling" } else { "Disabling" };
        session.screen.action(&format!("{verb} maintenance mode for {}", target.app), || {
            let body = json!({ "maintenance": mode == Mode::On });
            let path = format!("/apps/{}", segment(&target.app));
            target.client.tell(Method::Patch, &path, Some(&body))?;
            Ok(((), String::new()))
        })
    }
}
