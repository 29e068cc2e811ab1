//! Deploys, config changes and rollbacks under a steady load fail no request, even with one dyno.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::server;

/// Requests per second.
const RATE: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(90);

/// Steady requests, each on a connection of its own, whatever the answers.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let address = server.address();
        let workers = 8;
        let pause = Duration::from_millis(1000 * workers / RATE);
        let threads = (0..workers)
            .map(|_| {
                let (stop, sent, failed) = (stop.clone(), sent.clone(), failed.clone());
                thread::spawn(move || {
                    let mut next = Instant::now();
                    while !stop.load(Ordering::Relaxed) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        match get(address, "demo.localhost", "/") {
                            Ok(answer) if answer.status == 200 => {}
                            other => {
                                failed.lock().expect("not poisoned").push(format!("{other:?}"))
                            }
                        }
                        next += pause;
                        thread::sleep(next.saturating_duration_since(Instant::now()));
                    }
                })
            })
            .collect();
        Self { stop, sent, failed, threads }
    }

    fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        let failed = std::mem::take(&mut *self.failed.lock().expect("not poisoned"));
        (self.sent.load(Ordering::Relaxed), failed)
    }
}

fn app(version: &str) -> Vec<(&'static str, String)> {
    let server = format!(
        "require('http').createServer((request, response) => {{\n  setTimeout(() => response.end('{version} ' + (process.env.GREETING || '') + '\\n'), 20);\n}}).listen(process.env.PORT);\n"
    );
    let package = r#"{"name":"small","version":"1.0.0","scripts":{"start":"node server.js"}}"#;
    vec![("server.js", server), ("package.json", package.to_owned())]
}

fn push(server: &Server, person: &Person, version: &str) {
    let files = app(version);
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let dir = person.app("small", &files);
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let pushed = person.run(&dir, "git", &["push", "-q", remote.as_str(), "main"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}

fn wait_for(server: &Server, text: &str) {
    wait::until(text, PATIENCE, || {
        let answer =
            get(server.address(), "demo.localhost", "/").map_err(|error| error.to_string())?;
        if answer.body.trim() == text { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn deploy_config_change_and_rollback_fail_no_request() {
    let server = server();
    let person = server.person();
    let _created = person.heroku(&["create", "demo"]);
    push(&server, &person, "one");
    wait_for(&server, "one");

    let load = Load::start(&server);
    push(&server, &person, "two");
    wait_for(&server, "two");
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);
    wait_for(&server, "two ahoy");
    let _back = person.heroku(&["rollback", "v3", "-a", "demo"]);
    wait_for(&server, "one");
    let _restarted = person.heroku(&["ps:restart", "-a", "demo"]);
    thread::sleep(Duration::from_secs(5));
    let (sent, failed) = load.finish();

    assert!(sent > RATE * 5, "only {sent} requests were sent");
    assert!(failed.is_empty(), "{} of {sent} failed, such as {:?}", failed.len(), failed.first());
}
