//! HTTP/2 as browsers speak it, as nobody should, and as attackers do.

pub mod client;
mod floods;
mod frames;
mod programs;
mod rfc9113;
mod streams;
