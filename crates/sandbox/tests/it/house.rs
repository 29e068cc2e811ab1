//! A place for dynos that is gone after the test, and a client of their shims.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use sandbox::Step;
use sandbox::frames::{self, Decoder};
use sandbox::network::{Subnet, claim, ensure_host, remove_host};
use sandbox::protocol::{Event, Limits, Mount, Request, Root, SOCKET, Spec, Terminal, VERSION};

use crate::traces;

/// No step of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers of houses, dynos and whatever else needs one.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Houses that stand in each server's subnet. The last one takes the firewall away.
static HOUSES: Mutex<[u32; 2]> = Mutex::new([0; 2]);

/// Where the server would be that claims the subnet.
fn run_dir(server: usize) -> PathBuf {
    format!("/run/hythe-test-{}-{server}", std::process::id()).into()
}

/// A server's worth of names, addresses and directories.
pub struct House {
    pub directory: tempfile::TempDir,
    pub subnet: Subnet,
    name: String,
    server: usize,
}

/// A dyno and the connection to its shim.
pub struct Dyno {
    pub directory: PathBuf,
    pub shim: Child,
    pub group: String,
    server: Server,
}

/// A connection to a shim.
pub struct Server {
    stream: UnixStream,
    decoder: Decoder,
    waiting: VecDeque<Event>,
}

impl House {
    /// In the one subnet of this process, which claims it for good.
    pub fn build() -> Self {
        static SHARED: LazyLock<Subnet> = LazyLock::new(|| claim(&run_dir(0)).unwrap());
        Self::in_subnet(SHARED.clone(), 0)
    }

    /// In another server's subnet. For one test only.
    pub fn beside() -> Self {
        Self::in_subnet(claim(&run_dir(1)).unwrap(), 1)
    }

    fn in_subnet(subnet: Subnet, server: usize) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests start containers: run them as root");
        let mut houses = HOUSES.lock().unwrap();
        houses[server] += 1;
        ensure_host(&subnet).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("hythe-test-{}-{number}", std::process::id());
        let directory = tempfile::Builder::new().prefix("hythe-test-").tempdir().unwrap();
        Self { directory, subnet, name, server }
    }

    /// The specification of a small dyno that runs a shell command.
    pub fn spec(&self, command: &str) -> Spec {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/app")];
        Spec {
            version: VERSION,
            id: format!("{}-{number}", self.name),
            hostname: format!("dyno-{number}"),
            runtime: crate::RUNTIME.into(),
            cgroup_parent: self.name.clone(),
            root: Root::Host,
            slug: None,
            scratch: None,
            mounts: Vec::new(),
            argv: vec!["/bin/bash".into(), "-c".into(), command.into()],
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            cwd: "/app".into(),
            id_base: self.subnet.id_base + number * 65_536,
            limits: Limits {
                memory_bytes: 128 << 20,
                memory_quota_bytes: 512 << 20,
                cpu_shares: 1024,
                cpu_millis: None,
                pids: 64,
                open_files: 1024,
                disk_bytes: 32 << 20,
            },
            network: self.subnet.slot(number).unwrap(),
            terminal: Terminal::Output,
        }
    }

    /// The specification of a small dyno that runs a probe (see `tests/bin/probe.rs`).
    pub fn probe(&self, arguments: &[&str]) -> Spec {
        let mut spec = self.spec("");
        spec.argv = [&["/tmp/probe"], arguments].concat().into_iter().map(str::to_owned).collect();
        let source = env!("CARGO_BIN_EXE_probe-for-tests").into();
        spec.mounts.push(Mount { source, target: "/tmp/probe".into(), writable: false });
        spec
    }

    /// A slug image of these files, each a path and its content.
    pub fn slug(&self, files: &[(&str, &str)]) -> PathBuf {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let tree = self.directory.path().join(format!("tree-{number}"));
        for (path, content) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let image = self.directory.path().join(format!("slug-{number}.squashfs"));
        let mut pack = Command::new("mksquashfs");
        pack.args([&tree, &image]).args(["-quiet", "-no-progress"]);
        pack.args(["-force-uid", "1000", "-force-gid", "1000"]).stdout(Stdio::null());
        assert!(pack.status().unwrap().success());
        image
    }

    /// Starts a shim, to kill itself at a step if one is given.
    pub fn spawn(&self, spec: &Spec, step: Option<Step>) -> (PathBuf, Child) {
        let directory = self.directory.path().join(&spec.id);
        // As private as a server makes it.
        fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
        let log = File::create(directory.join("shim.log")).unwrap();
        let shim = Command::new(env!("CARGO_BIN_EXE_shim-for-tests"))
            .arg(&directory)
            .args(step.map(Step::name))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        (directory, shim)
    }

    /// Starts a dyno and connects to it.
    pub fn start(&self, spec: &Spec) -> Dyno {
        let (directory, mut shim) = self.spawn(spec, None);
        let frame = frames::encode(spec).unwrap();
        shim.stdin.take().unwrap().write_all(&frame).unwrap();
        let mut ready = [0];
        let said = shim.stdout.take().unwrap().read_exact(&mut ready);
        let log = || fs::read_to_string(directory.join("shim.log")).unwrap();
        assert!(said.is_ok(), "the shim did not begin: {}", log());
        let server = Server::connect(&directory);
        let group = group(spec);
        Dyno { directory, shim, group, server }
    }

    /// Runs a dyno to its end: status and what it wrote to both streams.
    pub fn output(&self, spec: &Spec) -> (i32, String) {
        let mut dyno = self.start(spec);
        let text = dyno.drain();
        let (status, _) = dyno.expect_exit();
        dyno.forget();
        (status, text)
    }

    /// What a shell command in a dyno prints, when it ends well.
    pub fn shell(&self, command: &str) -> String {
        let (status, text) = self.output(&self.spec(command));
        assert_eq!(status, 0, "{text}");
        text
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let mut houses = HOUSES.lock().unwrap();
        houses[self.server] -= 1;
        if houses[self.server] == 0 {
            remove_host(&run_dir(self.server)).unwrap();
        }
        sandbox::remove_groups(&self.name).unwrap();
    }
}

