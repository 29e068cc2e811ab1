//! `heroku logs --tail` while the server is restarted under it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use testkit::{Person, wait};

use crate::server;
use crate::small_app::{self, PATIENCE};

/// A tail of the app's own lines that writes to files.
struct Tail {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Tail {
    fn start(person: &Person) -> Self {
        let output = person.home().join("tail.out");
        let errors = person.home().join("tail.err");
        let file = |path: &Path| File::create(path).expect("a file");
        let child = person
            .command(person.home(), "heroku")
            .args(["logs", "--tail", "-a", "demo", "--ps", "web.1", "--source", "app", "-n", "1"])
            .stdin(Stdio::null())
            .stdout(file(&output))
            .stderr(file(&errors))
            .spawn()
            .expect("the CLI");
        Self { child, output, errors }
    }

    /// The numbers of the ticks so far, in the order of their coming.
    fn ticks(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.output).expect("the output");
        let number = |line: &str| line.split_once("tick ")?.1.parse().ok();
        // The last line may not be whole yet.
        text.split_inclusive('\n').filter_map(|line| number(line.strip_suffix('\n')?)).collect()
    }

    #[track_caller]
    fn wait_for(&mut self, count: usize) -> Vec<u64> {
        wait::until("more lines of the tail", PATIENCE, || {
            let ticks = self.ticks();
            if ticks.len() >= count { Ok(ticks) } else { Err(self.state()) }
        })
    }

    fn state(&mut self) -> String {
        let ended = self.child.try_wait();
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        format!("{ended:?} {errors} {:?}", self.ticks())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

#[test]
fn a_tail_goes_on_after_a_restart_and_nothing_is_lost_or_repeated() {
    let mut server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _transcript = small_app::push(&server, &person, &dir);
    small_app::answer(&server);

    let mut tail = Tail::start(&person);
    let before = tail.wait_for(5).len();
    server.stop();
    server.start_again();
    // At five a second, this many come only after the tail has connected again.
    let ticks = tail.wait_for(before + 25);

    let first = *ticks.first().expect("some");
    let whole: Vec<u64> = (first..).take(ticks.len()).collect();
    assert_eq!(ticks, whole, "lines are missing, repeated or out of order");
}
