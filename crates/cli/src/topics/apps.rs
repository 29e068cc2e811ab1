//! `apps`: create, list, show, open, rename, destroy.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome};
use crate::git;
use crate::prompt;
use crate::screen::{Screen, Style};
use crate::servers::Server;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::{Account, App, Dyno};
use crate::words;

/// The remote that `create` makes.
pub(crate) const REMOTE: &str = "hythe";

#[derive(Args)]
pub(crate) struct List {
    /// Include apps of all teams
    #[arg(short = 'A', long)]
    all: bool,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let client = session.client()?;
        let path = if self.all { "/apps" } else { "/users/~/apps" };
        let mut values: Vec<Value> = client.list(path)?;
        values.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        if self.json {
            return json_out(&session.screen, &Value::Array(values));
        }
        let mut apps = Vec::new();
        for value in values {
            apps.push(read::<App>(value)?);
        }
        let account: Account = client.get("/account")?;
        print_list(&session.screen, &apps, &account.email)
    }
}

fn print_list(screen: &Screen, apps: &[App], me: &str) -> Outcome {
    if apps.is_empty() {
        return screen.line("You have no apps.");
    }
    let (mine, others): (Vec<&App>, Vec<&App>) = apps.iter().partition(|app| app.owner.email == me);
    if !mine.is_empty() {
        screen.header(&format!("{me} Apps"))?;
        for app in mine {
            screen.line(&regional_name(app))?;
        }
        screen.line("")?;
    }
    if !others.is_empty() {
        screen.header("Collaborated Apps")?;
        let row = |app: &&App| vec![regional_name(app), app.owner.email.clone()];
        let rows: Vec<_> = others.iter().map(row).collect();
        tables::table(screen, &["Name", "Email"], &rows)?;
    }
    Ok(())
}

fn regional_name(app: &App) -> String {
    match app.region.name.as_str() {
        "" | "us" => app.name.clone(),
        region => format!("{} ({region})", app.name),
    }
}

#[derive(Args)]
pub(crate) struct Create {
    /// Name of the app to create
    name: Option<String>,
    #[arg(short, long, hide = true)]
    app: Option<String>,
    /// The stack to create the app on
    #[arg(short, long, value_name = "STACK")]
    stack: Option<String>,
    /// Buildpack to use for this app
    #[arg(short, long, value_name = "URL")]
    buildpack: Option<String>,
    /// Do not create a git remote
    #[arg(short, long)]
    no_remote: bool,
    /// The git remote to create
    #[arg(short, long, value_name = "REMOTE", default_value = REMOTE)]
    remote: String,
    /// Output in json format
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let server = session.server()?;
        let client = Client::new(&server)?;
        let (value, app) = self.create(session, &client)?;
        if let Some(buildpack) = &self.buildpack {
            session.screen.action(&format!("Setting buildpack to {buildpack}"), || {
                let body = json!({ "updates": [{ "buildpack": buildpack }] });
                let path = format!("/apps/{}/buildpack-installations", segment(&app.name));
                client.tell(Method::Put, &path, Some(&body))?;
                Ok(((), String::new()))
            })?;
        }
        let url = server.git_url(&app.name);
        if !self.no_remote && git::in_repository() {
            git::set_remote(&self.remote, &url)?;
            git::configure(&server, &session.env.program)?;
        }
        if self.json {
            return json_out(&session.screen, &value);
        }
        summary(&session.screen, &app, &url)
    }

    fn create(&self, session: &Session, client: &Client) -> Outcome<(Value, App)> {
        let name = self.name.as_ref().or(self.app.as_ref()).or(session.env.app.as_ref());
        let doing = format!("Creating {}", name.map_or("app", String::as_str));
        let mut body = json!({});
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        if let Some(stack) = &self.stack {
            body["stack"] = json!(stack);
        }
        session.screen.action(&doing, || {
            let value: Value = client.ask(Method::Post, "/apps", Some(&body))?;
            let app: App = read(value.clone())?;
            let mut more = if name.is_none() { format!(", {}", app.name) } else { String::new() };
            if self.stack.is_some() {
                more.push_str(&format!(", stack is {}", app.stack.name));
            }
            Ok(((value, app), more))
        })
    }
}

