//! An app without dependencies, so that a journey that is not about builds need not wait for one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::binary;

/// How long anything of these journeys may take.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Answers every request with its dyno's name, one for `/slow` after some seconds, and says a number
/// five times a second.
const SERVER: &str = "\
const http = require('http');
http.createServer((request, response) => {
  const answer = () => response.end(`${process.env.DYNO}\\n`);
  if (request.url !== '/slow') return answer();
  console.log('slow request');
  setTimeout(answer, 4000);
}).listen(process.env.PORT);
let count = 0;
setInterval(() => console.log(`tick ${count++}`), 200);
";

const PACKAGE: &str = r#"{"name":"small","version":"1.0.0","scripts":{"start":"node server.js"}}"#;

/// The app `demo` with this Procfile in a git repository; nothing is pushed yet.
pub fn created(person: &Person, procfile: &str) -> PathBuf {
    let files = [("server.js", SERVER), ("package.json", PACKAGE), ("Procfile", procfile)];
    let dir = person.app("small", &files);
    let _created = person.heroku(&["create", "demo"]);
    dir
}

/// `demo` with `web` as its server and these process types, pushed; gives its directory.
#[track_caller]
pub fn deployed(server: &Server, person: &Person, web: &str, procfile: &str) -> PathBuf {
    let files = [
        ("server.js", web),
        ("package.json", r#"{"name":"small","version":"1.0.0"}"#),
        ("Procfile", procfile),
    ];
    let dir = person.app("small", &files);
    let _created = person.heroku(&["create", "demo"]);
    let _transcript = push(server, person, &dir);
    dir
}

/// A server with these settings and `demo` on it: `web` as its server, and a worker that only waits.
#[track_caller]
pub fn deployed_with_worker(settings: &str, web: &str) -> (Server, Person) {
    let server = Server::start_with(binary(), settings);
    let person = server.person();
    deployed(&server, &person, web, "web: node server.js\nworker: sleep 1000000\n");
    (server, person)
}

/// Pushes `dir` to `demo`; gives what git said.
#[track_caller]
pub fn push(server: &Server, person: &Person, dir: &Path) -> String {
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let output = person.run(dir, "git", &["push", remote.as_str(), "main"]);
    let transcript = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{transcript}");
    transcript
}

/// Waits until `demo` answers; gives the answer.
#[track_caller]
pub fn answer(server: &Server) -> String {
    wait::until("an answer of the app", PATIENCE, || {
        let answer =
            get(server.address(), "demo.localhost", "/").map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    })
}
