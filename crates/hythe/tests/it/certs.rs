//! Domains and certificates by the official CLI, to a client that trusts one authority only.

use std::fs;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::{Person, Server, wait};

use crate::pty::Terminal;
use crate::secure::{Authority, Secure};
use crate::{binary, server};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with the app `demo`, which needs no dynos to be known by its names.
fn with_app() -> (Server, Person) {
    let server = server();
    let person = server.person();
    hythe(&person, &["create", "demo", "--no-remote"]);
    (server, person)
}

/// The native client, where what the official one does is not the point: it is a hundred times faster.
#[track_caller]
fn hythe(person: &Person, args: &[&str]) -> String {
    let output = person.run(person.home(), "hythe", args);
    assert!(output.status.success(), "hythe {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The official CLI, whatever its exit status.
fn heroku(person: &Person, args: &[&str]) -> Output {
    person.run(person.home(), "heroku", args)
}

/// What the official CLI says when it must refuse.
#[track_caller]
fn refused(person: &Person, args: &[&str]) -> String {
    let output = heroku(person, args);
    assert!(!output.status.success(), "heroku {args:?}: {output:?}");
    // Long lines are broken to the width of the screen and marked.
    let text = String::from_utf8_lossy(&output.stderr).replace('›', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name of the only certificate.
fn only_certificate(person: &Person) -> String {
    let list = hythe(person, &["certs", "-a", "demo"]);
    let row = list.lines().find(|line| line.contains(".example.")).expect("a row");
    row.split_whitespace().next().expect("a name").to_owned()
}

#[test]
fn domains_come_and_go() {
    let (server, person) = with_app();
    let added = person.heroku(&["domains:add", "www.example.com", "-a", "demo", "--wait"]);
    assert!(added.contains("DNS Target") && added.contains(".localhost"), "{added}");
    let answer = testkit::http::get(server.address(), "www.example.com", "/").expect("an answer");
    assert_ne!(answer.status, 404, "the name is known at once: {answer:?}");
    hythe(&person, &["domains:add", "*.example.org", "-a", "demo"]);
    let _added = person.heroku(&["domains:add", "bücher.example.net", "-a", "demo"]);
    let list = person.heroku(&["domains", "-a", "demo"]);
    for name in ["demo.localhost", "www.example.com", "*.example.org", "xn--bcher-kva.example.net"]
    {
        assert!(list.contains(name), "{name} in {list}");
    }
    // In paths the CLI writes no other form of the name.
    let info = person.heroku(&["domains:info", "xn--bcher-kva.example.net", "-a", "demo"]);
    assert!(info.contains("custom") && info.contains("xn--bcher-kva.example.net"), "{info}");
    let _waited = person.heroku(&["domains:wait", "www.example.com", "-a", "demo"]);

    hythe(&person, &["create", "other", "--no-remote"]);
    let taken = refused(&person, &["domains:add", "www.example.com", "-a", "other"]);
    assert!(taken.contains("www.example.com is currently in use"), "{taken}");
    let bad = refused(&person, &["domains:add", "example", "-a", "other"]);
    assert!(bad.contains("not a host name"), "{bad}");
    let stays = refused(&person, &["domains:remove", "demo.localhost", "-a", "demo"]);
    assert!(stays.contains("default domain"), "{stays}");

    let _removed = person.heroku(&["domains:remove", "www.example.com", "-a", "demo"]);
    let gone = testkit::http::get(server.address(), "www.example.com", "/").expect("an answer");
    assert_eq!(gone.status, 404);
    let _cleared = person.heroku(&["domains:clear", "-a", "demo"]);
    let list = hythe(&person, &["domains", "-a", "demo"]);
    assert!(list.contains("demo.localhost") && !list.contains("example"), "{list}");
}

#[test]
fn a_certificate_is_added_chosen_changed_and_removed() {
    let (server, person) = with_app();
    let (first, second) = (Authority::new("First"), Authority::new("Second"));
    first.sign(person.home(), "first", &["www.example.com", "*.example.org"]);
    second.sign(person.home(), "second", &["www.example.com", "*.example.org"]);
    for host in ["www.example.com", "*.example.org"] {
        hythe(&person, &["domains:add", host, "-a", "demo"]);
    }

    let mut command = person.command(person.home(), "heroku");
    command.args(["certs:add", "first.crt", "first.key", "-a", "demo"]).env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 40, 120);
    terminal.expect("Select domains");
    terminal.press(" ");
    terminal.press("\r");
    let (status, text) = terminal.end();
    assert_eq!(status, Some(0), "{text}");
    let shown = Secure::connect(server.address(), "www.example.com", &first.root);
    let mut old = shown.expect("the certificate is shown at once");
    assert_eq!(old.chain_length(), 2, "in order and without the root");
    assert!(old.ask("www.example.com", "/").expect("an answer").starts_with("HTTP/1.1 "));
    let wild = Secure::connect(server.address(), "a.example.org", &first.root);
    assert!(wild.is_err(), "nobody has told the wildcard to use it");

    let name = only_certificate(&person);
    let _told = person.heroku(&["domains:update", "*.example.org", "--cert", &name, "-a", "demo"]);
    Secure::connect(server.address(), "a.example.org", &first.root).expect("the wildcard");
    let added = ["domains:add", "b.example.org", "--cert", &name, "-a", "demo"];
    let _added = person.heroku(&added);
    Secure::connect(server.address(), "b.example.org", &first.root).expect("the new name");
    let uncovered = ["domains:add", "b.example.net", "--cert", &name, "-a", "demo"];
    assert!(refused(&person, &uncovered).contains("does not cover b.example.net"));

    let list = person.heroku(&["certs", "-a", "demo"]);
    assert!(list.contains("www.example.com, *.example.org") && list.contains("SNI"), "{list}");
    let info = person.heroku(&["certs:info", "--show-domains", "-a", "demo"]);
    assert!(info.contains("CN=First between") && info.contains("b.example.org"), "{info}");
    assert!(info.contains("SSL certificate is not trusted."), "{info}");

    let update = ["certs:update", "second.crt", "second.key", "-a", "demo", "--confirm", "demo"];
    let updated = person.heroku(&update);
    assert!(updated.contains("CN=Second between"), "{updated}");
    Secure::connect(server.address(), "www.example.com", &second.root).expect("the new one");
    assert!(Secure::connect(server.address(), "www.example.com", &first.root).is_err());
    assert!(old.ask("www.example.com", "/").is_ok(), "the old connection lives on");

    let removed = ["certs:remove", "--name", &name, "-a", "demo", "--confirm", "demo"];
    let _removed = person.heroku(&removed);
    assert!(Secure::connect(server.address(), "www.example.com", &second.root).is_err());
    let list = hythe(&person, &["certs", "-a", "demo"]);
    assert!(list.contains("has no SSL certificates"), "{list}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let (server, person) = with_app();
    let authority = Authority::new("First");
    authority.sign(person.home(), "one", &["www.example.com"]);
    authority.sign(person.home(), "two", &["www.example.com"]);
    let add = |certificate: &str, key: &str| {
        refused(&person, &["certs:add", certificate, key, "-a", "demo"])
    };
    assert!(add("one.crt", "two.key").contains("Key doesn't match the PEM certificate."));

    let generate = ["certs:generate", "old.example.com", "--selfsigned", "--now", "-a", "demo"];
    let _generated = person.heroku(&generate);
    let openssl = |args: &[&str]| {
        let output = person.run(person.home(), "openssl", args);
        assert!(output.status.success(), "{output:?}");
    };
    let lock = ["-aes128", "-passout", "pass:secret", "-in", "old.example.com.key"];
    openssl(&[&["rsa"], &lock[..], &["-out", "locked.key"]].concat());
    assert!(add("old.example.com.crt", "locked.key").contains("protected by a passphrase"));
    authority.sign_expired(person.home(), "expired", &["www.example.com"]);
    assert!(add("expired.crt", "expired.key").contains("The certificate expired at"));
    let _added =
        person.heroku(&["certs:add", "old.example.com.crt", "old.example.com.key", "-a", "demo"]);
    let info = person.heroku(&["certs:info", "-a", "demo"]);
    assert!(info.contains("SSL certificate is self signed."), "{info}");
    let off = refused(&person, &["certs:auto:enable", "-a", "demo"]);
    assert!(off.contains("not set up on this platform"), "{off}");
    let auto = person.heroku(&["certs:auto", "-a", "demo"]);
    assert!(auto.contains("disabled"), "{auto}");
    assert!(!server.log().contains("PRIVATE KEY"), "no key in the log");
}

#[test]
fn the_native_client_does_the_same() {
    let (server, person) = with_app();
    let authority = Authority::new("Only");
    authority.sign(person.home(), "first", &["www.example.com", "*.example.org"]);
    authority.sign(person.home(), "second", &["*.example.com", "*.example.org"]);
    let hythe = |args: &[&str]| hythe(&person, &[args, &["-a", "demo"]].concat());
    let _www = hythe(&["domains:add", "www.example.com", "--wait"]);
    let _wild = hythe(&["domains:add", "*.example.org"]);
    let added = hythe(&["certs:add", "first.crt", "first.key"]);
    assert!(added.contains("/CN=Only between"), "{added}");
    for name in ["www.example.com", "a.example.org"] {
        Secure::connect(server.address(), name, &authority.root).expect("all it is good for");
    }
    let info = hythe(&["certs:info", "--show-domains", "--endpoint", "www.example.com"]);
    assert!(info.contains("*.example.org") && info.contains("is not trusted"), "{info}");
    let updated = hythe(&["certs:update", "second.crt", "second.key", "--confirm", "demo"]);
    assert!(updated.contains("*.example.com"), "{updated}");
    let name = only_certificate(&person);
    let _added = hythe(&["domains:add", "b.example.com", "--cert", &name]);
    let info = hythe(&["domains:info", "b.example.com"]);
    assert!(info.contains(&name), "{info}");
    let list = hythe(&["domains"]);
    assert!(list.contains("SNI Endpoint") && list.matches(&name).count() == 3, "{list}");
    let _removed = hythe(&["certs:remove", "--name", &name, "--confirm", "demo"]);
    assert!(hythe(&["certs"]).contains("no SSL certificates"));
    assert!(hythe(&["certs:auto"]).contains("disabled"));
    let _cleared = hythe(&["domains:clear"]);
    assert!(!hythe(&["domains"]).contains("example"));
}

#[test]
fn nobody_is_turned_away_while_a_certificate_changes() {
    let (server, person) = with_app();
    let authority = Authority::new("Only");
    authority.sign(person.home(), "first", &["www.example.com"]);
    hythe(&person, &["domains:add", "www.example.com", "-a", "demo"]);
    hythe(&person, &["certs:add", "first.crt", "first.key", "-a", "demo"]);
    let shown = || {
        let shown = Secure::connect(server.address(), "www.example.com", &authority.root);
        shown.expect("no gap").certificate()
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut visits = 0;
                    while !over.load(Ordering::Relaxed) {
                        shown();
                        visits += 1;
                    }
                    visits
                })
            })
            .collect();
        let mut last = shown();
        for round in 0..20 {
            let file = format!("round-{round}");
            authority.sign(person.home(), &file, &["www.example.com"]);
            let (certificate, key) = (format!("{file}.crt"), format!("{file}.key"));
            let update = ["certs:update", &certificate, &key, "-a", "demo", "--confirm", "demo"];
            hythe(&person, &update);
            let now = shown();
            assert_ne!(now, last, "the new one is shown once the command has returned");
            last = now;
        }
        over.store(true, Ordering::Relaxed);
        let visits: Vec<u32> =
            visitors.into_iter().map(|visitor| visitor.join().expect("a visitor")).collect();
        assert!(visits.iter().all(|&visits| visits > 20), "{visits:?}");
    });
}

