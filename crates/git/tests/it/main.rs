//! Git over HTTP with real git against the real routes, hook and control plane. Only the builder is
//! a stand-in: it does what a pushed file's name tells it.

mod access;
mod builder;
mod client;
mod fetching;
mod hostile;
mod platform;
mod pushing;
mod sizes;
mod turns;
