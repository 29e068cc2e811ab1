//! Takes as much of one thing as it can get, and prints how often it was given.

use std::fs::File;
use std::io::{Error, Write};
use std::mem::forget;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;

/// One more than any of them may give.
const ENDLESS: usize = 1_000_000;

const MIB: usize = 1 << 20;

/// Sets off the bomb of this name and answers how often it was given something.
pub fn set_off(name: &str, arguments: &[&str]) -> usize {
    match name {
        "descriptors" => take(|| File::open("/dev/null").map(forget)),
        "inotify" => take(watcher),
        "memfd" => take(memory_file),
        "shared" => take(shared_memory),
        "messages" => take(message_queue),
        "queues" => take(posix_queue),
        "signals" => signals(),
        "pipes" => take(full_pipe),
        "sockets" => take(full_socket),
        "connections" => connections(),
        "datagrams" => datagrams(arguments[0], arguments[1].parse().unwrap()),
        other => panic!("no such bomb: {other}"),
    }
}

fn take(mut one: impl FnMut() -> Result<(), Error>) -> usize {
    let given = (0..ENDLESS).take_while(|_| one().is_ok()).count();
    assert!(given < ENDLESS, "nothing stops it");
    given
}

fn watcher() -> Result<(), Error> {
    // SAFETY: a plain number; the descriptor stays open.
    if unsafe { libc::inotify_init1(0) } < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

fn memory_file() -> Result<(), Error> {
    // SAFETY: a static string; the descriptor is nobody else's.
    let fd = unsafe { libc::memfd_create(c"bomb".as_ptr(), 0) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: as above.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(&vec![1; MIB])?;
    forget(file);
    Ok(())
}

/// System V memory that belongs to no process once it is let go.
fn shared_memory() -> Result<(), Error> {
    // SAFETY: the segment is written to within its length only.
    unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, 4 * MIB, 0o600);
        if id < 0 {
            return Err(Error::last_os_error());
        }
        let at = libc::shmat(id, std::ptr::null(), 0);
        if at as isize == -1 {
            return Err(Error::last_os_error());
        }
        std::ptr::write_bytes(at.cast::<u8>(), 1, 4 * MIB);
        libc::shmdt(at);
    }
    Ok(())
}

fn message_queue() -> Result<(), Error> {
    // SAFETY: a plain number; the message is as long as is said, its type aside.
    unsafe {
        let id = libc::msgget(libc::IPC_PRIVATE, 0o600);
        if id < 0 {
            return Err(Error::last_os_error());
        }
        let message = [1_u64; 1025];
        while libc::msgsnd(id, message.as_ptr().cast(), 8192, libc::IPC_NOWAIT) == 0 {}
    }
    Ok(())
}

fn posix_queue() -> Result<(), Error> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = std::ffi::CString::new(format!("/bomb-{number}")).unwrap();
    let flags = libc::O_CREAT | libc::O_RDWR;
    // SAFETY: the name outlives the call; a null pointer asks for the usual size.
    let fd = unsafe {
        libc::mq_open(name.as_ptr(), flags, 0o600, std::ptr::null_mut::<libc::mq_attr>())
    };
    if fd < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Signals that wait for this process.
fn signals() -> usize {
    // SAFETY: the set is made before it is read; the signal is blocked.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGRTMIN());
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
    let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
    take(|| {
        // SAFETY: plain numbers.
        let done = unsafe { libc::sigqueue(libc::getpid(), libc::SIGRTMIN(), value) };
        if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    })
}

fn full_pipe() -> Result<(), Error> {
    let (reader, mut writer) = std::io::pipe()?;
    unblock(&writer);
    while writer.write(&[1; 4096]).is_ok() {}
    forget((reader, writer));
    Ok(())
}

fn full_socket() -> Result<(), Error> {
    let (one, other) = UnixStream::pair()?;
    for mut end in [&one, &other] {
        end.set_nonblocking(true)?;
        while end.write(&[1; 65_536]).is_ok() {}
    }
    forget((one, other));
    Ok(())
}

/// TCP connections to itself, with all that goes into them waiting.
fn connections() -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    take(|| {
        let one = TcpStream::connect(address)?;
        let (other, _) = listener.accept()?;
        for mut end in [&one, &other] {
            end.set_nonblocking(true)?;
            while end.write(&[1; 65_536]).is_ok() {}
        }
        forget((one, other));
        Ok(())
    })
}

/// One datagram to each of so many ports of an address, from a new port each. Counts those sent.
fn datagrams(address: &str, count: u16) -> usize {
    let mut sent = 0;
    for _ in 0..count / 1000 {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        sent += (1..=1000).filter(|port| socket.send_to(b"x", (address, *port)).is_ok()).count();
    }
    sent
}

fn unblock(pipe: &impl AsRawFd) {
    // SAFETY: plain numbers.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}
