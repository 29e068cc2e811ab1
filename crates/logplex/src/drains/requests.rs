//! The task of a drain over HTTP: batches of lines as requests that are answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use model::Secret;
use model::drain::{Form, Url};
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::client::{Answer, AskError, Client};
use super::frame::Framer;
use super::otlp;
use super::outlet::Outlet;
use crate::record::Record;

/// Bytes of lines in one request, about (Heroku: 102,400).
const BATCH: usize = 102_400;

/// Lines in one request.
const BATCH_LINES: usize = 1_024;

/// So many lines are worth a request at once.
const ENOUGH: usize = 256;

/// A batch is tried at least so often.
const LEAST_TRIES: u32 = 3;

/// Sends lines until the drain is to end. What has not arrived then goes back to the buffer.
pub(crate) async fn run(outlet: &Outlet) {
    let url = &outlet.drain.url;
    let timing = &outlet.house.config.timing;
    let (tongue, url, patience) = match &outlet.drain.form {
        Form::Logplex => (Tongue::Logplex(Box::new(Framer::http())), url.clone(), timing.request),
        Form::Otlp(_) => {
            let path = otlp::path(&url.path);
            (Tongue::Otlp, url.clone().with_path(path), timing.otlp_request)
        }
    };
    let mut courier = Courier {
        outlet,
        tongue,
        headers: headers(outlet, &url),
        client: Client::new(&outlet.house, &url, patience),
        batch: Vec::new(),
    };
    // Dropped, the work has left its lines in `batch`, in the buffer or with the receiver.
    tokio::select! {
        () = courier.work() => {}
        () = outlet.quit.at_once() => {}
    }
    outlet.buffer.push_kept(None, courier.batch);
}

/// How lines are said.
enum Tongue {
    Logplex(Box<Framer>),
    Otlp,
}

struct Courier<'a> {
    outlet: &'a Outlet,
    tongue: Tongue,
    headers: HeaderMap,
    client: Client<'a>,
    batch: Vec<Arc<Record>>,
}

/// What became of a batch.
enum Verdict {
    /// Taken, but for so many lines.
    Taken { refused: u64, why: String },
    /// It will never be taken.
    Refused(String),
    /// Worth another try, not before this time.
    Again { why: String, wait: Option<std::time::Duration> },
}

impl Courier<'_> {
    async fn work(&mut self) {
        while self.has_something().await {
            let quit = &self.outlet.quit;
            if !quit.is_asked() && self.outlet.buffer.len() < ENOUGH {
                // One request for what comes within a moment.
                quit.pause(self.outlet.house.config.timing.gather).await;
            }
            self.batch = self.outlet.buffer.take(BATCH_LINES, BATCH);
            if self.batch.is_empty() {
                continue;
            }
            self.deliver().await;
            self.batch.clear();
        }
    }

    async fn has_something(&mut self) -> bool {
        while self.outlet.buffer.is_empty() {
            let rests_at = self.client.rests_at();
            let rest = sleep_until(rests_at.unwrap_or_else(Instant::now));
            // All only watch: dropping one loses nothing.
            tokio::select! {
                () = self.outlet.buffer.ready() => {}
                () = self.outlet.quit.asked() => return !self.outlet.buffer.is_empty(),
                () = rest, if rests_at.is_some() => self.client.hang_up(),
            }
        }
        true
    }

    /// Sends the batch until it is taken or refused, or was tried for long enough.
    async fn deliver(&mut self) {
        let (headers, body) = self.parcel();
        let timing = &self.outlet.house.config.timing;
        let mut backoff = Backoff::new(timing.first_retry, timing.longest_retry);
        let (begun, mut tries) = (Instant::now(), 0);
        loop {
            tries += 1;
            let (why, wait) = match self.attempt(&headers, &body).await {
                Verdict::Taken { refused, why } => return self.taken(refused, why),
                Verdict::Refused(why) => return self.lost(why),
                Verdict::Again { why, wait } => (why, wait),
            };
            self.client.hang_up();
            let asked = wait.unwrap_or_default().min(timing.longest_retry_after);
            if tries >= LEAST_TRIES && begun.elapsed() + asked >= timing.give_up {
                return self.lost(why);
            }
            self.outlet.book.failed(why);
            self.outlet.quit.pause(backoff.after_failure().max(asked)).await;
            if self.outlet.quit.stop.is_cancelled() {
                // No more than a try a second in the moment that is left.
                tokio::time::sleep(timing.first_retry.max(asked)).await;
            }
        }
    }

    async fn attempt(&mut self, headers: &HeaderMap, body: &Bytes) -> Verdict {
        match self.client.ask(headers, body).await {
            Ok(answer) => match &self.tongue {
                Tongue::Logplex(_) => logplex_verdict(&answer),
                Tongue::Otlp => otlp_verdict(&answer),
            },
            Err(error) => {
                if let AskError::Dial(error) = &error {
                    self.outlet.not_reached(error);
                }
                Verdict::Again { why: error.to_string(), wait: None }
            }
        }
    }

    fn taken(&self, refused: u64, why: String) {
        if let Some(last) = self.batch.last().filter(|_| refused > 0) {
            self.outlet.buffer.lose_some(refused.min(self.batch.len() as u64), last);
        }
        self.outlet.book.delivered(&self.batch, refused);
        self.outlet.book.reached(self.batch.iter().map(|record| record.id).max().unwrap_or(0));
        if refused > 0 {
            self.outlet.book.failed(why);
        }
    }

    fn lost(&self, why: String) {
        self.outlet.buffer.lose(&self.batch);
        self.outlet.book.failed(why);
    }

    /// The batch as it travels; the same for each try.
    fn parcel(&mut self) -> (HeaderMap, Bytes) {
        let mut headers = self.headers.clone();
        let body = match &mut self.tongue {
            Tongue::Logplex(framer) => {
                let mut body = Vec::with_capacity(BATCH + BATCH / 4);
                self.batch.iter().for_each(|record| framer.write(record, &mut body));
                headers.insert("logplex-msg-count", HeaderValue::from(self.batch.len()));
                let frame = uuid::Uuid::new_v4().simple().to_string().to_ascii_uppercase();
                headers.extend(value(&frame).map(|value| (LOGPLEX_FRAME_ID, value)));
                body
            }
            Tongue::Otlp => otlp::encode(&self.outlet.drain, &self.batch),
        };
        (headers, Bytes::from(body))
    }
}

