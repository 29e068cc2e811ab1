//! The log room from outside: real sockets, real files.

mod drains;
