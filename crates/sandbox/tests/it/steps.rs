//! A shim is killed right behind every named step of its life; nothing is left of its dyno, and the
//! same dyno can be started anew. The steps are the shim's own list: a new one is covered at once, and
//! one that nothing here reaches any more fails.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::Signal;
use sandbox::Step;
use sandbox::frames::{self, Decoder};
use sandbox::protocol::{Event, Request, SOCKET, Spec};
use sandbox::{freezer, sweep};

use crate::house::House;
use crate::traces;

#[test]
fn a_shim_that_is_killed_behind_any_step_leaves_nothing_and_the_dyno_starts_anew() {
    let house = House::build();
    let slug = house.slug(&[("a", "text")]);
    for &step in Step::ALL {
        let spec = whole(&house, &slug);
        let (directory, mut shim) = house.spawn(&spec, Some(step));
        let broken = accompany(&mut shim, &directory, &spec);
        let status = traces::soon_over(&mut shim);
        let killed = status.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32);
        assert!(killed, "{step:?} was not reached: {status:?}, {broken:?}");

        sweep(&directory).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        traces::expect_none(&house, &spec);
        let mut again = whole(&house, &slug);
        again.network = spec.network.clone();
        again.argv = ["/bin/cat", "/app/a"].map(str::to_owned).into();
        assert_eq!(house.output(&again), (0, "text".to_owned()), "after {step:?}");
    }
}

/// A dyno that has everything a dyno can have.
fn whole(house: &House, slug: &Path) -> Spec {
    let mut spec = house.spec("");
    spec.argv[2] = format!("sleep 1000; : {}", spec.id);
    spec.slug = Some(slug.to_owned());
    spec.scratch = Some(house.directory.path().to_owned());
    spec
}

/// What a server does with a dyno: starts it, takes its streams, freezes it, stops it, forgets it.
fn accompany(shim: &mut Child, directory: &Path, spec: &Spec) -> io::Result<()> {
    shim.stdin.take().expect("a pipe").write_all(&frames::encode(spec)?)?;
    shim.stdout.take().expect("a pipe").read_exact(&mut [0])?;
    let stream = UnixStream::connect(directory.join(SOCKET))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let ask = |request: &Request| frames::send_all(stream.as_fd(), &frames::encode(request)?, &[]);
    let mut decoder = Decoder::default();
    loop {
        while let Some(event) = decoder.next()? {
            match event {
                Event::Running { .. } => ask(&Request::Streams)?,
                Event::Streams => {
                    freezer::freeze(&spec.cgroup_parent, &spec.id)?;
                    ask(&Request::Signal(Signal::SIGTERM as i32))?;
                }
                Event::Exited { .. } => ask(&Request::Forget)?,
                Event::Failed { reason } => panic!("it did not start: {reason}"),
                _ => {}
            }
        }
        if decoder.receive(stream.as_fd())? == 0 {
            return Ok(());
        }
    }
}