fn summary(screen: &Screen, app: &App, git_url: &str) -> Outcome {
    let web = app.web_url.as_deref().unwrap_or_default();
    screen.line(&format!(
        "{} | {}",
        screen.paint(Style::Cyan, web),
        screen.paint(Style::Cyan, git_url)
    ))
}

#[derive(Args)]
pub(crate) struct Info {
    #[arg(hide = true)]
    name: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
    /// Output more shell friendly key/value pairs
    #[arg(short, long)]
    shell: bool,
}

/// What `apps:info` shows.
struct Details {
    app: App,
    addons: Vec<String>,
    collaborators: Vec<String>,
    dynos: BTreeMap<String, usize>,
}

impl Info {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target_of(self.name.as_deref(), &self.flags)?;
        let path = format!("/apps/{}", segment(&target.app));
        let app: Value = target.client.get(&path)?;
        // An older or smaller server may not know these.
        let part =
            |name: &str| target.client.list::<Value>(&format!("{path}/{name}")).unwrap_or_default();
        let (addons, collaborators, dynos) = (part("addons"), part("collaborators"), part("dynos"));
        if self.json {
            let whole = json!({
                "app": app, "addons": addons, "collaborators": collaborators, "dynos": dynos,
            });
            return json_out(&session.screen, &whole);
        }
        let app: App = read(app)?;
        let mut details = Details {
            addons: texts(&addons, "/plan/name"),
            collaborators: texts(&collaborators, "/user/email"),
            dynos: BTreeMap::new(),
            app,
        };
        details.collaborators.retain(|email| *email != details.app.owner.email);
        for value in dynos {
            *details.dynos.entry(read::<Dyno>(value)?.process_type).or_default() += 1;
        }
        let git_url = target.server.git_url(&details.app.name);
        if self.shell {
            details.print_shell(&session.screen, &git_url)
        } else {
            details.print(&session.screen, &git_url)
        }
    }
}

impl Details {
    fn counts(&self) -> Vec<String> {
        self.dynos.iter().map(|(process_type, count)| format!("{process_type}: {count}")).collect()
    }

    fn stack(&self) -> String {
        let (now, next) = (&self.app.stack.name, &self.app.build_stack.name);
        if next.is_empty() || now == next {
            now.clone()
        } else {
            format!("{now} (next build will use {next})")
        }
    }

    fn print(&self, screen: &Screen, git_url: &str) -> Outcome {
        let app = &self.app;
        screen.header(&app.name)?;
        tables::object(
            screen,
            &[
                ("Addons", self.addons.clone()),
                ("Collaborators", self.collaborators.clone()),
                ("Archived At", app.archived_at.iter().cloned().collect()),
                ("Auto Cert Mgmt", vec![app.acm.to_string()]),
                ("Git URL", vec![git_url.to_owned()]),
                ("Web URL", app.web_url.iter().cloned().collect()),
                ("Repo Size", vec![words::bytes(app.repo_size)]),
                ("Slug Size", vec![words::bytes(app.slug_size)]),
                ("Owner", vec![app.owner.email.clone()]),
                ("Region", vec![app.region.name.clone()]),
                ("Dynos", vec![self.counts().join(", ")]),
                ("Stack", vec![self.stack()]),
            ],
        )
    }