impl Server {
    pub fn connect(dyno: &Path) -> Self {
        let stream = UnixStream::connect(dyno.join(SOCKET)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut server = Self { stream, decoder: Decoder::default(), waiting: VecDeque::new() };
        assert!(matches!(server.next(), Event::Hello { version: VERSION, .. }));
        server
    }

    pub fn next(&mut self) -> Event {
        self.waiting.pop_front().unwrap_or_else(|| self.receive())
    }

    fn receive(&mut self) -> Event {
        loop {
            if let Some(event) = self.decoder.next().unwrap() {
                return event;
            }
            assert_ne!(self.decoder.receive(self.stream.as_fd()).unwrap(), 0, "the shim hung up");
        }
    }

    pub fn ask(&self, request: &Request) {
        frames::send_all(self.stream.as_fd(), &frames::encode(request).unwrap(), &[]).unwrap();
    }

    /// Sends bytes as they are.
    pub fn say(&self, bytes: &[u8]) {
        frames::send_all(self.stream.as_fd(), bytes, &[]).unwrap();
    }

    pub fn streams(&mut self) -> Vec<File> {
        self.ask(&Request::Streams);
        loop {
            match self.receive() {
                Event::Streams => break,
                Event::Failed { reason } => panic!("it did not start: {reason}"),
                other => self.waiting.push_back(other),
            }
        }
        self.decoder.take_fds().into_iter().map(File::from).collect()
    }

    /// The descriptors that came with the events so far.
    pub fn take_fds(&mut self) -> Vec<File> {
        self.decoder.take_fds().into_iter().map(File::from).collect()
    }

    /// Whether the shim closes the connection, after whatever it still has to say.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.decoder.receive(self.stream.as_fd()) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Dyno {
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    pub fn next(&mut self) -> Event {
        self.server.next()
    }

    pub fn ask(&self, request: &Request) {
        self.server.ask(request);
    }

    pub fn streams(&mut self) -> Vec<File> {
        self.server.streams()
    }

    /// A new connection, as a server makes after a restart.
    pub fn reconnect(&mut self) {
        self.server = Server::connect(&self.directory);
    }

    pub fn expect_running(&mut self) -> i32 {
        match self.next() {
            Event::Running { pid } => pid,
            other => panic!("expected it to run: {other:?}"),
        }
    }

    pub fn expect_exit(&mut self) -> (i32, bool) {
        loop {
            match self.next() {
                Event::Exited { status, out_of_memory } => return (status, out_of_memory),
                Event::Running { .. } | Event::ExecEnded { .. } => {}
                other => panic!("expected it to end: {other:?}"),
            }
        }
    }

    /// All that it writes, standard output first.
    pub fn drain(&mut self) -> String {
        let mut text = Vec::new();
        for mut stream in self.streams() {
            stream.read_to_end(&mut text).unwrap();
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Lets the shim go, and makes sure that nothing of the dyno is left.
    pub fn forget(mut self) {
        self.ask(&Request::Forget);
        assert!(self.server.is_closed());
        let status = self.shim.wait().unwrap();
        let log = fs::read_to_string(self.directory.join("shim.log")).unwrap();
        assert!(status.success() && log.is_empty(), "{log}");
        self.expect_no_trace();
    }

    pub fn expect_no_trace(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let left: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        let known = ["shim.log", "ending.json"];
        assert!(left.iter().all(|name| known.contains(&name.to_str().unwrap())), "{left:?}");
        assert_eq!(traces::groups(&self.group), Vec::<PathBuf>::new());
    }
}

/// The path of a dyno's control group.
pub fn group(spec: &Spec) -> String {
    format!("{}/{}", spec.cgroup_parent, spec.id)
}

/// Changes the size of a terminal.
#[allow(unsafe_code, reason = "the size of a terminal has no safe face")]
pub fn resize(master: BorrowedFd<'_>, size: &nix::pty::Winsize) {
    // SAFETY: the structure is the kernel's and outlives the call.
    let done = unsafe { nix::libc::ioctl(master.as_raw_fd(), nix::libc::TIOCSWINSZ, size) };
    assert_eq!(done, 0);
}

/// Marks a program as one that gets every capability when it is run.
#[allow(unsafe_code, reason = "extended attributes have no safe face")]
pub fn give_all_capabilities(program: &Path) {
    let path = std::ffi::CString::new(program.to_str().unwrap()).unwrap();
    // Version 2, effective at once; then what is permitted and what is inheritable, twice 32 bits.
    let mark: [u32; 5] = [0x0200_0001, u32::MAX, 0, 0x1ff, 0];
    let size = size_of_val(&mark);
    let name = c"security.capability".as_ptr();
    // SAFETY: the strings and the mark, of the size that is passed, outlive the call.
    let done = unsafe { nix::libc::setxattr(path.as_ptr(), name, mark.as_ptr().cast(), size, 0) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

impl Drop for Dyno {
    fn drop(&mut self) {
        // A test that failed leaves its dyno running; the dyno ends with its shim.
        let _ = self.shim.kill();
        let _ = self.shim.wait();
        let _ = sandbox::sweep(&self.directory);
    }
}
