//! Automatic certificates from a real ACME server.

use std::fs;
use std::time::Duration;

use model::Step;
use testkit::http::ask;
use testkit::{Person, Server, wait};

use crate::binary;
use crate::pebble::{Habits, Pebble};
use crate::secure::Secure;
use crate::small_app;

/// The official CLI looks every fifteen seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that knows Pebble, and the app `demo`.
fn with_app(pebble: &Pebble, more: &str) -> (Server, Person) {
    let server = Server::start_with(binary(), &pebble.settings(more));
    let person = server.person();
    hythe(&person, &["create", "demo", "--no-remote"]);
    (server, person)
}

/// The native client, where what the official one does is not the point.
#[track_caller]
fn hythe(person: &Person, args: &[&str]) {
    let output = person.run(person.home(), "hythe", args);
    assert!(output.status.success(), "hythe {args:?}: {output:?}");
}

/// Waits until the domain's certificate is in this state; gives the line of `certs:auto`.
#[track_caller]
fn until_status(person: &Person, host: &str, status: &str) -> String {
    wait::until(&format!("{status} of {host}"), PATIENCE, || {
        let text = person.heroku(&["certs:auto", "-a", "demo"]);
        let line = text.lines().find(|line| line.trim_start().starts_with(host));
        let line = line.filter(|line| line.contains(status));
        line.map(str::to_owned).ok_or(text)
    })
}

