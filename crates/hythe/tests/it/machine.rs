//! What may befall the machine: a shim is killed, all of it is switched off and on, the server's
//! binary is replaced.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use testkit::http::get;
use testkit::wait;

use crate::bed::{Bed, claim, shim_pids};
use crate::binary;
use crate::small_app::PATIENCE;

const PROCFILE: &str = "web: node server.js\n";

fn scale(bed: &Bed, quantity: u32) {
    let web = json!({"updates": [{"type": "web", "quantity": quantity}]});
    bed.api.ask("PATCH", "/apps/demo/formation", &web).expect("an answer");
    bed.check();
}

/// Ids of the app's dynos.
fn dynos(bed: &Bed) -> BTreeSet<String> {
    let dynos = bed.api.list("/apps/demo/dynos").expect("dynos");
    dynos.iter().filter_map(|dyno| dyno["id"].as_str()).map(str::to_owned).collect()
}

/// SIGKILL to the shim of this dyno, or to all.
fn kill_shims(bed: &Bed, dyno: Option<&str>) {
    for (id, pid) in shim_pids(&bed.run_dir) {
        if dyno.is_none_or(|dyno| dyno == id) {
            let killed = Command::new("kill").args(["-9", &pid]).status().expect("kill");
            assert!(killed.success(), "{id}: {killed}");
        }
    }
}

/// What a machine that is switched off does to a server and its dynos. Afterwards the server's
/// addresses are another's, for those who come first choose first.
fn switch_off(bed: &mut Bed) {
    let claim = claim(&bed.run_dir);
    bed.server.kill();
    kill_shims(bed, None);
    // Processes, control groups, mounts and interfaces go with the kernel: here, by hand.
    let swept = Command::new(bed.server.binary())
        .args(["admin", "stop-dynos", "--data-dir"])
        .arg(bed.server.data_dir())
        .output()
        .expect("the binary");
    assert!(swept.status.success(), "{swept:?}");
    assert!(!bed.run_dir.exists(), "{swept:?}");
    fs::write(claim, bed.server.data_dir().as_os_str().as_encoded_bytes()).expect("another's");
}

#[test]
fn after_a_reboot_everything_comes_up_as_it_is_wanted() {
    let mut bed = Bed::new(PROCFILE);
    scale(&bed, 2);
    let before = dynos(&bed);
    bed.api.ask("POST", "/apps/demo/dynos", &json!({"command": "sleep 600"})).expect("an answer");
    wait::until("a one-off", PATIENCE, || {
        let dynos = bed.api.list("/apps/demo/dynos")?;
        let is_up = |dyno: &Value| dyno["type"] == "run" && dyno["state"] == "up";
        if dynos.iter().any(is_up) { Ok(()) } else { Err(format!("{dynos:?}")) }
    });

    let claimed = claim(&bed.run_dir);
    switch_off(&mut bed);
    bed.server.start_again();

    bed.check();
    assert_ne!(claim(&bed.run_dir), claimed, "the dynos have their old addresses");
    assert!(dynos(&bed).is_disjoint(&before), "what ran before the reboot is taken for running");
    bed.check_log();
}

#[test]
fn a_dyno_whose_shim_is_killed_has_crashed_and_is_started_again() {
    let bed = Bed::new(PROCFILE);
    scale(&bed, 2);
    let before = dynos(&bed);
    let lost = before.first().expect("a dyno").clone();
    kill_shims(&bed, Some(&lost));

    wait::until("another dyno", PATIENCE, || {
        let now = dynos(&bed);
        if now.contains(&lost) { Err(format!("{now:?}")) } else { bed.settled() }
    });
    let kept = dynos(&bed).intersection(&before).count();
    assert_eq!(kept, 1, "the other dyno was started anew");
    let lines = bed.person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    assert!(lines.contains("State changed from up to crashed"), "{lines}");
}

#[test]
fn a_replaced_binary_takes_over_dynos_and_their_requests() {
    let place = tempfile::tempdir().expect("a directory");
    let (old, new) = (copy(place.path(), "old"), copy(place.path(), "new"));
    let mut bed = Bed::of(old.clone(), PROCFILE);
    let before = dynos(&bed);
    let mut socket = TcpStream::connect(bed.server.address()).expect("connect");
    let request = "GET /slow HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("sent");
    let answer = thread::spawn(move || {
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    });
    wait::until("the request at the dyno", PATIENCE, || {
        let lines = bed.person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
        if lines.contains("slow request") { Ok(()) } else { Err(lines) }
    });

    bed.server.stop();
    fs::remove_file(&old).expect("removed");
    bed.server.set_binary(new);
    bed.server.start_again();

    let answer = answer.join().expect("no panic").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(dynos(&bed), before, "the dyno was started anew");
    let at_once = get(bed.server.address(), "demo.localhost", "/").expect("an answer");
    assert_eq!(at_once.status, 200, "{at_once:?}");
    bed.check();
    // The new binary starts dynos beside those of the old, and stops those.
    scale(&bed, 2);
    bed.api.ask("DELETE", "/apps/demo/dynos", &Value::Null).expect("an answer");
    wait::until("other dynos", PATIENCE, || {
        let now = dynos(&bed);
        if now.is_disjoint(&before) { bed.settled() } else { Err(format!("{now:?}")) }
    });
    bed.check_log();
}

fn copy(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::copy(binary(), &path).expect("a copy of the binary");
    path
}
