//! Which system calls a dyno may make.
//!
//! An allow-list. What is not on it answers "no such call", which programs and C libraries take as
//! "this kernel is older" and work around; what programs are known to try and must not do answers
//! "not permitted". Most of the latter would be refused by the missing capabilities alone: this is
//! the second fence, and it keeps the kernel's rarely used corners out of reach.

use serde_json::{Value, json};

/// Flags of `clone` that make namespaces.
const NEW_NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Execution domains that only change how addresses or times look.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const NO_SUCH_CALL: u32 = libc::ENOSYS.cast_unsigned();
const NOT_PERMITTED: u32 = libc::EPERM.cast_unsigned();

/// The profile in the OCI's form.
#[must_use]
pub fn profile() -> Value {
    let mut rules = vec![
        json!({ "names": allowed(), "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": &REFUSED[..], "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_PERMITTED }),
        allow_if("clone", &[masked(0, NEW_NAMESPACES, 0)]),
    ];
    for domain in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        rules.push(allow_if("socket", &[equal(0, domain.into())]));
    }
    // Programs list their interfaces by it.
    let route = [equal(0, libc::AF_NETLINK.into()), equal(2, libc::NETLINK_ROUTE.into())];
    rules.push(allow_if("socket", &route));
    for domain in PERSONALITIES {
        rules.push(allow_if(
            "personality",
            &[json!({
                "index": 0, "value": domain, "op": "SCMP_CMP_EQ",
            })],
        ));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": NO_SUCH_CALL,
        "syscalls": rules,
    })
}

fn allow_if(name: &str, conditions: &[Value]) -> Value {
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": conditions })
}

fn equal(index: u32, value: i64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

fn masked(index: u32, mask: u64, value: u64) -> Value {
    json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
}

fn allowed() -> Vec<&'static str> {
    let groups =
        [FILES, DIRECTORIES, MEMORY, PROCESSES, SIGNALS, TIME, WAITING, NETWORK, IPC, OTHER];
    groups.iter().flat_map(|group| group.split_whitespace()).collect()
}

const FILES: &str = "access chmod chown close close_range copy_file_range creat dup dup2 dup3 \
    faccessat faccessat2 fadvise64 fallocate fchmod fchmodat fchmodat2 fchown fchownat fcntl \
    fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate \
    futimesat getxattr io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl \
    lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mknod \
    mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read \
    readahead readlink readlinkat readv removexattr rename renameat renameat2 sendfile setxattr \
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask \
    unlink unlinkat utime utimensat utimes vmsplice write writev cachestat getxattrat \
    listxattrat removexattrat setxattrat file_getattr";

const DIRECTORIES: &str = "chdir fchdir getcwd getdents getdents64 inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch mkdir mkdirat rmdir";

const MEMORY: &str = "brk get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create \
    mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap \
    pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages \
    set_mempolicy set_mempolicy_home_node";

const PROCESSES: &str = "arch_prctl capget capset execve execveat exit exit_group fork getegid \
    geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid \
    getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self modify_ldt pidfd_getfd pidfd_open \
    pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace rseq \
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp set_robust_list get_robust_list \
    set_thread_area get_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid \
    setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid vfork wait4 waitid";

const SIGNALS: &str = "kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack \
    signalfd signalfd4 tgkill tkill";

const TIME: &str = "alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday \
    nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_settime timerfd_create timerfd_gettime timerfd_settime times";

const WAITING: &str = "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait \
    eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake poll ppoll pselect6 \
    select";

const NETWORK: &str = "accept accept4 bind connect getpeername getsockname getsockopt listen \
    recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt shutdown socketpair";

const IPC: &str = "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl \
    msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop shmat shmctl shmdt shmget";

const OTHER: &str = "getcpu getrandom name_to_handle_at sysinfo uname";

/// Calls that are known and refused. Those that only the C library tries are better off the list
/// altogether (`clone3`, whose flags a filter cannot see, is one).
const REFUSED: [&str; 49] = [
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "migrate_pages",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_refused() {
        let allowed = allowed();
        let distinct: HashSet<&str> = allowed.iter().copied().collect();
        assert_eq!(distinct.len(), allowed.len());
        assert!(REFUSED.iter().all(|name| !distinct.contains(name)));
        assert!(!distinct.contains("clone") && !distinct.contains("clone3"));
    }
}
