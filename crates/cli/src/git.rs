//! The person's own git: remotes, and who answers when it asks for a password.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};
use crate::servers::Server;
use crate::words::shell;

/// A remote of the repository in the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub name: String,
    pub url: String,
}

impl Remote {
    /// The app that the remote is of, with the host and port it is on. Only `…/<name>.git` directly
    /// below a host can be one.
    pub(crate) fn app(&self) -> Option<(&str, &str)> {
        let rest =
            self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"))?;
        let (host, path) = rest.split_once('/')?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let app = path.strip_suffix(".git")?;
        (!app.is_empty() && !app.contains('/')).then_some((host, app))
    }
}

/// Whether the working directory is in a repository.
pub(crate) fn in_repository() -> bool {
    ask(&["rev-parse", "--git-dir"]).is_ok()
}

/// All remotes; none when there is no repository, or no git.
pub(crate) fn remotes() -> Vec<Remote> {
    let listed = ask(&["config", "--null", "--get-regexp", r"^remote\..*\.url$"]);
    parse_remotes(&listed.unwrap_or_default())
}

fn parse_remotes(listed: &str) -> Vec<Remote> {
    let remote = |entry: &str| {
        let (key, url) = entry.split_once('\n')?;
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        Some(Remote { name: name.to_owned(), url: url.to_owned() })
    };
    listed.split('\0').filter_map(remote).collect()
}

/// Makes a remote, or points an existing one elsewhere.
pub(crate) fn set_remote(name: &str, url: &str) -> Outcome {
    let verb = if remotes().iter().any(|remote| remote.name == name) { "set-url" } else { "add" };
    ask(&["remote", verb, "--", name, url]).map(drop)
}

/// Removes a remote.
pub(crate) fn remove_remote(name: &str) -> Outcome {
    ask(&["remote", "remove", name]).map(drop)
}

/// Settings that make git ask this program for the server's token, and trust the server's private
/// authority: name and value, in order.
pub(crate) fn settings(server: &Server, program: &Path) -> Vec<(String, String)> {
    let helper = format!("credential.{}.helper", server.url);
    let ours = format!("!{} git:credentials", shell(&program.display().to_string()));
    // An empty helper first: those set for all hosts are not asked, and get nothing to store.
    let mut settings = vec![(helper.clone(), String::new()), (helper, ours)];
    if let Some(ca) = &server.ca {
        settings.push((format!("http.{}.sslCAInfo", server.url), ca.display().to_string()));
    }
    settings
}

/// Writes [`settings`] into the repository's configuration, in place of older ones.
pub(crate) fn configure(server: &Server, program: &Path) -> Outcome {
    let settings = settings(server, program);
    for (name, _) in &settings {
        // Fails when there is nothing to remove, which is fine.
        let _ = ask(&["config", "--local", "--unset-all", name]);
    }
    for (name, value) in &settings {
        ask(&["config", "--local", "--add", name, value])?;
    }
    Ok(())
}

/// Clones, with output to the person's terminal.
pub(crate) fn clone(settings: &[(String, String)], arguments: &[&str]) -> Outcome {
    let mut command = Command::new("git");
    command.arg("clone");
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let status = command.args(arguments).status().map_err(|error| no_git(&error))?;
    if status.success() { Ok(()) } else { Err(Failure::user("git could not clone the app")) }
}

/// Runs git and gives what it prints.
fn ask(arguments: &[&str]) -> Outcome<String> {
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| no_git(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Failure::config(format!("git {}: {}", arguments[0], complaint.trim())))
}

fn no_git(error: &std::io::Error) -> Failure {
    Failure::config(format!("cannot run git: {error}")).hint("Install git, then try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(url: &str) -> Option<(String, String)> {
        let remote = Remote { name: "hythe".into(), url: url.into() };
        remote.app().map(|(host, app)| (host.to_owned(), app.to_owned()))
    }

    #[test]
    fn remotes_of_apps_are_told_from_others() {
        let good = Some(("localhost:8300".to_owned(), "demo".to_owned()));
        assert_eq!(app("https://localhost:8300/demo.git"), good);
        assert_eq!(app("http://u:p@localhost:8300/demo.git"), good);
        assert_eq!(app("https://github.com/me/demo.git"), None);
        assert_eq!(app("git@github.com:me/demo.git"), None);
        assert_eq!(app("https://localhost/demo"), None);
    }

    #[test]
    fn a_remote_may_have_any_name_and_url() {
        let listed = "remote.a.b.url\nhttps://x/y.git\0remote.hythe.url\nu w\0";
        let remotes = parse_remotes(listed);
        let pairs: Vec<_> = remotes.iter().map(|r| (r.name.as_str(), r.url.as_str())).collect();
        assert_eq!(pairs, [("a.b", "https://x/y.git"), ("hythe", "u w")]);
    }

    #[test]
    fn the_helper_is_quoted_for_the_shell_that_git_runs() {
        let mut server = Server::at("https://x".into());
        server.ca = Some("/c a.pem".into());
        let settings = settings(&server, Path::new("/my apps/hythe"));
        let values: Vec<_> = settings.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["", "!'/my apps/hythe' git:credentials", "/c a.pem"]);
        assert_eq!(settings[2].0, "http.https://x.sslCAInfo");
    }
}
