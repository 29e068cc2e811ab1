//! What the server and a dyno's shim say to each other.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON; at most [`MAX_FRAME`] bytes.
//! File descriptors travel beside a frame as `SCM_RIGHTS`. The protocol is versioned and small on
//! purpose: a shim outlives the server that started it, and the releases after that.
//!
//! A shim's life, as its server sees it: the server makes the dyno's directory (mode 0700), spawns
//! the shim with it, and writes the [`Spec`] as one frame to its standard input. The shim binds
//! [`SOCKET`] there and writes one byte to its standard output: from then on the server may
//! connect. The newest connection replaces the one before; each begins with [`Event::Hello`] and the
//! present state. How the dyno ended is also in the file [`ENDING`], for a server that was away.
//! After [`Request::Forget`] the shim takes away all that it made and exits.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Version of this protocol. A server speaks to shims of this and the version before.
pub const VERSION: u32 = 1;

/// No frame is larger; a peer that announces more is cut off.
pub const MAX_FRAME: usize = 1024 * 1024;

/// Name of the shim's socket in the dyno's directory.
pub const SOCKET: &str = "shim.sock";

/// Name of the file in the dyno's directory that says how it ended: an [`Ending`] as JSON.
pub const ENDING: &str = "ending.json";

/// Everything a shim must know. Sent as the first frame on the shim's standard input, so that
/// secrets in `env` are never on a disk or a command line. `Debug` is left out for the same reason.
#[derive(Clone, Serialize, Deserialize)]
pub struct Spec {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// The dyno's id: names its container, cgroup and network namespace.
    pub id: String,
    /// Host name inside, the dyno's id as Heroku does.
    pub hostname: String,
    /// OCI runtime program, such as `/usr/bin/crun`.
    pub runtime: PathBuf,
    /// Parent cgroup of all dynos of this server, such as `hythe-1a2b3c`.
    pub cgroup_parent: String,
    /// What is seen as `/`.
    pub root: Root,
    /// Slug image (squashfs) to be mounted below a fresh writable `/app`; none for builds, which
    /// get an empty writable `/app`. Its files belong to ids 1000:1000.
    pub slug: Option<PathBuf>,
    /// A directory on a disk, for what the dyno writes to `/app` and `/tmp`: a sparse file there,
    /// already unlinked, holds it. None keeps it in memory, where it counts as the dyno's own.
    #[serde(default)]
    pub scratch: Option<PathBuf>,
    /// Host paths shown inside.
    pub mounts: Vec<Mount>,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whole environment, in order.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// First of 65536 host ids that the dyno's own ids 0… are mapped to.
    pub id_base: u32,
    /// What it may use.
    pub limits: Limits,
    /// Its network.
    pub network: Network,
    /// How its standard streams are wired.
    pub terminal: Terminal,
}

/// Where a dyno's base file system comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// The machine's own `/usr` and an allow-list of `/etc`, read-only.
    Host,
    /// A directory holding a whole root, read-only.
    Directory(PathBuf),
}

/// A host path, a directory or one file, shown inside. Ids on the disk are the ids seen inside (by an
/// idmapped mount): a tree owned by 1000:1000 on the host belongs to the dyno's user. Set-user-id
/// bits and devices in it have no effect inside; on the host, keep it below a directory of mode
/// 0700. The target is made when it is missing; symbolic links on the way to it are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host.
    pub source: PathBuf,
    /// Path inside.
    pub target: PathBuf,
    /// Whether the dyno may write there.
    pub writable: bool,
}

/// What a dyno may use.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, page cache included, at which the kernel kills.
    pub memory_bytes: u64,
    /// The quota that programs inside read from the cgroup v1 memory file.
    pub memory_quota_bytes: u64,
    /// Relative CPU weight; 1024 is a Standard-1X.
    pub cpu_shares: u64,
    /// Hard CPU limit in thousandths of a core; none for no limit.
    pub cpu_millis: Option<u64>,
    /// Processes and threads together.
    pub pids: u32,
    /// Open files per process.
    pub open_files: u64,
    /// Bytes that may be written to `/app` and `/tmp` together.
    pub disk_bytes: u64,
}

