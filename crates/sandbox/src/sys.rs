//! The system calls that have no safe face elsewhere. Every `unsafe` of the program is in this file.
#![allow(unsafe_code, reason = "this file is the fence around it: small functions, safe to call")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, Uid, fork, seteuid};

/// What to change about a detached mount tree, submounts included.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountAttributes<'a> {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// User namespace whose mapping the tree's ids are shown through.
    pub ids: Option<BorrowedFd<'a>>,
}

/// Takes a descriptor into ownership that the kernel has just given us.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass a descriptor the kernel has installed for this process and that nobody
    // else has been told of.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A detached copy of the mounts at `path`, below included.
pub fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let recursive = libc::AT_RECURSIVE.cast_unsigned();
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | recursive;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    descriptor(fd)
}

/// Changes a detached mount tree as a whole.
pub fn mount_setattr(tree: BorrowedFd<'_>, change: MountAttributes<'_>) -> io::Result<()> {
    let idmap = if change.ids.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = libc::mount_attr {
        attr_set: change.set | idmap,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: change.ids.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is a static empty string, `attributes` is of the size that is passed and
    // outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(done)
}

/// Attaches a detached mount tree at `target`, an open path.
pub fn move_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are static empty strings.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    check(done)
}

/// Closes every descriptor but the standard ones. To be called before anything here owns another.
pub fn close_inherited() -> io::Result<()> {
    close_range(3, u32::MAX)
}

/// Closes every descriptor but standard input and `kept`. For a forked child that will end without
/// dropping any of the parent's values.
pub fn close_all_but_stdin_and(kept: RawFd) -> io::Result<()> {
    let kept = kept.cast_unsigned();
    if kept > 1 {
        close_range(1, kept - 1)?;
    }
    close_range(kept + 1, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: both callers see to it that no value that is still used owns one of these.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(done)
}

/// A descriptor that becomes readable when the process ends.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    descriptor(fd)
}

/// Waits until something can be read, or a process has ended; false when that takes longer than
/// `patience`. A signal that is handled meanwhile does not end the waiting.
pub fn wait_readable(fd: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

/// Forks; the child runs `body` and never returns. The shim has one thread, so the child may do
/// what any program may.
pub fn fork_into(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: the shim is single-threaded by design, so no lock can be held by a thread that does
    // not exist in the child.
    match unsafe { fork()? } {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = body();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(status) }
        }
    }
}

/// As [`fork_into`], but the child is one of this process's own parent.
pub fn fork_sibling(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: as in `fork_into`; without a new stack or shared memory the call is a fork. The C
    // library is not told of it, and keeps nothing that the child would miss.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    check(pid)?;
    if pid == 0 {
        let status = body();
        // SAFETY: as in `fork_into`.
        unsafe { libc::_exit(status) }
    }
    Ok(Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?))
}

/// Has the command begin with no signal blocked, whatever this process blocks. Not every OCI runtime
/// sees to that for its container.
pub fn unblock_signals_of(command: &mut Command) {
    let unblock = || SigSet::all().thread_unblock().map_err(io::Error::from);
    // SAFETY: it runs between fork and exec, and does nothing but one system call.
    unsafe { command.pre_exec(unblock) };
}

/// Has the command end with this process, from before its program begins.
pub fn end_with_us(command: &mut Command) {
    let us = Pid::this();
    // SAFETY: it runs between fork and exec, and does nothing but two system calls.
    unsafe { command.pre_exec(move || end_with(us)) };
}

/// Has the calling process, a child of `parent`, end with it. A change of users after that undoes it.
pub fn end_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // It may have been killed before that.
    if Pid::parent() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
}

/// Has the command begin with these limits, which are not above its starter's own.
pub fn limit<const N: usize>(command: &mut Command, limits: &[(Resource, u64); N]) {
    let limits = *limits;
    let set = move || {
        limits.iter().try_for_each(|(resource, limit)| Ok(setrlimit(*resource, *limit, *limit)?))
    };
    // SAFETY: it runs between fork and exec, and does nothing but system calls.
    unsafe { command.pre_exec(set) };
}

/// Acts for another user from here on, with all the rights of root.
pub fn keep_rights_as(user: Uid) -> io::Result<()> {
    const NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP) }.into())?;
    Ok(seteuid(user)?)
}

/// Sets every signal to its default action, whatever the starter had ignored.
pub fn default_signals() {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: no handler is installed; the calls that are refused (KILL, STOP) change nothing.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// Lets finished children vanish without being waited for.
pub fn ignore_children() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Gives up every capability but the one to send signals, for good.
pub fn keep_only_kill() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_KILL: u32 = 5;
    let header = [VERSION_3, 0];
    let kept = 1_u32 << CAP_KILL;
    // Effective, permitted, inheritable; low words first, then the high ones.
    let sets = [kept, kept, 0, 0, 0, 0_u32];
    // SAFETY: header and sets have the layout of version 3 and outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    check(done)
}

/// Binds a raw route-netlink socket to the present network namespace.
pub fn route_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    descriptor(fd.into())
}

/// State of a loop device, as the kernel's `loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LoopInfo {
    /// Device number of the file system that holds the image.
    pub device: u64,
    /// Inode of the image.
    pub inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    /// `LO_FLAGS_*`.
    pub flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;

/// The image is not written to.
pub const LO_FLAGS_READ_ONLY: u32 = 1;
/// The device lets go of its image when its last user has gone.
pub const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Number of a loop device that nobody uses at this moment.
pub fn free_loop_device(control: &File) -> io::Result<i32> {
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(number) }
}

/// Puts an image behind a loop device.
pub fn configure_loop(device: &File, image: &File, flags: u32) -> io::Result<()> {
    // SAFETY: an all-zero value is valid for this structure of integers.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = image.as_raw_fd().cast_unsigned();
    config.info.flags = flags;
    // SAFETY: the structure has the kernel's layout and outlives the call.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    check(done.into())
}

/// What is behind a loop device; an error when nothing is.
pub fn loop_info(device: &File) -> io::Result<LoopInfo> {
    // SAFETY: an all-zero value is valid for this structure of integers.
    let mut info: LoopInfo = unsafe { std::mem::zeroed() };
    // SAFETY: the structure has the kernel's layout and outlives the call.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    check(done.into())?;
    Ok(info)
}

/// Makes room for `bytes` in a pipe; answers nothing because less room is no failure.
pub fn widen_pipe(pipe: impl AsFd, bytes: i32) {
    // SAFETY: plain numbers on an open descriptor.
    unsafe { libc::fcntl(pipe.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

fn descriptor(fd: libc::c_long) -> io::Result<OwnedFd> {
    check(fd)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    Ok(own(fd))
}

fn check(done: libc::c_long) -> io::Result<()> {
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes that were written to a TCP socket and that the other side has not acknowledged. Still
/// known after the connection broke.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int through the pointer, which is valid for the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    Errno::result(done)?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// The kernel's `struct tcp_info` of a socket, as far as it fits and the kernel knows it.
pub fn tcp_info(socket: BorrowedFd<'_>, info: &mut [u8]) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(info.len()).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is at least as long.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(done)?;
    Ok(length as usize)
}
