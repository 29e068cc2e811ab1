//! Promises with numbers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::protocol::{Request, Spec};

use crate::house::House;

#[test]
fn a_shim_takes_little_memory() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    let shim = dyno.shim.id();
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    // The shim and the dyno's process 1, its fork; not the dyno's program.
    let first = children.split_whitespace().next().unwrap();
    let all = proportional(&shim.to_string()) + proportional(first);
    assert!(all <= 4 * 1024, "{all} KiB");
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
#[ignore = "a measurement; run it alone, in a release build, on a quiet machine"]
fn a_start_costs_little_more_than_the_runtime_alone() {
    let house = House::build();
    let slug = house.slug(&[("a", "text")]);
    let mut alone = Vec::new();
    let mut plain = Vec::new();
    let mut whole = Vec::new();
    for round in 0..40 {
        alone.push(runtime_alone(house.directory.path(), round));
        plain.push(start(&house, &house.spec("sleep 1000")));
        let mut spec = house.spec("sleep 1000");
        spec.slug = Some(slug.clone());
        spec.scratch = Some(house.directory.path().into());
        whole.push(start(&house, &spec));
    }
    let [alone, plain, whole] = [alone, plain, whole].map(median);
    eprintln!("median of 40 starts, until the program runs:");
    eprintln!("  the runtime alone              {alone:?}");
    eprintln!("  a dyno, in memory              {plain:?}");
    eprintln!("  a dyno with a slug and a disk  {whole:?}");
    assert!(whole < alone * 4, "{whole:?} against {alone:?}");
}

/// A first join of a control group after a while waits for the kernel; one right after another does
/// not. So every measured start comes after a pause.
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

fn start(house: &House, spec: &Spec) -> Duration {
    pause();
    let began = Instant::now();
    let mut dyno = house.start(spec);
    dyno.expect_running();
    let took = began.elapsed();
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
    took
}

/// A container of the same namespaces and limits, without a network, a root or a shim of ours.
fn runtime_alone(directory: &Path, round: u32) -> Duration {
    let bundle = directory.join("bundle");
    fs::create_dir_all(bundle.join("root")).unwrap();
    fs::write(bundle.join("config.json"), CONFIGURATION).unwrap();
    // Where version 2 hides beside version 1, as the shim does it.
    let script = "[ -d /sys/fs/cgroup/unified ] && mount -t tmpfs x /sys/fs/cgroup/unified; \
                  root=\"$1/root\"; mount -t tmpfs x \"$root\"; cd \"$root\"; mkdir usr proc dev; \
                  mount --bind /usr usr; ln -s usr/bin usr/lib usr/lib64 .; read go; exec crun \
                  --root \"$1/state\" run --detach --bundle \"$1\" --pid-file \"$1/pid\" \"$2\"";
    let name = format!("hythe-test-alone-{}-{round}", std::process::id());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", script, "sh"]).arg(&bundle).arg(&name);
    // Not the host's /dev/null: the runtime would give it away.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    pause();
    let began = Instant::now();
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    let took = began.elapsed();
    assert!(status.success(), "{:?}", child.wait_with_output());
    let mut delete = Command::new("crun");
    delete.arg("--root").arg(bundle.join("state")).args(["delete", "--force", &name]);
    assert!(delete.status().unwrap().success());
    took
}

const CONFIGURATION: &str = r#"{
    "ociVersion": "1.0.2", "root": { "path": "root", "readonly": true },
    "mounts": [
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts" },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm" }
    ],
    "process": {
        "args": ["/bin/sleep", "1000"], "cwd": "/", "user": { "uid": 1000, "gid": 1000 },
        "env": ["PATH=/usr/bin:/bin"], "noNewPrivileges": true
    },
    "linux": {
        "namespaces": [
            { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
            { "type": "network" }, { "type": "cgroup" }, { "type": "user" }
        ],
        "uidMappings": [{ "containerID": 0, "hostID": 600000000, "size": 65536 }],
        "gidMappings": [{ "containerID": 0, "hostID": 600000000, "size": 65536 }],
        "resources": { "memory": { "limit": 134217728 }, "pids": { "limit": 64 } }
    }
}"#;

/// Proportional set size in KiB.
fn proportional(process: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
