//! What a dyno cannot do, see or reach.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use sandbox::protocol::{Event, Request};

use crate::house::House;

#[test]
fn it_has_no_capability_and_gains_none() {
    let house = House::build();
    let text = house.shell("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id");
    let none = "0000000000000000";
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{none}\nCapEff:\t{none}\nCapBnd:\t{none}\nCapAmb:\t{none}\n\
         NoNewPrivs:\t1\nSeccomp:\t2\nuid=1000(dyno) gid=1000(dyno) groups=1000(dyno)\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn forbidden_system_calls_are_refused() {
    let house = House::build();
    let (status, text) = house.output(&house.probe(&["calls"]));
    assert_eq!(status, 0, "{text}");
    let allowed: Vec<&str> = text
        .lines()
        .filter(|line| !line.ends_with(": EPERM") && !line.ends_with(": ENOSYS"))
        .collect();
    assert!(allowed.is_empty(), "{allowed:?}");
    assert!(text.lines().count() > 50);
}

#[test]
fn other_entries_into_the_kernel_are_closed() {
    let house = House::build();
    let (_, text) = house.output(&house.probe(&["entries"]));
    let closed = |line: &str| {
        // Killed for it; no such call; or a kernel that has no such entry.
        let (_, answer) = line.split_once(": ").unwrap();
        ["signal 31", "answered -38", "signal 11"].contains(&answer)
    };
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(closed), "{text}");
}

#[test]
fn there_are_sockets_for_the_network_and_for_itself_only() {
    let house = House::build();
    let (_, text) = house.output(&house.probe(&["families"]));
    // Local ones (a raw one is one for datagrams), IPv4, IPv6, and the list of interfaces.
    assert_eq!(text, "1 1\n1 2\n1 3\n1 5\n2 1\n2 2\n10 1\n10 2\n16 2\n16 3\n");
}

