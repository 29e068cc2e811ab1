//! The reconciler on a pretended machine, with a real database.

#[path = "../tests/it/app.rs"]
mod app;
mod bed;
mod limits;
mod lobby;
mod meters;
mod rest;
mod simulation;

use std::time::Duration;

use model::DynoState;
use model::dyno::{DynoKind, Exit, Terminal};
use model::routes::WebState;
use sandbox::protocol;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use bed::Bed;

#[tokio::test]
async fn a_deploy_starts_the_formation_and_tells_it_in_herokus_words() {
    let bed = Bed::new().await;
    bed.scale(&[("web", 1, "serve -p $PORT $A"), ("worker", 2, "work")]).await;
    bed.deploy(&[("A", "x \"é\"\n$HOME")]).await;
    bed.settled().await;
    assert_eq!(bed.ps().await, ["web.1 up v1", "worker.1 up v1", "worker.2 up v1"]);
    let launch = bed.sim.launches().into_iter().find(|one| one.argv[4].starts_with("serve"));
    let launch = launch.expect("web was started");
    let port = launch.env["PORT"].clone();
    assert_eq!(launch.env["A"], "x \"é\"\n$HOME");
    assert_eq!(launch.env["DYNO"], "web.1");
    assert_eq!(launch.env["HOME"], "/app");
    assert_eq!(launch.argv[..2], ["/bin/bash", "-c"]);
    assert_eq!(launch.argv[4], "serve -p $PORT $A");
    assert_eq!(
        bed.said("heroku[web.1]").await,
        [
            format!("Starting process with command `serve -p {port} $A`"),
            "State changed from starting to up".into()
        ]
    );
    let view = bed.view().await;
    assert_eq!((view.state, view.backends.len()), (WebState::Up, 1));
    assert_eq!(view.backends[0].name.to_string(), "web.1");
}

#[tokio::test]
async fn an_app_without_a_release_or_without_web_dynos_says_so_to_the_router() {
    let bed = Bed::new().await;
    bed.scale(&[("worker", 1, "work")]).await;
    bed.settled().await;
    bed.wait("a blank app", async |bed| bed.view().await.state == WebState::Blank).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let state = WebState::ScaledToZero;
    bed.wait("no web dynos", async |bed| bed.view().await.state == state).await;
}

