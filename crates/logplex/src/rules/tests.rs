//! Rules with an HTTP receiver that answers as the test wants.

use std::time::Duration;

use model::drain::Reach;
use model::log::Source;
use model::{AppName, LogSink, Secret, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::Logplex;

/// One request at a time; the answers' statuses in turn, then 200.
struct Receiver {
    url: String,
    bodies: mpsc::Receiver<(String, Value)>,
}

impl Receiver {
    async fn start(statuses: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let (sender, bodies) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut statuses = statuses.into_iter();
            while let Ok((mut socket, _)) = listener.accept().await {
                let Some((head, body)) = request(&mut socket).await else { continue };
                let status = statuses.next().unwrap_or(200);
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
                let body = serde_json::from_slice(&body).expect("JSON");
                if sender.send((head, body)).await.is_err() {
                    return;
                }
            }
        });
        Self { url, bodies }
    }

    async fn next(&mut self) -> (String, Value) {
        timeout(Duration::from_secs(20), self.bodies.recv()).await.expect("in time").expect("more")
    }
}

async fn request(socket: &mut tokio::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length?.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes.split_off(end + 4)));
            }
        }
        let mut part = [0; 4096];
        match socket.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&part[..length]),
        }
    }
}

struct Room {
    logplex: Logplex,
    rules: Rules,
    sink: LogSink,
    app: AppId,
    wanted: watch::Sender<Arc<Vec<LogRule>>>,
    stop: CancellationToken,
}

impl Room {
    fn start() -> Self {
        let (sink, receiver, lost) = LogSink::channel(8192);
        let logplex = crate::start(receiver, lost, crate::Config::default()).expect("a thread");
        let (wanted, rules) = watch::channel(Arc::default());
        let mut doors = drains::Config::new(|_| Err(std::io::ErrorKind::Unsupported.into()));
        doors.reach = Reach { networks: vec!["127.0.0.0/8".parse().expect("a network")] };
        let retries = vec![Duration::from_millis(10), Duration::from_millis(20)];
        let config = Config { doors, mail: None, retries };
        let stop = CancellationToken::new();
        let rules = logplex
            .start_rules(rules, config, &TaskTracker::new(), stop.clone())
            .expect("authorities");
        Self { logplex, rules, sink, app: AppId::random(), wanted, stop }
    }

    fn rule(&self, pattern: Pattern, url: &str, every: Duration) -> LogRule {
        LogRule {
            id: LogRuleId::random(),
            app: self.app,
            app_name: "demo".parse::<AppName>().expect("a name"),
            name: "errors".into(),
            pattern,
            dyno: Some("web".into()),
            source: None,
            target: Target::Webhook {
                url: url.parse().expect("a URL"),
                secret: Secret::new("s3cret"),
            },
            every,
            created_at: Timestamp::now(),
        }
    }