#[test]
fn a_certificate_is_issued_shown_and_given_back() {
    let mut pebble = Pebble::new();
    let (server, person) = with_app(&pebble, "");
    pebble.start(server.address().port(), Habits::QUICK);
    pebble.resolve("www.example.com");
    let add = |host: &str| hythe(&person, &["domains:add", host, "-a", "demo"]);
    add("www.example.com");
    // The authority is answered before the app, its redirects or this page get to see it.
    hythe(&person, &["maintenance:on", "-a", "demo"]);
    let enabled = person.heroku(&["certs:auto:enable", "--wait", "-a", "demo"]);
    assert!(enabled.contains("Your certificate will now be managed"), "{enabled}");
    let root = pebble.root().expect("a root");
    let mut shown = Secure::connect(server.address(), "www.example.com", &root).expect("trusted");
    assert!(shown.ask("www.example.com", "/").expect("an answer").starts_with("HTTP/1.1 "));
    let auto = person.heroku(&["certs:auto", "-a", "demo"]);
    assert!(auto.contains("Cert Issued") || auto.contains("Cert issued"), "{auto}");
    assert!(auto.contains("Renewal scheduled for"), "{auto}");
    let certs = person.heroku(&["certs", "-a", "demo"]);
    assert!(certs.contains("ACM") && certs.contains("www.example.com"), "{certs}");
    let log = person.heroku(&["logs", "-a", "demo", "-n", "50"]);
    assert!(log.contains("Certificate for www.example.com issued by"), "{log}");

    // A name that leads nowhere says so, and recovers once it leads here.
    add("lost.example.com");
    let line = until_status(&person, "lost.example.com", "Failing");
    assert!(line.contains("could not be looked up") || line.contains("does not lead"), "{line}");
    pebble.resolve("lost.example.com");
    let _refreshed = person.heroku(&["certs:auto:refresh", "-a", "demo"]);
    let _line = until_status(&person, "lost.example.com", "Cert");
    Secure::connect(server.address(), "lost.example.com", &root).expect("recovered");
    let admin = person.run(
        person.home(),
        "hythe",
        &["admin", "certificates", "--data-dir", &server.data_dir().display().to_string()],
    );
    let admin = String::from_utf8_lossy(&admin.stdout).into_owned();
    assert!(admin.contains("lost.example.com") && admin.contains("automatic"), "{admin}");

    let token = fs::read_to_string(server.data_dir().join("metrics.token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str())];
    let metrics = ask(server.address(), "GET", "localhost", "/metrics", &headers, b"");
    let metrics = metrics.expect("an answer").body;
    assert!(metrics.contains("hythe_certificate_next_expiry_timestamp_seconds "), "{metrics}");
    assert!(metrics.contains("hythe_certificates_refused 0"), "{metrics}");

    let _disabled = person.heroku(&["certs:auto:disable", "-a", "demo", "--confirm", "demo"]);
    assert!(Secure::connect(server.address(), "www.example.com", &root).is_err());
    let certs = person.heroku(&["certs", "-a", "demo"]);
    assert!(certs.contains("no SSL certificates"), "{certs}");
}

#[test]
fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    let mut pebble = Pebble::new();
    let (server, person) = with_app(&pebble, "");
    pebble.start(server.address().port(), Habits { validity: 21, ..Habits::QUICK });
    pebble.resolve("www.example.com");
    hythe(&person, &["domains:add", "www.example.com", "-a", "demo"]);
    hythe(&person, &["certs:auto:enable", "-a", "demo"]);
    let root = pebble.root().expect("a root");
    let shown = || {
        let shown = Secure::connect(server.address(), "www.example.com", &root);
        shown.map(|shown| shown.certificate()).map_err(|error| error.to_string())
    };
    let first = wait::until("the first", PATIENCE, &shown);
    // At every moment until then, and after it, the certificate in force is a valid one.
    wait::until("the second", PATIENCE, || {
        let now = shown().expect("never without a valid certificate");
        if now == first { Err("still the first".to_owned()) } else { Ok(()) }
    });
}

#[test]
fn an_order_outlives_the_server() {
    let mut pebble = Pebble::new();
    let (mut server, person) = with_app(&pebble, "");
    pebble.start(server.address().port(), Habits { sleep: 6, ..Habits::QUICK });
    pebble.resolve("www.example.com");
    hythe(&person, &["domains:add", "www.example.com", "-a", "demo"]);
    hythe(&person, &["certs:auto:enable", "-a", "demo"]);
    wait::until("the challenge's answer", PATIENCE, || {
        let log = pebble.log();
        if log.contains("to-be-validated") || log.contains("Pulled a task") {
            Ok(())
        } else {
            Err(log)
        }
    });
    server.kill();
    server.start_again();
    let root = pebble.root().expect("a root");
    wait::until("the certificate", PATIENCE, || {
        let shown = Secure::connect(server.address(), "www.example.com", &root);
        shown.map(drop).map_err(|error| format!("{error}\n{}", server.log()))
    });
    let log = pebble.log();
    assert!(log.contains("There are now 1 orders"), "{log}");
    assert!(!log.contains("There are now 2 orders"), "the order was gone on with:\n{log}");
}

#[test]
fn a_server_that_dies_on_the_way_to_a_certificate_goes_on_there() {
    let mut pebble = Pebble::new();
    let (mut server, person) = with_app(&pebble, "");
    pebble.start(server.address().port(), Habits::QUICK);
    hythe(&person, &["certs:auto:enable", "-a", "demo"]);
    let root = pebble.root().expect("a root");
    for step in Step::OF_CERTIFICATES {
        let host = format!("{}.example.com", step.name());
        pebble.resolve(&host);
        server.stop();
        server.start_again_to_crash_at(step.name());
        add_domain(&server, &host);
        wait::until(step.name(), PATIENCE, || {
            if server.has_aborted() { Ok(()) } else { Err("it lives".to_owned()) }
        });
        server.start_again();
        wait::until(&host, PATIENCE, || {
            let shown = Secure::connect(server.address(), &host, &root);
            shown.map(drop).map_err(|error| format!("{error}\n{}", server.log()))
        });
    }
}

/// Adds a domain by the API. The server may die of it.
fn add_domain(server: &Server, host: &str) {
    let body = format!(r#"{{"hostname": "{host}", "sni_endpoint": null}}"#);
    let authorization = format!("Bearer {}", server.token());
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.heroku+json; version=3"),
    ];
    let path = "/apps/demo/domains";
    let _died = ask(server.address(), "POST", "localhost", path, &headers, body.as_bytes());
}

#[test]
fn the_platforms_own_names_get_certificates() {
    let mut pebble = Pebble::new();
    let domain = "domain = \"paas.test\"\n";
    let mut server = Server::start_with(binary(), domain);
    pebble.start(server.address().port(), Habits::QUICK);
    let names = ["paas.test", "api.paas.test", "git.paas.test"];
    names.iter().for_each(|name| pebble.resolve(name));
    server.stop();
    server.set_settings(&format!("{domain}{}", pebble.settings("platform_names = true")));
    server.start_again();
    let root = pebble.root().expect("a root");
    let shown = |name| {
        wait::until(name, PATIENCE, || {
            let shown = Secure::connect(server.address(), name, &root);
            shown.map_err(|error| format!("{error}\n{}", server.log()))
        })
    };
    for name in names {
        shown(name);
    }
    // An app's name is asked for once there is something to see.
    pebble.resolve("demo.paas.test");
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let early = Secure::connect(server.address(), "demo.paas.test", &root);
    assert!(early.is_err(), "not before the first release");
    let _transcript = small_app::push(&server, &person, &dir);
    let answer = shown("demo.paas.test").ask("demo.paas.test", "/").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
