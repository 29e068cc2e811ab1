//! `ps:boot-timeout`: how long an app's web dynos may take to listen. Heroku has a web page for it.

use clap::Args;
use serde_json::json;

use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session};
use crate::wire::App;

#[derive(Args)]
pub(crate) struct BootTimeout {
    /// Seconds, 10 to 180; without it the present number is shown
    seconds: Option<u32>,
    #[command(flatten)]
    flags: AppFlags,
}

impl BootTimeout {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let path = format!("/apps/{}", segment(&target.app));
        let Some(seconds) = self.seconds else {
            let app: App = target.client.get(&path)?;
            let own = app.boot_timeout_seconds.map(|seconds| format!("{seconds} seconds"));
            return session.screen.line(&own.unwrap_or_else(|| "the server's default".to_owned()));
        };
        session.screen.action(&format!("Setting the boot timeout of {}", target.app), || {
            let body = json!({ "boot_timeout_seconds": seconds });
            target.client.tell(Method::Patch, &path, Some(&body))?;
            Ok(((), format!(", {seconds} seconds from the next start of a dyno on")))
        })
    }
}
