//! What the dyno manager is told when it starts.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use model::size::SizeTable;
use sandbox::protocol::{Limits, Root};

/// What the dyno manager is told when it starts. Made once, by the binary.
#[derive(Clone, Debug)]
pub struct Config {
    /// This program, or a copy of it that an upgrade does not change: `<exe> dyno <dir>` is a shim.
    pub exe: PathBuf,
    /// Where dynos' directories are kept: `<run_dir>/dynos/<id>`. Short, for sockets live there.
    pub run_dir: PathBuf,
    /// A directory on a disk for what dynos write; none keeps it in their memory.
    pub scratch: Option<PathBuf>,
    /// OCI runtime program, such as `/usr/bin/crun`.
    pub runtime: PathBuf,
    /// Parent cgroup of all dynos of this server; no other server on the machine has it.
    pub cgroup_parent: String,
    /// What dynos see as `/`.
    pub root: Root,
    /// Addresses and ids of dynos; no other server on the machine has them.
    pub addresses: Addresses,
    /// What each dyno size grants.
    pub sizes: SizeTable,
    /// Bytes that a dyno may write to `/app` and `/tmp` together.
    pub disk_bytes: u64,
    /// Open files per process.
    pub open_files: u64,
    /// What a build may use, whatever its size says.
    pub build_limits: Limits,
    /// Times.
    pub timing: Timing,
    /// Numbers that the planner's policy depends on.
    pub limits: model::plan::Limits,
}

/// The block of addresses and ids that slots are cut from. Slot `n` has the four addresses from
/// `first + 4 n`: the second is the host's end, the third the dyno's; and the 65536 ids from
/// `id_base + 65536 n`.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// First address of the block; divisible by four.
    pub first: Ipv4Addr,
    /// How many dynos can be at one time.
    pub slots: u32,
    /// Beginning of the names of the host's ends, such as `hy3-`; the slot's number follows. At most
    /// nine bytes.
    pub interface_prefix: String,
    /// First host id; a multiple of 65536.
    pub id_base: u32,
}

/// Times that a dyno's life depends on.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A web dyno must listen within this time of its launch (R10).
    pub boot: Duration,
    /// After SIGTERM a dyno has this time to exit (R12).
    pub stop_grace: Duration,
    /// Between leaving the routes and the closing of its gate; in this time the router learns of
    /// the new routes.
    pub route_lag: Duration,
    /// A web dyno that stops waits so long for its last requests before it gets SIGTERM.
    pub drain: Duration,
    /// An attached one-off waits so long for its client (R13).
    pub attach: Duration,
    /// An attached one-off is left when no byte has passed for so long.
    pub attach_idle: Duration,
    /// Between the three SIGHUPs after the client has gone (R16 after the third).
    pub hangup: Duration,
    /// At start, dynos that run have this time to answer.
    pub adopt: Duration,
    /// So long after a dyno was frozen its memory is taken back.
    pub reclaim: Duration,
    /// Between two looks at what dynos use (R14, R15, runtime metrics).
    pub measure: Duration,
}

impl Default for Timing {
    /// Heroku's numbers where it has any.
    fn default() -> Self {
        Self {
            boot: Duration::from_secs(60),
            stop_grace: Duration::from_secs(30),
            route_lag: Duration::from_millis(200),
            drain: Duration::from_secs(30),
            attach: Duration::from_secs(30),
            attach_idle: Duration::from_secs(60 * 60),
            hangup: Duration::from_secs(5),
            adopt: Duration::from_secs(10),
            reclaim: Duration::from_secs(60),
            measure: Duration::from_secs(20),
        }
    }
}