/// A dyno's own network: one address, routed by the host, no neighbours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// The dyno's address.
    pub address: Ipv4Addr,
    /// The host's end of the pair.
    pub gateway: Ipv4Addr,
    /// Name of the host's end of the pair (at most 15 bytes).
    pub interface: String,
}

/// How a dyno ended; the content of [`ENDING`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its program ran and is over; the fields are those of [`Event::Exited`].
    Exited {
        /// As a shell reports it: 128 + signal when killed by one.
        status: i32,
        /// As there.
        out_of_memory: bool,
    },
    /// It could not be started.
    Failed {
        /// What was attempted and why it failed.
        reason: String,
    },
}

/// How standard streams are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terminal {
    /// Standard output and error in one pipe each; standard input is empty.
    Output,
    /// Three pipes.
    Pipes,
    /// A pseudo-terminal.
    Pty {
        /// Width in characters.
        columns: u16,
        /// Height in lines.
        rows: u16,
    },
}

/// What a server asks of a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Say where you are: answered by the present [`Event`].
    Status,
    /// Hand over descriptors: answered by [`Event::Streams`].
    Streams,
    /// Send this signal to every process of the dyno.
    Signal(i32),
    /// End the dyno now.
    Kill,
    /// Run a program beside the dyno's own: answered by [`Event::ExecBegun`] or
    /// [`Event::ExecFailed`]. Only for shims whose [`Event::Hello`] says that they can.
    Exec(Exec),
    /// Send a signal to such a program and its process group.
    SignalExec {
        /// Which.
        number: u32,
        /// What.
        signal: i32,
    },
    /// Exit and output are safe with me: clean up and leave. Only after [`Event::Exited`].
    Forget,
}

/// What a shim tells a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// First frame on every connection.
    Hello {
        /// [`VERSION`] of the shim.
        version: u32,
        /// The dyno's id.
        id: String,
        /// Whether it knows [`Request::Exec`].
        #[serde(default)]
        execs: bool,
    },
    /// Still preparing.
    Preparing,
    /// The program runs.
    Running {
        /// Its process id on the host.
        pid: i32,
    },
    /// Descriptors travel beside this frame: `Output`: stdout with stderr in it, and an empty stderr
    /// to read; `Pipes`: stdin to
    /// write, stdout and stderr to read; `Pty`: the master. The first who asks gets the only stdin
    /// there is, so that closing it is its end; later ones get one that takes nothing.
    Streams,
    /// It is over. Output may still wait in the descriptors.
    Exited {
        /// As a shell reports it: 128 + signal when killed by one.
        status: i32,
        /// Whether it failed, unasked, after the kernel had killed one of its processes for memory.
        out_of_memory: bool,
    },
    /// It could not be started. The shim waits for [`Request::Forget`].
    Failed {
        /// What was attempted and why it failed.
        reason: String,
    },
    /// A program beside the dyno's own runs. Its descriptors travel beside this frame, as with
    /// [`Event::Streams`]; the shim keeps none of them.
    ExecBegun {
        /// Which.
        number: u32,
    },
    /// It could not be started.
    ExecFailed {
        /// Which.
        number: u32,
        /// What was attempted and why it failed.
        reason: String,
    },
    /// It is over. When the dyno ends first, nothing is said.
    ExecEnded {
        /// Which.
        number: u32,
        /// As a shell reports it.
        status: i32,
    },
}

/// A program to be run beside the dyno's own, as its user and within its limits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// What the server calls it.
    pub number: u32,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whole environment, in order.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// How its standard streams are wired.
    pub terminal: Terminal,
}

impl std::fmt::Debug for Exec {
    /// The variables are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("number", &self.number).finish_non_exhaustive()
    }
}
