//! Drains against receivers that behave and that do not. In every test the identity is checked:
//! lines sent = unique lines received + losses reported.

mod bed;
mod http_faults;
mod load;
mod real;
mod receiver;
mod restarts;
mod tcp_faults;
mod tls;
