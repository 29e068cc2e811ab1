//! `heroku logs --tail` while the server is restarted under it, and while its app is deployed and
//! crashes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use testkit::http::get;
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

    /// The whole lines so far, in the order of their coming.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.output).expect("the output");
        // The last line may not be whole yet.
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.map(str::to_owned).collect()
    }

    /// The numbers of the ticks so far.
    fn ticks(&self) -> Vec<u64> {
        let number = |line: &String| line.split_once("tick ")?.1.parse().ok();
        self.lines().iter().filter_map(number).collect()
    }

    #[track_caller]
    fn wait_for(&mut self, count: usize) -> Vec<u64> {
        wait::until("more lines of the tail", PATIENCE, || {
            let ticks = self.ticks();
            if ticks.len() >= count { Ok(ticks) } else { Err(self.state()) }
        })
    }

    /// Waits until so many processes have been seen, all but the newest to their end.
    #[track_caller]
    fn wait_for_lives(&mut self, count: usize) -> Vec<Life> {
        wait::until("the lines of another process", PATIENCE, || {
            let lives = lives(&self.lines());
            let ended = lives.iter().filter(|life| life.ended_after.is_some()).count();
            let newest = lives.iter().find(|life| life.ended_after.is_none());
            let is_enough = ended == count - 1 && newest.is_some_and(|life| life.ticks.len() >= 10);
            if is_enough { Ok(lives) } else { Err(format!("{lives:?} {}", self.state())) }
        })
    }

    fn state(&mut self) -> String {
        let ended = self.child.try_wait();
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        format!("{ended:?} {errors} {:?}", self.lines())
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

/// Numbers its lines, twenty a second, and says with the last how many there were.
const COUNTING: &str = "\
const http = require('http');
const life = Date.now();
let count = 0;
const end = code => {
  console.log(`life ${life} ended after ${count}`);
  process.exit(code);
};
process.on('SIGTERM', () => end(0));
http.createServer((request, response) => {
  if (request.url === '/crash') return end(1);
  response.end('hello');
}).listen(process.env.PORT);
setInterval(() => console.log(`life ${life} tick ${count++}`), 50);
";

/// What a tail has shown of one process.
#[derive(Debug, Default)]
struct Life {
    ticks: Vec<u64>,
    ended_after: Option<u64>,
}

/// The processes of which there are lines, in the order of their starts.
fn lives(lines: &[String]) -> Vec<Life> {
    let mut lives = BTreeMap::<String, Life>::new();
    for line in lines {
        let Some((life, said)) =
            line.split_once("life ").and_then(|(_, said)| said.split_once(' '))
        else {
            continue;
        };
        let life = lives.entry(life.to_owned()).or_default();
        assert_eq!(life.ended_after, None, "a line behind the last one: {line}");
        if let Some(count) = said.strip_prefix("ended after ") {
            life.ended_after = Some(count.parse().expect("a number"));
        } else if let Some(number) = said.strip_prefix("tick ") {
            life.ticks.push(number.parse().expect("a number"));
        }
    }
    lives.into_values().collect()
}

#[test]
fn a_tail_goes_on_over_a_deploy_and_a_crash_and_nothing_is_lost_or_repeated() {
    let server = server();
    let person = server.person();
    let dir = small_app::deployed(&server, &person, COUNTING, "web: node server.js\n");
    small_app::answer(&server);

    let mut tail = Tail::start(&person);
    tail.wait_for_lives(1);
    person.commit_all(&dir);
    let _transcript = small_app::push(&server, &person, &dir);
    tail.wait_for_lives(2);
    // The dyno dies before it answers.
    let _no_answer = get(server.address(), "demo.localhost", "/crash");
    let lives = tail.wait_for_lives(3);

    for (place, life) in lives.iter().enumerate() {
        // Of the process that was there before, the tail does not show the beginning.
        let first = if place == 0 { life.ticks[0] } else { 0 };
        let whole: Vec<u64> = (first..).take(life.ticks.len()).collect();
        assert_eq!(life.ticks, whole, "lines are missing, repeated or out of order");
        let shown = life.ticks.last().map_or(0, |last| last + 1);
        assert_eq!(life.ended_after.unwrap_or(shown), shown, "the last lines are missing");
    }
}