const LOGPLEX_FRAME_ID: HeaderName = HeaderName::from_static("logplex-frame-id");

fn logplex_verdict(answer: &Answer) -> Verdict {
    let why = format!("the receiver answered {}", answer.status);
    match answer.status {
        status if status.is_success() => Verdict::Taken { refused: 0, why },
        StatusCode::TOO_MANY_REQUESTS => Verdict::Again { why, wait: answer.retry_after },
        status if status.is_client_error() => Verdict::Refused(why),
        _ => Verdict::Again { why, wait: answer.retry_after },
    }
}

/// Which answers are worth another try: OpenTelemetry Protocol Specification, "Failures".
fn otlp_verdict(answer: &Answer) -> Verdict {
    let why = format!("the receiver answered {}", answer.status);
    match answer.status.as_u16() {
        200..=299 => match otlp::partial_success(&answer.body) {
            Some((refused, message)) => {
                let why = format!("the receiver refused {refused} lines: {message}");
                Verdict::Taken { refused, why }
            }
            None => Verdict::Taken { refused: 0, why },
        },
        429 | 502 | 503 | 504 => Verdict::Again { why, wait: answer.retry_after },
        _ => Verdict::Refused(why),
    }
}

/// What all requests of a drain have in common.
fn headers(outlet: &Outlet, url: &Url) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.extend(value(&url.authority()).map(|host| (HOST, host)));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("Logplex/Hythe-", env!("CARGO_PKG_VERSION"))),
    );
    if let Some(login) = &url.login {
        let pair = Secret::new(format!("{}:{}", login.user, login.password.reveal()));
        let basic = format!("Basic {}", STANDARD.encode(pair.reveal()));
        headers.extend(secret(&basic).map(|value| (AUTHORIZATION, value)));
    }
    match &outlet.drain.form {
        Form::Logplex => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/logplex-1"));
            let token = model::drain::token(outlet.drain.id);
            let name = HeaderName::from_static("logplex-drain-token");
            headers.extend(value(&token).map(|token| (name, token)));
        }
        Form::Otlp(own) => {
            headers.extend(own_headers(own));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        }
    }
    headers
}

fn own_headers(own: &BTreeMap<String, Secret>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    own.iter().filter_map(|(name, text)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, secret(text.reveal())?))
    })
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = value(text)?;
    value.set_sensitive(true);
    Some(value)
}
