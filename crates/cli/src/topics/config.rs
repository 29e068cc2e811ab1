//! `config`: show, get, set, unset.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value, json};

use super::apps::json_out;
use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::Release;
use crate::words::shell;

type Vars = BTreeMap<String, String>;

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    flags: AppFlags,
    /// Output config vars in json format
    #[arg(short, long)]
    json: bool,
    /// Output config vars in shell format
    #[arg(short, long)]
    shell: bool,
}

impl Show {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let vars: Vars = target.client.get(&path(&target.app))?;
        let screen = &session.screen;
        if self.json {
            return json_out(screen, &json!(vars));
        }
        if self.shell {
            for (name, value) in &vars {
                screen.line(&format!("{name}={}", shell(value)))?;
            }
            return Ok(());
        }
        screen.header(&format!("{} Config Vars", target.app))?;
        print_vars(screen, &vars)
    }
}

#[derive(Args)]
pub(crate) struct Get {
    /// Names of the config vars
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
    /// Output config vars in shell format
    #[arg(short, long)]
    shell: bool,
}

impl Get {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let vars: Vars = target.client.get(&path(&target.app))?;
        if self.json {
            let pair = |key: &String| json!({ "key": key, "value": vars.get(key) });
            let mut pairs: Vec<Value> = self.keys.iter().map(pair).collect();
            let one = pairs.len() == 1;
            let whole = if one { pairs.remove(0) } else { Value::Array(pairs) };
            return json_out(&session.screen, &whole);
        }
        for key in &self.keys {
            let value = vars.get(key).map_or("", String::as_str);
            let line =
                if self.shell { format!("{key}={}", shell(value)) } else { value.to_owned() };
            session.screen.line(&line)?;
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Set {
    /// KEY=VALUE pairs
    #[arg(required = true, value_name = "KEY=VALUE")]
    pairs: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Set {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let pairs = self.pairs.iter().map(|pair| split(pair)).collect::<Outcome<Vec<_>>>()?;
        let target = session.target(&self.flags)?;
        let names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
        let mut body = Map::new();
        for (name, value) in &pairs {
            body.insert((*name).to_owned(), json!(value));
        }
        let doing = format!("Setting {} and restarting {}", names.join(", "), target.app);
        let mut vars = session.screen.action(&doing, || {
            let (client, body) = (&target.client, Value::Object(body));
            let vars: Vars = client.ask(Method::Patch, &path(&target.app), Some(&body))?;
            Ok((vars, format!(", v{}", last_version(client, &target.app)?)))
        })?;
        vars.retain(|name, _| names.contains(&name.as_str()));
        print_vars(&session.screen, &vars)
    }
}

fn split(pair: &str) -> Outcome<(&str, &str)> {
    pair.split_once('=')
        .ok_or_else(|| Failure::usage(format!("{pair} is invalid. Must be in the format FOO=bar.")))
}

#[derive(Args)]
pub(crate) struct Unset {
    /// Names of the config vars
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Unset {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let body: Map<String, Value> =
            self.keys.iter().map(|key| (key.clone(), Value::Null)).collect();
        let doing = format!("Unsetting {} and restarting {}", self.keys.join(", "), target.app);
        session.screen.action(&doing, || {
            let (client, body) = (&target.client, Value::Object(body));
            client.tell(Method::Patch, &path(&target.app), Some(&body))?;
            Ok(((), format!(", v{}", last_version(client, &target.app)?)))
        })
    }
}

fn path(app: &str) -> String {
    format!("/apps/{}/config-vars", segment(app))
}

fn last_version(client: &Client, app: &str) -> Outcome<u32> {
    let path = format!("/apps/{}/releases", segment(app));
    let releases: Vec<Release> = client.page(&path, "version ..; order=desc,max=1")?;
    let last = releases.first().map(|release| release.version);
    last.ok_or_else(|| Failure::internal(format!("{app} has no releases")))
}

fn print_vars(screen: &Screen, vars: &Vars) -> Outcome {
    let rows: Vec<(&str, Vec<String>)> =
        vars.iter().map(|(name, value)| (name.as_str(), vec![value.clone()])).collect();
    tables::object(screen, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_equal_signs_and_nothing() {
        assert_eq!(split("A=b=c").expect("good"), ("A", "b=c"));
        assert_eq!(split("A=").expect("good"), ("A", ""));
        let failure = split("A").expect_err("no value");
        assert_eq!(failure.message, "A is invalid. Must be in the format FOO=bar.");
    }
}
