//! HTTP/2 as browsers speak it: the same answers, rules and log lines as over HTTP/1.1.

mod client;
mod streams;
