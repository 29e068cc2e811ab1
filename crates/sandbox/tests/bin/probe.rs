//! What the tests try from inside a dyno. Prints what came of it.
#![allow(unsafe_code, reason = "it makes the system calls that a dyno must not make")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is part of the tests")]
#![allow(clippy::cast_possible_truncation, reason = "flags of system calls are small")]

mod bombs;
mod calls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["calls"] => calls::forbidden_ones(),
        ["entries"] => calls::other_entries(),
        ["families"] => calls::families(),
        ["survey"] => calls::survey(),
        ["programs"] => programs(),
        ["spoof", address] => spoof(address),
        ["hog", megabytes] => hog(megabytes.parse().unwrap()),
        ["forks"] => forks(),
        ["bomb", name, arguments @ ..] => println!("{}", bombs::set_off(name, arguments)),
        ["hold", name, arguments @ ..] => hold(name, arguments),
        ["connect", addresses @ ..] => addresses.iter().for_each(|address| connect(address)),
        ["serve", port, answer] => serve(port.parse().unwrap(), answer),
        ["namespaces"] => namespaces(),
        ["descriptors"] => descriptors(),
        other => panic!("no such probe: {other:?}"),
    }
    ExitCode::SUCCESS
}

/// Takes memory and writes to all of it.
fn hog(megabytes: usize) {
    let mut taken = Vec::new();
    for _ in 0..megabytes {
        taken.push(vec![1_u8; 1 << 20]);
    }
    println!("took {}", taken.len());
}

/// Forks until it is refused, and prints how often it was not.
fn forks() {
    let mut made = 0;
    loop {
        // SAFETY: one thread; the child only sleeps.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: no arguments.
                unsafe { libc::pause() };
            },
            1.. => made += 1,
            _ => break,
        }
        assert!(made < 100_000, "nothing stops it");
    }
    println!("{made}");
}

/// Sets off a bomb and keeps what it has got.
fn hold(name: &str, arguments: &[&str]) {
    println!("{}", bombs::set_off(name, arguments));
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

fn connect(address: &str) {
    let parsed: SocketAddr = address.parse().unwrap();
    let answer = match TcpStream::connect_timeout(&parsed, Duration::from_millis(700)) {
        Ok(mut stream) => {
            let mut text = String::new();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let _ = stream.read_to_string(&mut text);
            format!("connected {text}")
        }
        Err(error) => format!("{:?}", error.kind()),
    };
    println!("{address}: {answer}");
}

/// Answers every connection with the same words.
fn serve(port: u16, answer: &str) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("listening");
    for connection in listener.incoming() {
        let mut connection = connection.unwrap();
        let _ = connection.write_all(answer.as_bytes());
    }
}

/// Sends from an address that is not its own.
fn spoof(target: &str) {
    // SAFETY: the structures are the kernel's and outlive the calls.
    let answer = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let on: libc::c_int = 1;
        for option in [libc::IP_FREEBIND, libc::IP_TRANSPARENT] {
            let size = size_of_val(&on) as u32;
            let done =
                libc::setsockopt(socket, libc::IPPROTO_IP, option, (&raw const on).cast(), size);
            println!("option {option}: {}", outcome(done.into()));
        }
        let mut own: libc::sockaddr_in = std::mem::zeroed();
        own.sin_family = libc::AF_INET as u16;
        own.sin_addr.s_addr = u32::from_ne_bytes([198, 51, 100, 99]);
        let size = size_of_val(&own) as u32;
        println!("bind: {}", outcome(libc::bind(socket, (&raw const own).cast(), size).into()));
        UdpSocket::from_raw_fd(socket).send_to(b"x", target)
    };
    println!("send: {answer:?}");
}

/// Whether a call was done, or how it was refused.
fn outcome(done: libc::c_long) -> String {
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    match (done, error) {
        (0.., _) => "done".to_owned(),
        (_, libc::EPERM) => "EPERM".to_owned(),
        (_, libc::ENOSYS) => "ENOSYS".to_owned(),
        (_, other) => format!("error {other}"),
    }
}

/// Looks at the programs of all processes again and again, tries to write to each that it has not
/// seen yet, and says so. Never ends.
fn programs() {
    let mut seen = std::collections::HashSet::new();
    println!("looking");
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let program = entry.path().join("exe");
            let Ok(name) = std::fs::read_link(&program) else { continue };
            if seen.insert(name.clone()) {
                let written = std::fs::OpenOptions::new().write(true).open(&program).is_ok();
                println!("{} {written}", name.display());
            }
        }
    }
}

fn namespaces() {
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        println!("{}", std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display());
    }
}

fn descriptors() {
    for number in 0..1024 {
        // SAFETY: plain numbers.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0 {
            println!("{number}");
        }
    }
}