#[test]
fn its_namespaces_are_its_own() {
    let house = House::build();
    // Both at the same time: the kernel gives numbers of what is gone to others.
    let mut spec = house.probe(&[]);
    spec.argv =
        ["/bin/bash", "-c", "/tmp/probe namespaces; echo; sleep 1000"].map(str::to_owned).into();
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let lines = BufReader::new(dyno.streams().remove(0)).lines().map(Result::unwrap);
    let first: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let second = house.output(&house.probe(&["namespaces"])).1;
    assert_eq!(first.len(), 7);
    for (name, (one, other)) in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .iter()
        .zip(first.iter().zip(second.lines()))
    {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(one.starts_with(name), "{one}");
        assert_ne!(one, host.to_str().unwrap());
        assert_ne!(one, other);
    }
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn only_the_standard_streams_are_open() {
    let house = House::build();
    assert_eq!(house.output(&house.probe(&["descriptors"])), (0, "0\n1\n2\n".to_owned()));
}

#[test]
fn processes_of_the_host_and_of_other_dynos_are_not_seen() {
    let house = House::build();
    let mut other = house.start(&house.spec("exec -a visible sleep 1000"));
    let pid = other.expect_running();
    let text = house.shell(&format!(
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls /proc/1 2>&1; kill -0 {pid} 2>&1; kill -9 1 2>&1; \
         kill -9 -1; echo here",
    ));
    assert!(!text.contains("visible"), "{text}");
    assert!(!text.contains("shim"), "{text}");
    assert!(text.contains("No such"), "{text}");
    other.ask(&Request::Status);
    other.expect_running();
    other.ask(&Request::Kill);
    other.expect_exit();
    other.forget();
}

#[test]
fn environments_of_others_are_not_seen() {
    let house = House::build();
    let mut secretive = house.spec("sleep 1000");
    secretive.env.push(("CONFIG".into(), "s3cret-of-another".into()));
    let mut other = house.start(&secretive);
    let pid = other.expect_running();
    let text = house.shell(&format!(
        "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -q '^HOME=/app' && echo own; \
         cat /proc/*/environ /proc/{pid}/environ /proc/1/environ 2>/dev/null | grep -ac s3cret; true",
    ));
    assert_eq!(text, "own\n0\n");
    other.ask(&Request::Kill);
    other.expect_exit();
    other.forget();
}

#[test]
fn no_control_group_is_in_reach() {
    let house = House::build();
    let text = house.shell(
        "grep -c cgroup /proc/self/mountinfo; cut -d: -f3 /proc/self/cgroup | sort -u; \
         find / -name release_agent -o -name notify_on_release -o -name 'cgroup.*' 2>/dev/null; \
         for file in /proc/self/oom_score_adj /proc/self/uid_map /proc/self/setgroups; do \
             echo -1000 2>/dev/null > $file && echo wrote $file; done; true",
    );
    assert_eq!(text, "0\n/\n");
}

#[test]
fn files_of_the_host_are_not_seen() {
    let house = House::build();
    let secret = house.directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(house.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = secret.display();
    let text = house.shell(&format!(
        "for path in /root /home /opt /srv /boot /mnt /media {path} /etc/shadow /etc/ssh /etc/hosts.allow \
             /var/lib /var/log /var/run /run/crun /run/hythe /etc/cron.d /etc/ssl/private; do
             [ -e $path ] && echo seen $path
         done
         cd /; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; pwd; ls /proc/1/root /proc/1/cwd 2>&1 | head -3; ls /"
    ));
    assert!(!text.contains("seen"), "{text}");
    assert!(!text.contains("root\n"), "{text}");
    let end = "app\nbin\ndev\netc\nlib\n";
    assert!(text.contains(end), "{text}");
}

#[test]
fn the_program_of_the_shim_cannot_be_reached() {
    let house = House::build();
    let text = house.shell(
        "for exe in /proc/[0-9]*/exe; do readlink $exe; done; \
         grep hythe-test /proc/self/mountinfo; true",
    );
    assert_eq!(text, "/usr/bin/bash\n");
}

#[test]
fn the_machines_knobs_are_covered() {
    let house = House::build();
    let text = house.shell(
        "for file in /proc/kcore /proc/keys /proc/timer_list /proc/kallsyms /proc/config.gz; do
             head -c 1 $file 2>/dev/null | wc -c
         done
         for file in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \
             /proc/sys/fs/binfmt_misc/register /proc/sys/user/max_inotify_instances /proc/sys/kernel/hostname \
             /proc/sys/vm/drop_caches /sys/fs/cgroup/memory/memory.limit_in_bytes; do
             echo x 2>/dev/null > $file && echo wrote $file
         done
         ls /dev | tr '\\n' ' '; dmesg 2>&1 | head -1; ls /sys /sys/fs/cgroup | tr '\\n' ' '",
    );
    assert!(text.starts_with("0\n0\n0\n0\n0\n"), "{text}");
    assert!(!text.contains("wrote"), "{text}");
    let devices = "console fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ";
    assert!(text.contains(devices), "{text}");
    assert!(text.contains("Operation not permitted"), "{text}");
    assert!(text.ends_with("/sys: devices fs  /sys/fs/cgroup: memory memory.max "), "{text}");
}

#[test]
fn a_set_user_id_program_gains_nothing() {
    let house = House::build();
    let tree = house.directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::copy("/usr/bin/id", tree.join("id")).unwrap();
    fs::set_permissions(tree.join("id"), PermissionsExt::from_mode(0o4755)).unwrap();
    let mut spec = house
        .spec("/tmp/tree/id -u; /tmp/tree/id -ru; su -c id 2>&1; mount -t tmpfs x /tmp 2>&1; true");
    spec.mounts.push(sandbox::protocol::Mount {
        source: tree,
        target: "/tmp/tree".into(),
        writable: false,
    });
    let (_, text) = house.output(&spec);
    assert!(text.starts_with("1000\n1000\n"), "{text}");
    assert!(!text.contains("uid=0"), "{text}");
}

#[test]
fn a_program_with_file_capabilities_gains_nothing() {
    let house = House::build();
    let tree = house.directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::copy("/bin/grep", tree.join("grep")).unwrap();
    fs::set_permissions(tree.join("grep"), PermissionsExt::from_mode(0o755)).unwrap();
    crate::house::give_all_capabilities(&tree.join("grep"));
    let mut spec = house.spec("/tmp/tree/grep -E '^Cap(Prm|Eff)' /proc/self/status");
    spec.mounts.push(sandbox::protocol::Mount {
        source: tree,
        target: "/tmp/tree".into(),
        writable: false,
    });
    let none = "0000000000000000";
    assert_eq!(house.output(&spec), (0, format!("CapPrm:\t{none}\nCapEff:\t{none}\n")));
}

#[test]
fn no_descriptor_of_the_runtime_leads_out_as_a_working_directory() {
    let house = House::build();
    for number in 3..=12 {
        let mut spec = house.spec(LOOK_FOR_THE_HOST);
        spec.cwd = format!("/proc/self/fd/{number}").into();
        let mut dyno = house.start(&spec);
        // It does not start, or in a place of its own.
        if matches!(dyno.next(), Event::Running { .. }) {
            assert_eq!(dyno.drain(), "", "{number}");
            dyno.expect_exit();
        }
        dyno.forget();
    }
}

/// Says where the host's files are, when they are above the working directory.
pub const LOOK_FOR_THE_HOST: &str = "ls -d etc/shadow ../etc/shadow ../../etc/shadow \
    ../../../etc/shadow ../../../../etc/shadow ../../../../../etc/shadow 2>/dev/null; true";

#[test]
fn the_hosts_null_device_keeps_its_owner() {
    let house = House::build();
    house.shell("true");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/dev/null").unwrap());
    assert_eq!(owner, 0);
}
