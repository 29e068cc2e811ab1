//! System calls: those that must be refused, and which are not.

use crate::outcome;

/// Makes each forbidden system call with arguments that would be accepted, where that is possible,
/// and prints its name and the answer.
pub fn forbidden_ones() {
    for (name, number, [a, b, c, d, e]) in forbidden().into_iter().chain(of_the_machine()) {
        // SAFETY: pointers are to static strings or null; the calls are expected to be refused, and
        // what they would do if not is to this process alone.
        let done = unsafe { libc::syscall(number, a, b, c, d, e) };
        if done == 0 && name == "clone" {
            std::process::exit(0);
        }
        println!("{name}: {}", outcome(done));
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
        ("unshare net", libc::SYS_unshare, [libc::CLONE_NEWNET as usize, 0, 0, 0, 0]),
        ("unshare time", libc::SYS_unshare, [libc::CLONE_NEWTIME as usize, 0, 0, 0, 0]),
        ("clone", libc::SYS_clone, [new_user | child, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [none, 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("io_uring_enter", libc::SYS_io_uring_enter, [0; 5]),
        ("io_uring_register", libc::SYS_io_uring_register, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0; 5]),
        ("add_key", libc::SYS_add_key, [0; 5]),
        ("request_key", libc::SYS_request_key, [0; 5]),
        ("kexec_load", libc::SYS_kexec_load, [0; 5]),
        ("init_module", libc::SYS_init_module, [0; 5]),
        ("finit_module", libc::SYS_finit_module, [0; 5]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0; 5]),
        ("fsconfig", libc::SYS_fsconfig, [0; 5]),
        ("fsmount", libc::SYS_fsmount, [0; 5]),
        ("fspick", libc::SYS_fspick, [0, path, 0, 0, 0]),
        ("statmount", 457, [0; 5]),
        ("listmount", 458, [0; 5]),
        ("open_tree_attr", 467, [0; 5]),
        ("fsopen", libc::SYS_fsopen, [c"tmpfs".as_ptr() as usize, 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [0, path, 1, 0, 0]),
        ("move_mount", libc::SYS_move_mount, [0; 5]),
        ("mount_setattr", libc::SYS_mount_setattr, [0; 5]),
    ]
}

/// Those that change the machine, or reach its devices.
fn of_the_machine() -> Vec<Call> {
    let path = c"/tmp".as_ptr() as usize;
    let epoch: &'static [i64; 2] = &[0, 0];
    vec![
        ("reboot", libc::SYS_reboot, [0; 5]),
        ("swapon", libc::SYS_swapon, [path, 0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("settimeofday", libc::SYS_settimeofday, [0; 5]),
        ("clock_settime", libc::SYS_clock_settime, [0, epoch.as_ptr() as usize, 0, 0, 0]),
        ("clock_adjtime", libc::SYS_clock_adjtime, [0; 5]),
        ("setdomainname", libc::SYS_setdomainname, [path, 4, 0, 0, 0]),
        ("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
        ("ioperm", libc::SYS_ioperm, [0, 1, 1, 0, 0]),
        ("quotactl", libc::SYS_quotactl, [0; 5]),
        ("kcmp", libc::SYS_kcmp, [1, 1, 0, 0, 0]),
        ("delete_module", libc::SYS_delete_module, [path, 0, 0, 0, 0]),
        ("kexec_file_load", libc::SYS_kexec_file_load, [0; 5]),
        ("lookup_dcookie", libc::SYS_lookup_dcookie, [0; 5]),
        ("memfd_secret", libc::SYS_memfd_secret, [0; 5]),
        ("uselib", libc::SYS_uselib, [path, 0, 0, 0, 0]),
        ("sysfs", libc::SYS_sysfs, [3, 0, 0, 0, 0]),
        ("weak addresses", libc::SYS_personality, [0x0004_0000, 0, 0, 0, 0]),
        ("executable data", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
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

/// Enters the kernel as programs of 32 bits and of the x32 kind do, each in a process of its own, and
/// prints how that process ended.
pub fn other_entries() {
    println!(
        "i386: {}",
        in_child(|| {
            let number: libc::c_long;
            // SAFETY: `getpid`, by its number there; it takes no argument and changes no memory.
            unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => number) };
            number
        })
    );
    println!(
        "x32: {}",
        in_child(|| {
            let number: libc::c_long;
            // SAFETY: as above; the call changes these two registers.
            unsafe {
                std::arch::asm!("syscall", inlateout("rax") 0x4000_0027_i64 => number,
                out("rcx") _, out("r11") _);
            }
            number
        })
    );
}

/// Tries each family and type of sockets, and prints those that there are.
pub fn families() {
    for family in 0..64 {
        for kind in 1..=5 {
            // SAFETY: plain numbers.
            let socket = unsafe { libc::socket(family, kind, 0) };
            if socket >= 0 {
                println!("{family} {kind}");
                // SAFETY: nobody else knows it.
                unsafe { libc::close(socket) };
            }
        }
    }
}

/// Says all that a runtime may grant: capabilities, mounts, what is where in `/dev`, `/sys`, `/proc`
/// and `/`, and which system calls are not refused out of hand.
pub fn survey() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let words = ["Cap", "NoNewPrivs", "Seccomp:", "Groups", "Uid", "Gid"];
    let told = |line: &&str| words.iter().any(|word| line.starts_with(word));
    status.lines().filter(told).for_each(|line| println!("status {line}"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        println!("mount {} {}", fields[4], fields[5]);
    }
    for (directory, depth) in [("/", 1), ("/dev", 3), ("/sys", 4), ("/proc", 2), ("/etc", 1)] {
        walk(directory.as_ref(), depth);
    }
    // The one shares this process's stack, the other takes as long as the machine's disks do.
    let untried = [libc::SYS_vfork, libc::SYS_sync];
    for number in (0..480).filter(|number| !untried.contains(number)) {
        if let Some(answer) = tried(number) {
            println!("call {number} {answer}");
        }
    }
}

/// What is below a directory, and whether it may be read, written and executed.
fn walk(directory: &std::path::Path, depth: u32) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.bytes().all(|byte| byte.is_ascii_digit()) || name == "self" {
            continue;
        }
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the string outlives the calls.
        let may = |how| unsafe { libc::access(text.as_ptr(), how) } == 0;
        let rights = [may(libc::R_OK), may(libc::W_OK), may(libc::X_OK)];
        println!("path {} {rights:?}", path.display());
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, depth - 1);
        }
    }
}

/// Makes a call with arguments that no call can do anything with, in a process of its own. None when
/// it is refused by its number alone.
fn tried(number: libc::c_long) -> Option<String> {
    const WRONG: libc::c_long = -1;
    let answer = in_child(|| {
        // SAFETY: the arguments are no addresses; the process is there for this only.
        let done = unsafe { libc::syscall(number, WRONG, WRONG, WRONG, WRONG, WRONG, WRONG) };
        if done < 0 {
            -libc::c_long::from(std::io::Error::last_os_error().raw_os_error().unwrap())
        } else {
            0
        }
    });
    let refused = [libc::EPERM, libc::ENOSYS].map(|error| format!("answered {}", -error));
    (!refused.contains(&answer)).then_some(answer)
}

/// What a call answers in a process of its own that has a third of a second, or how the process ends.
fn in_child(call: impl FnOnce() -> libc::c_long) -> String {
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: one thread; the child makes one call and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the timer ends a call that does not return; the rest is plain.
        unsafe {
            let mut patience: libc::itimerval = std::mem::zeroed();
            patience.it_value.tv_usec = 300_000;
            libc::setitimer(libc::ITIMER_REAL, &raw const patience, std::ptr::null_mut());
            let number = call();
            let bytes = number.to_ne_bytes();
            libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), bytes.as_ptr().cast(), 8);
            libc::_exit(0);
        }
    }
    drop(writer);
    let mut status = 0;
    // SAFETY: the status outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    let mut bytes = [0; 8];
    match std::io::Read::read_exact(&mut &reader, &mut bytes) {
        Ok(()) => format!("answered {}", libc::c_long::from_ne_bytes(bytes)),
        Err(_) if libc::WIFSIGNALED(status) => format!("signal {}", libc::WTERMSIG(status)),
        Err(_) => "ended".to_owned(),
    }
}
