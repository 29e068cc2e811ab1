//! One dyno, from its specification to its ending.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::cgroup::{self, Group};
use crate::error::{Attempt, Error, Result};
use crate::ids::COUNT;
use crate::init::Init;
use crate::network;
use crate::oci;
use crate::protocol::{Ending, Spec, VERSION};
use crate::record::{self, Lock, Record};
use crate::root;
use crate::runtime::Runtime;
use crate::stage;
use crate::steps::{Step, reached};
use crate::streams::Streams;
use crate::sys;

/// A dyno whose program runs.
pub struct Dyno {
    /// Its program's process.
    pub pid: Pid,
    /// The shim's ends of its standard streams.
    pub streams: Streams,
    init: Init,
    over: OwnedFd,
    group: Group,
    /// A server has sent it a signal: what ends it from then on is that.
    signalled: bool,
}

/// Carries out a specification. The shim's process is changed by it for good: it leaves the host's
/// mounts and network.
pub fn start(spec: &Spec, lock: &mut Lock) -> Result<Dyno> {
    check(spec)?;
    let name = oci::group(spec);
    record::save(lock, &Record { shim: Some(Pid::this().as_raw()), group: Some(name.clone()) })?;
    reached(Step::GroupRecorded);
    stage::enter()?;
    reached(Step::StageEntered);
    if let Some(hierarchy) = cgroup::hybrid() {
        stage::hide(hierarchy)?;
    }
    network::join(&spec.network)?;
    reached(Step::NetworkJoined);
    let group = Group::new(&name)?;
    group.limit_connections(spec.limits.memory_bytes / 2)?;
    reached(Step::GroupMade);
    let users = root::assemble(spec)?;
    reached(Step::RootAssembled);
    let init = Init::start(&users)?;
    reached(Step::InitStarted);
    let configuration = oci::configuration(spec, &users, &init.namespace())?;
    let container = runtime(spec).start(&configuration, spec.terminal)?;
    reached(Step::ProgramStarted);
    let over = sys::pidfd_open(container.pid).attempt(|| "watch the program")?;
    Ok(Dyno { pid: container.pid, streams: container.streams, init, over, group, signalled: false })
}

/// The runtime that a specification names.
pub fn runtime(spec: &Spec) -> Runtime {
    Runtime { program: spec.runtime.clone(), id: spec.id.clone(), limits: spec.limits }
}

impl Dyno {
    /// Readable when the program is over.
    pub fn over(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    /// Sends a signal to every process.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        self.signalled = true;
        self.group.thaw();
        reached(Step::Thawed);
        let number = u8::try_from(number).map_err(std::io::Error::other);
        self.init.signal(number.attempt(|| "send a signal")?)?;
        reached(Step::Signalled);
        Ok(())
    }

    /// Ends every process.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL as i32)
    }

    /// Takes the exit of the program that is over, and ends what it left running. Its streams are
    /// handed back: output may still wait in them.
    pub fn finish(self) -> Result<(Ending, Streams)> {
        let status = waitpid(self.pid, None).attempt(|| "wait for the program")?;
        let status = shell_status(status);
        reached(Step::ExitSeen);
        // The kernel may kill a child of the program, which then gives up by itself.
        let fell = status != 0 && !self.signalled;
        let out_of_memory = fell && self.group.memory_kills() > 0;
        self.init.end();
        reached(Step::ProcessesEnded);
        Ok((Ending::Exited { status, out_of_memory }, self.streams))
    }
}

/// A status as a shell reports it.
pub fn shell_status(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        // Not asked for, so never answered.
        _ => 255,
    }
}

/// Refuses what could not be carried out, or would reach where it should not.
fn check(spec: &Spec) -> Result<()> {
    let refuse = |text: String| Err(Error::Spec(text));
    if spec.version != VERSION {
        return refuse(format!("this shim speaks version {VERSION}, not {}", spec.version));
    }
    for name in [&spec.id, &spec.cgroup_parent] {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if name.is_empty() || !plain {
            return refuse(format!("{name:?} is no name for a container"));
        }
    }
    if spec.argv.is_empty() {
        return refuse("there is no program to run".into());
    }
    if spec.id_base == 0 || spec.id_base.checked_add(COUNT).is_none() {
        return refuse(format!("ids from {} on cannot be given to a dyno", spec.id_base));
    }
    let targets = spec.mounts.iter().map(|mount| &mount.target);
    match targets.chain([&spec.cwd]).find(|path| !is_plain(path)) {
        Some(path) => refuse(format!("{} is no plain absolute path", path.display())),
        None => Ok(()),
    }
}

/// Whether a path leads where it seems to.
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        let pid = Pid::from_raw(1);
        assert_eq!(shell_status(WaitStatus::Exited(pid, 3)), 3);
        assert_eq!(shell_status(WaitStatus::Signaled(pid, Signal::SIGTERM, false)), 143);
    }
}
