//! The configuration an OCI runtime reads, for one dyno.

use std::path::Path;

use serde_json::{Value, json};

use crate::cgroup::{self, Version};
use crate::error::Result;
use crate::ids::{Ids, USER, Users};
use crate::protocol::{Limits, Spec, Terminal};
use crate::seccomp;
use crate::stage;

/// Parts of `/proc` that tell about the machine or reach into it.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];

/// Parts of `/proc` that programs read but must not change.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The configuration. The root is ready; the process and the user namespace are there; the network
/// namespace is the runtime's own.
pub fn configuration(spec: &Spec, users: &Users, processes: &Path) -> Result<Value> {
    let version = cgroup::version()?;
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": stage::ROOT, "readonly": true },
        "mounts": [own_devices()],
        "process": process(&spec.argv, &spec.env, &spec.cwd, spec.terminal),
        "linux": {
            "namespaces": [
                { "type": "pid", "path": processes },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "mount" },
                { "type": "cgroup" },
                { "type": "user", "path": users.path() },
            ],
            "uidMappings": mappings(users.ids),
            "gidMappings": mappings(users.ids),
            "cgroupsPath": group(spec),
            "resources": resources(&spec.limits, version),
            "seccomp": seccomp::profile(),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }))
}

/// The devices are there already. `runc` would make its own in their place if nothing were mounted.
fn own_devices() -> Value {
    let source = format!("{}/dev", stage::ROOT);
    json!({ "destination": "/dev", "type": "bind", "source": source, "options": ["rbind"] })
}

/// The dyno's control group.
#[must_use]
pub fn group(spec: &Spec) -> String {
    format!("/{}/{}", spec.cgroup_parent, spec.id)
}

/// A process of the dyno's user, with no right. Its limits are those it begins with.
#[must_use]
pub fn process(argv: &[String], env: &[(String, String)], cwd: &Path, terminal: Terminal) -> Value {
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut process = json!({
        "user": { "uid": USER, "gid": USER, "umask": 0o022 },
        "args": argv,
        "env": env,
        "cwd": cwd,
        "noNewPrivileges": true,
        "capabilities": {
            "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": [],
        },
    });
    if let Terminal::Pty { columns, rows } = terminal {
        process["terminal"] = json!(true);
        process["consoleSize"] = json!({ "width": columns, "height": rows });
    }
    process
}

fn mappings(ids: Ids) -> Vec<Value> {
    let ranges = ids.ranges().into_iter();
    ranges
        .map(|range| {
            json!({ "containerID": range.inside, "hostID": range.host, "size": range.size })
        })
        .collect()
}

fn resources(limits: &Limits, version: Version) -> Value {
    const PERIOD: u64 = 100_000;
    let mut resources = json!({
        "memory": { "limit": limits.memory_bytes },
        "cpu": { "shares": limits.cpu_shares.max(2) },
        "pids": { "limit": limits.pids },
    });
    if cgroup::limits_swap() {
        resources["memory"]["swap"] = json!(limits.memory_bytes);
    }
    if let Some(millis) = limits.cpu_millis {
        resources["cpu"]["period"] = json!(PERIOD);
        resources["cpu"]["quota"] = json!((millis * PERIOD / 1000).max(1000));
    }
    if version == Version::V2 {
        // A dyno that outgrows its memory dies as a whole, not by its largest process.
        resources["unified"] = json!({ "memory.oom.group": "1" });
    }
    resources
}
