//! A server that is killed while a dyno prints as fast as the test needs it.

use std::collections::HashSet;

use testkit::wait;

use crate::server;
use crate::small_app::{self, PATIENCE};

/// A thousand numbered lines a second.
const WEB: &str = "\
const http = require('http');
http.createServer((request, response) => response.end('hello')).listen(process.env.PORT);
let count = 0;
setInterval(() => {
  let text = '';
  for (let n = 0; n < 20; n++) text += `number ${count++}\\n`;
  process.stdout.write(text);
}, 20);
";

/// Lines of the tenth of a second that a killed server may lose, and of the moments in which its
/// threads and this machine were busy.
const MAY_BE_LOST: u64 = 1000;

#[test]
fn a_killed_server_loses_a_moment_at_most_and_repeats_nothing() {
    let mut server = server();
    let person = server.person();
    small_app::deployed(&server, &person, WEB, "web: node server.js\n");
    small_app::answer(&server);
    let read = || {
        let args = ["logs", "-a", "demo", "--dyno-name", "web.1", "--source", "app", "-n", "10000"];
        let text = person.heroku(&args);
        let number = |line: &str| line.split_once("number ")?.1.parse().ok();
        text.lines().filter_map(number).collect::<Vec<u64>>()
    };
    let seen = wait::until("two thousand lines", PATIENCE, || {
        let seen = read();
        if seen.len() >= 2000 { Ok(seen) } else { Err(format!("{}", seen.len())) }
    });
    let last_seen = *seen.last().expect("some");

    server.kill();
    server.start_again();

    let all = wait::until("lines from after the restart", PATIENCE, || {
        let all = read();
        let newest = all.last().copied().unwrap_or(0);
        if newest > last_seen + 1000 { Ok(all) } else { Err(format!("{newest}")) }
    });
    assert!(all.is_sorted_by(|a, b| a < b), "out of order or repeated");
    assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
    let gaps: Vec<_> = all.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(gaps.len() <= 1, "there is one gap at most: {gaps:?}");
    let lost: u64 = gaps.iter().map(|pair| pair[1] - pair[0] - 1).sum();
    assert!(lost <= MAY_BE_LOST, "{lost} lines are lost");
    let told = person.heroku(&["logs", "-a", "demo", "--source", "heroku", "-n", "100"]);
    assert!(told.contains("The platform was restarted. Messages between"), "{told}");
}
