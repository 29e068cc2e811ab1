//! What the tests try from inside a dyno. Prints what came of it.
#![allow(unsafe_code, reason = "it makes the system calls that a dyno must not make")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is part of the tests")]
#![allow(clippy::cast_possible_truncation, reason = "flags of system calls are small")]

mod bombs;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["calls"] => calls(),
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

/// Makes each forbidden system call with arguments that would be accepted, where that is possible,
/// and prints its name and the answer.
fn calls() {
    for (name, number, [a, b, c, d, e]) in forbidden() {
        // SAFETY: pointers are to static strings or null; the calls are expected to be refused, and
        // what they would do if not is to this process alone.
        let done = unsafe { libc::syscall(number, a, b, c, d, e) };
        let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        if done == 0 && name == "clone" {
            std::process::exit(0);
        }
        let answer = match (done, error) {
            (0.., _) => "done".to_owned(),
            (_, libc::EPERM) => "EPERM".to_owned(),
            (_, libc::ENOSYS) => "ENOSYS".to_owned(),
            (_, other) => format!("error {other}"),
        };
        println!("{name}: {answer}");
    }
}

type Call = (&'static str, libc::c_long, [usize; 5]);

/// Names, numbers and arguments.
fn forbidden() -> Vec<Call> {
    let path = c"/tmp".as_ptr() as usize;
    let none = 0_usize;
    let new_user = libc::CLONE_NEWUSER as usize;
    let child = libc::SIGCHLD as usize;
    vec![
        ("mount", libc::SYS_mount, [path, path, none, libc::MS_BIND as usize, 0]),
        ("umount2", libc::SYS_umount2, [path, 0, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [path, path, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0]),
        ("unshare", libc::SYS_unshare, [new_user, 0, 0, 0, 0]),
        ("clone", libc::SYS_clone, [new_user | child, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [none, 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0; 5]),
        ("add_key", libc::SYS_add_key, [0; 5]),
        ("request_key", libc::SYS_request_key, [0; 5]),
        ("kexec_load", libc::SYS_kexec_load, [0; 5]),
        ("init_module", libc::SYS_init_module, [0; 5]),
        ("finit_module", libc::SYS_finit_module, [0; 5]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5]),
        ("fsopen", libc::SYS_fsopen, [c"tmpfs".as_ptr() as usize, 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, path, 1, 0, 0]),
        ("move_mount", libc::SYS_move_mount, [0; 5]),
        ("mount_setattr", libc::SYS_mount_setattr, [0; 5]),
        ("reboot", libc::SYS_reboot, [0; 5]),
        ("swapon", libc::SYS_swapon, [path, 0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("settimeofday", libc::SYS_settimeofday, [0; 5]),
        ("sethostname", libc::SYS_sethostname, [path, 4, 0, 0, 0]),
        ("acct", libc::SYS_acct, [0; 5]),
        ("fanotify_init", libc::SYS_fanotify_init, [0; 5]),
        (
            "packet socket",
            libc::SYS_socket,
            [libc::AF_PACKET as usize, libc::SOCK_RAW as usize, 0, 0, 0],
        ),
        (
            "raw socket",
            libc::SYS_socket,
            [libc::AF_INET as usize, libc::SOCK_RAW as usize, 1, 0, 0],
        ),
        ("vsock", libc::SYS_socket, [libc::AF_VSOCK as usize, libc::SOCK_STREAM as usize, 0, 0, 0]),
        (
            "alg socket",
            libc::SYS_socket,
            [libc::AF_ALG as usize, libc::SOCK_SEQPACKET as usize, 0, 0, 0],
        ),
        (
            "mknod",
            libc::SYS_mknod,
            [c"/tmp/device".as_ptr() as usize, libc::S_IFBLK as usize | 0o600, 0x700, 0, 0],
        ),
    ]
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