#[test]
fn certificates_outlive_a_restart_and_keys_are_sealed() {
    let (mut server, person) = with_app();
    let authority = Authority::new("Only");
    authority.sign(person.home(), "first", &["www.example.com"]);
    hythe(&person, &["domains:add", "www.example.com", "-a", "demo"]);
    hythe(&person, &["certs:add", "first.crt", "first.key", "-a", "demo"]);
    server.kill();
    server.start_again();
    Secure::connect(server.address(), "www.example.com", &authority.root).expect("still shown");
    server.stop();
    let key = fs::read_to_string(person.home().join("first.key")).expect("the key");
    let body: Vec<&str> = key.lines().filter(|line| !line.starts_with('-')).collect();
    for entry in fs::read_dir(server.data_dir()).expect("the data directory") {
        let path = entry.expect("an entry").path();
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(body[0]), "the key is in {}", path.display());
    }
}

#[test]
fn the_operators_own_certificate_is_shown_and_read_again_when_it_changes() {
    let authority = Authority::new("Operator");
    let files = tempfile::tempdir().expect("a directory");
    let hosts = ["localhost", "*.localhost", "paas.example.com"];
    authority.sign(files.path(), "own", &hosts);
    let at = |name: &str| files.path().join(name).display().to_string();
    let settings =
        format!("tls_certificate = {:?}\ntls_key = {:?}\n", at("own.crt"), at("own.key"));
    let server = Server::start_with(binary(), &settings);
    let shown = |name| Secure::connect(server.address(), name, &authority.root);
    let first = shown("paas.example.com").expect("the operator's").certificate();

    // As renewal programs do: another file, put into the old one's place.
    authority.sign(files.path(), "new", &hosts);
    fs::rename(files.path().join("new.key"), files.path().join("own.key")).expect("renamed");
    fs::rename(files.path().join("new.crt"), files.path().join("own.crt")).expect("renamed");
    wait::until("the new certificate", PATIENCE, || {
        let now = shown("paas.example.com").map_err(|error| error.to_string())?.certificate();
        if now == first { Err("still the old one".to_owned()) } else { Ok(()) }
    });
    fs::write(files.path().join("own.crt"), "damaged").expect("written");
    wait::until("the complaint", PATIENCE, || {
        let log = server.log();
        if log.contains("keeping the platform's certificate as it is") { Ok(()) } else { Err(log) }
    });
    shown("paas.example.com").expect("the last good one");
}