    /// Sets the rules, and waits until they are at work.
    async fn set(&self, rules: Vec<LogRule>) {
        let ids: Vec<_> = rules.iter().map(|rule| rule.id).collect();
        self.wanted.send_replace(Arc::new(rules));
        self.until(|| ids.iter().all(|id| self.rules.status(*id).is_some())).await;
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        let waited = timeout(Duration::from_secs(20), async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("in time");
    }

    fn say(&self, text: &str) {
        self.sink.say(self.app, Source::App, "web.1", text);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stop.cancel();
        self.logplex.shutdown(&self.sink);
    }
}

fn words(text: &str) -> Pattern {
    Pattern::Words(text.into())
}

#[tokio::test]
async fn the_first_match_is_told_at_once_and_later_ones_together() {
    let room = Room::start();
    let mut receiver = Receiver::start(vec![]).await;
    let rule = room.rule(words("error -ignored"), &receiver.url, Duration::from_secs(1));
    room.set(vec![rule.clone()]).await;
    room.say("fine");
    room.say("Error: first");
    let (head, body) = receiver.next().await;
    assert!(head.starts_with("post /hook http/1.1"), "{head}");
    assert!(head.contains("heroku-webhook-hmac-sha256: "), "{head}");
    assert_eq!(body["event"], "log.match");
    assert_eq!(body["matched"], 1);
    assert_eq!(body["rule"]["pattern"], "error -ignored");
    assert_eq!(body["lines"][0]["message"], "Error: first");
    assert_eq!(body["lines"][0]["dyno"], "web.1");
    for n in 0..100 {
        room.say(&format!("error {n}"));
        room.say("error ignored");
        room.sink.say(room.app, Source::App, "worker.1", "error");
    }
    let (_, body) = receiver.next().await;
    assert_eq!(body["matched"], 100);
    assert_eq!(body["not_shown"], 80);
    assert_eq!(body["lines"][19]["message"], "error 99");
    room.until(|| room.rules.status(rule.id).is_some_and(|status| status.sent == 2)).await;
    let status = room.rules.status(rule.id).expect("at work");
    assert_eq!((status.matched, status.failed, status.untold), (101, 0, 0));
}

#[tokio::test]
async fn what_did_not_arrive_is_tried_again_shown_and_told_with_the_next() {
    let room = Room::start();
    let mut receiver = Receiver::start(vec![503, 503, 503, 404]).await;
    let every = Duration::from_millis(100);
    let rule = room.rule(Pattern::Regex("^E[0-9]+$".into()), &receiver.url, every);
    room.set(vec![rule.clone()]).await;
    room.say("E1");
    let ids: Vec<_> = [receiver.next().await, receiver.next().await, receiver.next().await]
        .map(|(_, body)| body["id"].to_string())
        .to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "each try is the same message: {ids:?}");
    // The second message is refused for good, so it is not tried again.
    receiver.next().await;
    room.until(|| room.rules.status(rule.id).is_some_and(|status| status.failed == 2)).await;
    room.say("E2");
    let (_, body) = receiver.next().await;
    assert_eq!(body["matched"].as_u64().map(|matched| matched >= 1), Some(true));
    assert_eq!(body["lines"][0]["message"], "E1");
    room.until(|| {
        room.rules.status(rule.id).is_some_and(|status| status.sent > 0 && status.untold == 0)
    })
    .await;
    let status = room.rules.status(rule.id).expect("at work");
    assert_eq!((status.matched, status.last_error), (2, None));
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other_rule_and_no_line() {
    let room = Room::start();
    let mut receiver = Receiver::start(vec![]).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", hanging.local_addr().expect("bound"));
    let every = Duration::from_millis(1);
    let stuck: Vec<_> = (0..3).map(|_| room.rule(words("error"), &url, every)).collect();
    let good = room.rule(words("error"), &receiver.url, every);
    room.set(stuck.into_iter().chain([good]).collect()).await;
    let mut seen = 0;
    for _ in 0..20 {
        room.say("error");
        let (_, body) = receiver.next().await;
        seen += body["matched"].as_u64().expect("a number");
    }
    assert_eq!(seen, 20);
}

#[tokio::test]
async fn without_a_mail_server_the_status_says_so() {
    let room = Room::start();
    let address = "you@example.com".to_owned();
    let rule = LogRule {
        target: Target::Email { address },
        ..room.rule(words("error"), "http://example.com/", Duration::from_secs(60))
    };
    room.set(vec![rule.clone()]).await;
    let refused = room.rules.test(rule.id).await.expect_err("no mail");
    assert!(refused.contains("[mail]"), "{refused}");
    assert_eq!(room.rules.status(rule.id).expect("at work").last_error, Some(refused));
}

#[test]
fn bad_patterns_are_refused_with_a_reason() {
    assert!(check(&words("\"open")).expect_err("refused").contains("quote"));
    assert!(check(&words("")).is_err());
    assert!(check(&Pattern::Regex("(".into())).is_err());
    assert!(check(&Pattern::Regex("(a{1000}){1000}".into())).is_err(), "too large");
    assert_eq!(check(&Pattern::Regex("^a+$".into())), Ok(()));
}
