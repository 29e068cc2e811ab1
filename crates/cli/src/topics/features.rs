//! `features` and `labs`: an app's switches.

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::screen::Screen;
use crate::session::{AppFlags, Session};
use crate::wire::Feature;

/// Which of the two topics was called: it decides what is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Features for everybody.
    General,
    /// All others.
    Labs,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session, shelf: Shelf) -> Outcome {
        let target = session.target(&self.flags)?;
        let path = format!("/apps/{}/features", segment(&target.app));
        let mut values: Vec<Value> = target.client.list(&path)?;
        let general = |value: &Value| value["state"] == json!("general");
        values.retain(|value| general(value) == (shelf == Shelf::General));
        if self.json {
            return json_out(&session.screen, &Value::Array(values));
        }
        let features = values.into_iter().map(read::<Feature>).collect::<Outcome<Vec<_>>>()?;
        session.screen.header(&format!("App Features {}", target.app))?;
        print(&session.screen, &features)
    }
}

fn print(screen: &Screen, features: &[Feature]) -> Outcome {
    let width = features.iter().map(|feature| feature.name.len()).max().unwrap_or(0);
    for feature in features {
        let mark = if feature.enabled { "[+]" } else { "[ ]" };
        screen.line(&format!("{mark} {:width$}  {}", feature.name, feature.description))?;
    }
    Ok(())
}

#[derive(Args)]
pub(crate) struct Named {
    /// Name of the feature
    feature: String,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Named {
    pub(crate) fn info(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let value: Value = target.client.get(&path(&target.app, &self.feature))?;
        let screen = &session.screen;
        if self.json {
            return json_out(screen, &value);
        }
        let feature: Feature = read(value)?;
        screen.header(&feature.name)?;
        screen.line(&format!("Description: {}", feature.description))?;
        screen.line(&format!("Docs:        {}", feature.doc_url))?;
        screen.line(&format!("Enabled:     {}", feature.enabled))
    }

    pub(crate) fn set(self, session: &Session, enabled: Enabled) -> Outcome {
        let target = session.target(&self.flags)?;
        let verb = if enabled == Enabled::Yes { "Enabling" } else { "Disabling" };
        session.screen.action(&format!("{verb} {} for {}", self.feature, target.app), || {
            let body = json!({ "enabled": enabled == Enabled::Yes });
            let path = path(&target.app, &self.feature);
            target.client.tell(Method::Patch, &path, Some(&body))?;
            Ok(((), String::new()))
        })
    }
}

/// What a feature becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enabled {
    Yes,
    No,
}

fn path(app: &str, feature: &str) -> String {
    format!("/apps/{}/features/{}", segment(app), segment(feature))
}