    fn print_shell(&self, screen: &Screen, git_url: &str) -> Outcome {
        let app = &self.app;
        for (name, value) in [
            ("auto_cert_mgmt", app.acm.to_string()),
            ("addons", self.addons.join(",")),
            ("collaborators", self.collaborators.join(",")),
            ("git_url", git_url.to_owned()),
            ("web_url", app.web_url.clone().unwrap_or_default()),
            ("repo_size", words::bytes(app.repo_size)),
            ("slug_size", words::bytes(app.slug_size)),
            ("owner", app.owner.email.clone()),
            ("region", app.region.name.clone()),
            ("dynos", format!("{{ {} }}", self.counts().join(", "))),
            ("stack", app.stack.name.clone()),
        ] {
            screen.line(&format!("{name}={value}"))?;
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Open {
    /// Path below the app's URL
    path: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Open {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let app: App = target.client.get(&format!("/apps/{}", segment(&target.app)))?;
        let base = app.web_url.ok_or_else(|| Failure::user(format!("{} has no URL", app.name)))?;
        let path = self.path.as_deref().unwrap_or_default().trim_start_matches('/');
        let url = format!("{}/{path}", base.trim_end_matches('/'));
        session.screen.line(&format!("Opening {}...", session.screen.paint(Style::Cyan, &url)))?;
        open_in_browser(&session.screen, &url);
        Ok(())
    }
}

/// Asks the desktop to show a URL. Without a desktop, the printed URL is all there is.
fn open_in_browser(screen: &Screen, url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(opener);
    let nothing = std::process::Stdio::null;
    command.arg(url).stdin(nothing()).stdout(nothing()).stderr(nothing());
    let opened = command.status().is_ok_and(|status| status.success());
    if !opened && screen.columns.is_some() {
        screen.remark("No browser could be started; open the URL yourself.");
    }
}

#[derive(Args)]
pub(crate) struct Rename {
    /// New unique name of the app
    newname: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Rename {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Renaming {} to {}", target.app, self.newname);
        let app: App = session.screen.action(&doing, || {
            let path = format!("/apps/{}", segment(&target.app));
            let body = json!({ "name": self.newname });
            Ok((target.client.ask(Method::Patch, &path, Some(&body))?, String::new()))
        })?;
        summary(&session.screen, &app, &target.server.git_url(&app.name))?;
        for remote in remotes_of(&target.server, &target.app) {
            git::set_remote(&remote, &target.server.git_url(&app.name))?;
            session.screen.line(&format!("Git remote {remote} updated"))?;
        }
        session
            .screen
            .warn("Don't forget to update git remotes for all other local checkouts of the app.");
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Destroy {
    #[arg(hide = true)]
    name: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// The app's name again, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
}

impl Destroy {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target_of(self.name.as_deref(), &self.flags)?;
        let path = format!("/apps/{}", segment(&target.app));
        let app: App = target.client.get(&path)?;
        let danger = format!("This will delete {} including all add-ons.", target.app);
        confirm(&session.screen, &target.app, self.confirm.as_deref(), &danger)?;
        let doing = format!("Destroying {} (including all add-ons)", target.app);
        session.screen.action(&doing, || {
            target.client.tell(Method::Delete, &path, None)?;
            for remote in remotes_of(&target.server, &app.name) {
                git::remove_remote(&remote)?;
            }
            Ok(((), String::new()))
        })
    }
}

/// Goes on only if the person gives the app's name a second time.
pub(crate) fn confirm(screen: &Screen, app: &str, given: Option<&str>, danger: &str) -> Outcome {
    if let Some(given) = given {
        if given == app {
            return Ok(());
        }
        return Err(Failure::user(format!("Confirmation {given} did not match {app}. Aborted.")));
    }
    screen.warn(danger);
    if !prompt::can_ask() {
        return Err(Failure::usage("a confirmation is needed")
            .hint(format!("Run the command again with --confirm {app}.")));
    }
    let question = format!("To proceed, type {app} or re-run this command with --confirm {app}");
    if prompt::line(&question)? == app {
        return Ok(());
    }
    Err(Failure::user(format!("Confirmation did not match {app}. Aborted.")))
}

/// The repository's remotes that are this app on this server, whichever client made them.
fn remotes_of(server: &Server, app: &str) -> Vec<String> {
    let is_it = |remote: &git::Remote| remote.app() == Some((server.host(), app));
    git::remotes().into_iter().filter(is_it).map(|remote| remote.name).collect()
}

fn texts(values: &[Value], pointer: &str) -> Vec<String> {
    let text = |value: &Value| Some(value.pointer(pointer)?.as_str()?.to_owned());
    let mut texts: Vec<String> = values.iter().filter_map(text).collect();
    texts.sort();
    texts
}

/// One of the API's objects, out of an answer that is also printed as it came.
pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> Outcome<T> {
    serde_json::from_value(value)
        .map_err(|error| Failure::internal(format!("the server's answer is strange: {error}")))
}

/// Prints an answer as the API gave it.
pub(crate) fn json_out(screen: &Screen, value: &Value) -> Outcome {
    screen.line(&format!("{value:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_confirmation_stops() {
        let screen = Screen::plain();
        assert!(confirm(&screen, "demo", Some("demo"), "").is_ok());
        let failure = confirm(&screen, "demo", Some("dem"), "").expect_err("wrong");
        assert_eq!(failure.message, "Confirmation dem did not match demo. Aborted.");
    }
}