#[tokio::test]
async fn a_release_is_rolled_out_without_a_gap_and_the_old_dyno_drains_first() {
    let bed = Bed::new().await;
    bed.scale(&[("web", 1, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let old = bed.view().await.backends[0].clone();
    let request = old.enter().expect("it takes requests");
    bed.deploy(&[("A", "1")]).await;
    bed.wait("the old gate to close", async |_| old.is_closed()).await;
    let view = bed.view().await;
    assert_eq!(view.state, WebState::Up);
    assert!(view.backends.iter().all(|one| one.dyno != old.dyno && !one.is_closed()));
    let stopping = "Stopping all processes with SIGTERM";
    let said = bed.said("heroku[web.1]").await;
    assert!(!said.iter().any(|line| line == stopping), "a request is inside: {said:?}");
    drop(request);
    bed.settled().await;
    assert_eq!(bed.ps().await, ["web.1 up v2"]);
    assert_eq!(
        bed.said("heroku[web.1]").await[2..],
        [
            "Restarting",
            "State changed from up to starting",
            "Starting process with command `serve`",
            "State changed from starting to up",
            "Stopping all processes with SIGTERM",
            "Process exited with status 143",
        ]
    );
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_after_the_drain_time() {
    let bed = Bed::with(|config| config.timing.drain = Duration::from_millis(50)).await;
    bed.scale(&[("web", 1, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let old = bed.view().await.backends[0].clone();
    let _request = old.enter().expect("it takes requests");
    bed.restart("*").await;
    bed.settled().await;
    assert_ne!(bed.view().await.backends[0].dyno, old.dyno);
}

#[tokio::test]
async fn a_bad_release_leaves_the_old_one_serving() {
    let bed = Bed::with(|config| config.limits.backoff = vec![Duration::from_millis(20)]).await;
    bed.scale(&[("web", 1, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let old = bed.view().await.backends[0].dyno;
    bed.scale(&[("web", 1, "exit 3")]).await;
    bed.deploy(&[]).await;
    bed.wait("three crashes", async |bed| {
        let said = bed.said("heroku[web.1]").await;
        said.iter().filter(|line| *line == "Process exited with status 3").count() >= 3
    })
    .await;
    let view = bed.view().await;
    assert_eq!((view.state, view.backends[0].dyno), (WebState::Up, old));
    assert!(!view.backends[0].is_closed());
    let listed = bed.ps().await;
    assert!(listed.iter().any(|line| line == "web.1 up v1") || listed.len() == 1, "{listed:?}");
}

#[tokio::test]
async fn a_crashing_dyno_backs_off_and_requests_learn_of_it() {
    let bed = Bed::with(|config| {
        let long = Duration::from_secs(600);
        config.limits.backoff = vec![Duration::ZERO, Duration::from_millis(30), long];
    })
    .await;
    bed.scale(&[("web", 1, "exit 1")]).await;
    bed.deploy(&[]).await;
    let crash = "State changed from starting to crashed";
    bed.wait("three crashes", async |bed| {
        let said = bed.said("heroku[web.1]").await;
        said.iter().filter(|line| *line == crash).count() == 3
    })
    .await;
    bed.wait("the row", async |bed| bed.ps().await == ["web.1 crashed v1"]).await;
    bed.wait("the view", async |bed| bed.view().await.state == WebState::Crashed).await;
    bed.settled().await;
    let life = ["Starting process with command `exit 1`", "Process exited with status 1", crash];
    let again = "State changed from crashed to starting";
    let mut said = bed.said("heroku[web.1]").await;
    // Why is another test's business.
    said.retain(|line| !line.starts_with("Web process ended before it listened on"));
    let wanted = [&life[..], &[again], &life, &[again], &life].concat();
    assert_eq!(said, wanted);
    assert_eq!(bed.said("app[web.1]").await, ["goodbye"; 3]);
    bed.restart("web.1").await;
    bed.wait("a restart to start it", async |bed| bed.sim.launches().len() > 3).await;
}

#[tokio::test]
async fn scaling_down_stops_the_highest_and_says_so() {
    let bed = Bed::new().await;
    bed.scale(&[("web", 3, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    assert_eq!(bed.view().await.backends.len(), 3);
    bed.scale(&[("web", 1, "serve")]).await;
    bed.settled().await;
    assert_eq!(bed.ps().await, ["web.1 up v1"]);
    let said = bed.said("heroku[web.3]").await;
    let end = [
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to down",
    ];
    assert_eq!(said[2..], end);
    bed.wait("nothing left behind", async |bed| bed.sim.launches().len() == 3).await;
}

#[tokio::test]
async fn workers_are_replaced_at_once() {
    let bed = Bed::new().await;
    bed.scale(&[("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    bed.restart("worker").await;
    bed.settled().await;
    let said = bed.said("heroku[worker.1]").await;
    assert_eq!(said[2..4], ["Restarting", "State changed from up to starting"]);
    let term = said.iter().position(|line| line.starts_with("Stopping all"));
    assert!(term.is_some(), "{said:?}");
    assert_eq!(bed.sim.launches().len(), 2);
}

#[tokio::test]
async fn a_web_dyno_that_does_not_listen_is_r10() {
    let bed = Bed::with(|config| {
        config.timing.boot = Duration::from_secs(1);
        config.limits.backoff = vec![Duration::from_secs(600)];
    })
    .await;
    bed.scale(&[("web", 1, "deaf")]).await;
    bed.deploy(&[]).await;
    bed.wait("the crash", async |bed| bed.ps().await == ["web.1 crashed v1"]).await;
    let said = bed.said("heroku[web.1]").await;
    assert_eq!(
        said[1],
        "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 1 seconds of launch"
    );
    assert!(said[2].starts_with("Nothing listened on 127.0.0.1:"), "{}", said[2]);
    assert_eq!(
        said[3..],
        [
            "Stopping process with SIGKILL",
            "Process exited with status 137",
            "State changed from starting to crashed"
        ]
    );
}

#[tokio::test]
async fn a_dyno_that_ignores_sigterm_is_r12() {
    let bed = Bed::with(|config| config.timing.stop_grace = Duration::from_secs(1)).await;
    bed.scale(&[("web", 1, "stubborn")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    bed.scale(&[("web", 0, "stubborn")]).await;
    bed.settled().await;
    assert_eq!(
        bed.said("heroku[web.1]").await[2..],
        [
            "Stopping all processes with SIGTERM",
            "Error R12 (Exit timeout) -> At least one process failed to exit within 1 seconds of SIGTERM",
            "Stopping remaining processes with SIGKILL",
            "Process exited with status 137",
            "State changed from up to down",
        ]
    );
}

#[tokio::test]
async fn a_dyno_that_cannot_be_started_is_r99() {
    let bed = Bed::with(|config| config.limits.backoff = vec![Duration::from_secs(600)]).await;
    bed.scale(&[("web", 1, "refuse")]).await;
    bed.deploy(&[]).await;
    bed.wait("the crash", async |bed| bed.ps().await == ["web.1 crashed v1"]).await;
    let reason = "the program around the dyno did not start: this machine refuses";
    assert_eq!(
        bed.said("heroku[web.1]").await[1],
        format!("Error R99 (Platform error) -> {reason}")
    );
}

#[tokio::test]
async fn a_new_server_takes_over_what_runs() {
    let mut bed = Bed::new().await;
    bed.scale(&[("web", 2, "serve"), ("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let addresses = bed.addresses().await;
    bed.new_server().await;
    assert_eq!(bed.addresses().await, addresses, "from the first moment");
    assert_eq!(bed.sim.launches().len(), 3, "nothing is started twice");
    assert_eq!(bed.ps().await, ["web.1 up v1", "web.2 up v1", "worker.1 up v1"]);
    bed.deploy(&[]).await;
    bed.settled().await;
    assert_eq!(bed.sim.launches().len(), 6, "and it can be replaced");
}

#[tokio::test]
async fn a_process_whose_address_was_not_yet_written_is_taken_over_too() {
    let mut bed = Bed::new().await;
    bed.stop_server().await;
    bed.scale(&[("web", 1, "serve")]).await;
    let release = bed.deploy(&[]).await;
    bed.half_begun(release).await;
    bed.new_server().await;
    bed.settled().await;
    assert_eq!(bed.ps().await, ["web.1 up v1"]);
    assert_eq!(bed.addresses().await.len(), 1);
    assert_eq!(bed.sim.launches().len(), 1, "nothing is started beside it");
}

#[tokio::test]
async fn what_died_while_no_server_ran_is_started_again() {
    let mut bed = Bed::new().await;
    bed.scale(&[("web", 1, "serve"), ("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    bed.stop_server().await;
    bed.sim.lose_power();
    bed.new_server().await;
    bed.wait("both again", async |bed| bed.ps().await.len() == 2).await;
    bed.wait("both up", async |bed| {
        bed.ps().await == ["web.1 up v1", "worker.1 up v1"] && bed.sim.launches().len() == 4
    })
    .await;
}

#[tokio::test]
async fn a_process_that_no_row_speaks_of_is_ended() {
    let mut bed = Bed::new().await;
    bed.stop_server().await;
    bed.haunt().await;
    assert_eq!(bed.processes().await, 1);
    bed.new_server().await;
    bed.wait("the ghost to be gone", async |bed| bed.processes().await == 0).await;
}

#[tokio::test]
async fn a_detached_one_off_runs_once_and_its_exit_can_be_awaited() {
    let bed = Bed::new().await;
    bed.deploy(&[("A", "1")]).await;
    let once = bed.one_off(DynoKind::Run, "exit 7", Terminal::Detached).await;
    let exit = bed.dynos().wait_exit(once).await.expect("an exit");
    assert_eq!(exit, Exit { status: 7, out_of_memory: false });
    assert_eq!(bed.said("app[run.4821]").await, ["goodbye"]);
    assert_eq!(
        bed.said("heroku[run.4821]").await,
        [
            "Starting process with command `exit 7`",
            "State changed from starting to up",
            "Process exited with status 7",
            "State changed from up to complete",
        ]
    );
    let launch = bed.sim.launches().pop().expect("it was started");
    assert_eq!(launch.env["A"], "1");
    assert!(launch.slug.is_some());
    assert!(!launch.env.contains_key("PORT"));
    bed.restart("*").await;
    bed.settled().await;
    assert_eq!(bed.sim.launches().len(), 1);
}

#[tokio::test]
async fn a_one_off_can_be_cancelled_before_and_after_it_began() {
    let bed = Bed::new().await;
    let once = bed.one_off(DynoKind::Run, "work", Terminal::Detached).await;
    bed.wait("it to be up", async |bed| bed.ps().await == ["run.4821 up v0"]).await;
    bed.cancel(once).await;
    let exit = bed.dynos().wait_exit(once).await.expect("an exit");
    assert_eq!(exit.status, 143);
    let late = bed.cancelled_one_off("work").await;
    assert_eq!(bed.dynos().wait_exit(late).await.expect("an exit").status, 143);
    assert_eq!(bed.sim.launches().len(), 1);
}

#[tokio::test]
async fn a_build_that_is_cancelled_is_killed_at_once() {
    let bed = Bed::new().await;
    let once = bed.one_off(DynoKind::Build, "stubborn", Terminal::Detached).await;
    bed.wait("it to run", async |bed| bed.processes().await == 1).await;
    bed.cancel(once).await;
    assert_eq!(bed.dynos().wait_exit(once).await.expect("an exit").status, 137);
}

#[tokio::test]
async fn a_builds_output_is_kept_whole_and_not_logged() {
    let bed = Bed::new().await;
    bed.deploy(&[("SECRET", "1")]).await;
    let once = bed.one_off(DynoKind::Build, "exit 0", Terminal::Detached).await;
    assert_eq!(bed.dynos().wait_exit(once).await.expect("an exit").status, 0);
    assert_eq!(bed.output(once).await, "goodbye\n");
    assert_eq!(bed.said("app[build.4821]").await, Vec::<String>::new());
    assert_eq!(bed.said("heroku[build.4821]").await, Vec::<String>::new());
    let launch = bed.sim.launches().pop().expect("it was started");
    assert!(!launch.env.contains_key("SECRET") && launch.slug.is_none());
    assert_eq!(launch.argv, ["/bin/bash", "-c", "exit 0"]);
    assert_eq!(launch.limits.pids, bed::BUILD_PIDS);
}

#[tokio::test]
async fn a_release_commands_output_is_kept_and_logged() {
    let bed = Bed::new().await;
    let release = bed.deploy(&[]).await;
    let once = bed.one_off(DynoKind::Release, "exit 0", Terminal::Detached).await;
    bed.dynos().wait_exit(once).await.expect("an exit");
    assert_eq!(bed.release_output(release).await, "goodbye\n");
    assert_eq!(bed.said("app[release.4821]").await, ["goodbye"]);
    assert!(bed.sim.launches()[0].env.contains_key("PORT"));
}

#[tokio::test]
async fn an_attached_one_off_waits_for_its_client_and_tells_it_the_exit_status() {
    let bed = Bed::new().await;
    let command = "exit 7 ; echo \"\u{FFFF} heroku-command-exit-status: $?\"";
    let once = bed.one_off(DynoKind::Run, command, Terminal::Pipes).await;
    let awaiting = ["Awaiting client"];
    bed.wait("it to wait", async |bed| bed.said("heroku[run.4821]").await == awaiting).await;
    assert_eq!(bed.sim.launches().len(), 0);
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(app::SECRET, server).await;
    let mut first = [0; 1024];
    let length = client.read(&mut first).await.expect("a greeting");
    assert_eq!(&first[..length], b"rendezvous\r\n");
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.expect("the output");
    assert_eq!(rest, "goodbye\n\u{FFFF} heroku-command-exit-status: 7\n");
    assert_eq!(bed.dynos().wait_exit(once).await.expect("an exit").status, 7);
    assert_eq!(bed.said("app[run.4821]").await, Vec::<String>::new());
    let (mut second, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(app::SECRET, server).await;
    assert_eq!(second.read(&mut first).await.expect("an end"), 0, "once only");
    assert_eq!(bed.sim.launches()[0].terminal, protocol::Terminal::Pipes);
}

#[tokio::test]
async fn a_wrong_secret_is_sent_away() {
    let bed = Bed::new().await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach("rv.0000000000000000000000000000000000000000", server).await;
    assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
}

#[tokio::test]
async fn a_one_off_that_nobody_joins_is_r13() {
    let bed = Bed::with(|config| config.timing.attach = Duration::from_millis(30)).await;
    let once = bed.one_off(DynoKind::Run, "work", Terminal::Pipes).await;
    bed.dynos().wait_exit(once).await.expect("an exit");
    assert_eq!(
        bed.said("heroku[run.4821]").await[..2],
        ["Awaiting client", "Error R13 (Attach error) -> Failed to attach to process"]
    );
    assert_eq!(bed.sim.launches().len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_hangs_up_and_then_it_is_r16() {
    let bed = Bed::with(|config| config.timing.hangup = Duration::from_millis(20)).await;
    let once = bed.one_off(DynoKind::Run, "work", Terminal::Pipes).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(app::SECRET, server).await;
    client.read_exact(&mut [0; 12]).await.expect("a greeting");
    bed.wait("it to be up", async |bed| bed.ps().await == ["run.4821 up v0"]).await;
    drop(client);
    assert_eq!(bed.dynos().wait_exit(once).await.expect("an exit").status, 137);
    let hangup = "Client connection closed. Sending SIGHUP to all processes";
    let said = bed.said("heroku[run.4821]").await;
    assert_eq!(said[3..6], [hangup; 3]);
    assert!(said[6].starts_with("Error R16 (Detached)"), "{said:?}");
}

#[tokio::test]
async fn all_dynos_can_be_stopped_with_the_server() {
    let bed = Bed::new().await;
    bed.scale(&[("web", 2, "serve"), ("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    bed.dynos().stop_all().await;
    bed.wait("no process", async |bed| bed.processes().await == 0).await;
    assert_eq!(bed.ps().await, Vec::<String>::new());
    assert_eq!(bed.sim.launches().len(), 3);
}

#[tokio::test]
async fn a_destroyed_app_leaves_nothing() {
    let bed = Bed::new().await;
    bed.scale(&[("web", 2, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let once = bed.one_off(DynoKind::Run, "work", Terminal::Detached).await;
    bed.wait("it to be up", async |bed| bed.ps().await.len() == 3).await;
    bed.destroy().await;
    bed.dynos().wait_exit(once).await.expect("an exit");
    bed.wait("no process", async |bed| bed.processes().await == 0).await;
    bed.settled().await;
    assert_eq!(bed.ps().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_row_of_a_crash_keeps_its_exit() {
    let bed = Bed::with(|config| config.limits.backoff = vec![Duration::from_secs(600)]).await;
    bed.scale(&[("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let dyno = bed.rows().await.remove(0);
    bed.sim.crash(dyno.id, 0);
    bed.wait("the crash", async |bed| bed.ps().await == ["worker.1 crashed v1"]).await;
    let dyno = bed.rows().await.remove(0);
    assert_eq!(dyno.exit, Some(Exit { status: 0, out_of_memory: false }));
    assert_eq!(dyno.state, DynoState::Crashed);
}
