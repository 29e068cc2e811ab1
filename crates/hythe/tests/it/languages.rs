//! The sample apps of the languages whose packages the machine has: pushed, built and asked.

use testkit::http::get;
use testkit::{Server, wait};

use crate::binary;
use crate::small_app::{PATIENCE, push};

/// Pushes an example as `demo` and answers what it says to a request.
fn deployed(example: &str, config: &[&str]) -> String {
    let server = Server::start(binary());
    let person = server.person();
    let dir = person.example(example);
    let _created = person.heroku(&["create", "demo"]);
    if !config.is_empty() {
        let set = ["config:set", "-a", "demo"].into_iter().chain(config.iter().copied());
        let _set = person.heroku(&set.collect::<Vec<_>>());
    }
    let _transcript = push(&server, &person, &dir);
    wait::until("an answer of the app", PATIENCE, || {
        let answer =
            get(server.address(), "demo.localhost", "/").map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    })
}

#[test]
fn a_ruby_app_goes_live() {
    assert_eq!(deployed("ruby-sinatra", &["GREETING=moin"]), "Hello from web.1: moin\n");
}

#[test]
fn a_go_app_goes_live() {
    assert_eq!(deployed("go-http", &[]), "Hello from web.1: ahoy\n");
}

#[test]
fn a_java_app_goes_live() {
    // Maven's plugins as Debian packages them.
    let options = "MAVEN_CUSTOM_OPTS=-o -Dmaven.repo.local=/usr/share/maven-repo";
    let config = [options, "MAVEN_CUSTOM_GOALS=package"];
    assert_eq!(deployed("java-maven", &config), "Hello from web.1: ahoy\n");
}
