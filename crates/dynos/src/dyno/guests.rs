//! Guests: programs that people run inside a running dyno (`heroku run:inside`). Each has a client,
//! and goes when that leaves.

use std::sync::Arc;

use model::dyno::Visit;
use sandbox::protocol::Exec;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::attach::Session;
use crate::launch;
use crate::runtime::{self, Inside};

use super::{Keeper, Phase};

const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;

/// Clients that wait to be let in; more are sent away.
const DOORSTEP: usize = 8;

/// Signals that wait to be passed on. A client's leaving waits for a place.
const SIGNALS: usize = 16;

/// A client, and what it wants to run.
pub(super) type Caller = (Visit, UnixStream);

/// A signal to the program of this number.
type Wish = (u32, i32);

/// A dyno's guests.
pub(super) struct Guests {
    callers: mpsc::Receiver<Caller>,
    wish: mpsc::Sender<Wish>,
    wishes: mpsc::Receiver<Wish>,
    /// Shared with the task of each guest.
    inside: Arc<()>,
}

/// What happens about guests.
pub(super) enum Event {
    /// Somebody wants in.
    Call(Box<Caller>),
    /// A guest is to be signalled.
    Signal(Wish),
}

impl Guests {
    /// None yet, and the door through which they come.
    pub(super) fn none() -> (mpsc::Sender<Caller>, Self) {
        let (door, callers) = mpsc::channel(DOORSTEP);
        let (wish, wishes) = mpsc::channel(SIGNALS);
        (door, Self { callers, wish, wishes, inside: Arc::default() })
    }

    /// Whether anybody is inside.
    pub(super) fn are_inside(&self) -> bool {
        Arc::strong_count(&self.inside) > 1
    }

    /// Waits for something to happen. Loses nothing when dropped.
    pub(super) async fn next(&mut self) -> Event {
        // Both arms only take from a queue. We hold a sender of the second, so it never ends.
        tokio::select! {
            Some(caller) = self.callers.recv() => Event::Call(Box::new(caller)),
            Some(wish) = self.wishes.recv() => Event::Signal(wish),
        }
    }
}

impl Keeper {
    pub(super) async fn attend(&mut self, event: Event) -> Phase {
        match event {
            Event::Call(caller) => {
                let (visit, client) = *caller;
                self.let_in(visit, client).await;
            }
            Event::Signal((number, signal)) => {
                if let Some(process) = &mut self.process {
                    process.signal_inside(number, signal).await;
                }
            }
        }
        Phase::Up
    }

    /// Runs what a visit asks for, or tells its client why not.
    async fn let_in(&mut self, visit: Visit, client: UnixStream) {
        // A frozen dyno runs nothing.
        self.wake_up().await;
        let idle = self.house.config.timing.attach_idle;
        let Ok(session) = Session::begin(client, visit.command.clone(), idle).await else { return };
        let begun = match self.exec(&visit).await {
            Ok(exec) => self.run_inside(exec).await.map_err(|error| error.chain()),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(dyno.id = %self.id(), error = cause, "could not read a release");
                Err("the platform could not read the dyno's release".to_owned())
            }
        };
        match begun {
            Ok(inside) => self.entertain(session, inside),
            Err(reason) => session.refuse(&reason).await,
        }
    }

    async fn exec(&self, visit: &Visit) -> store::Result<Exec> {
        let given = match self.life.dyno.release {
            Some(release) => {
                let read = move |db: &store::Reader<'_>| store::desired::given(db, release);
                self.house.rooms.store.read(read).await?
            }
            None => None,
        };
        Ok(launch::guest(&self.life.dyno, given.as_ref(), visit))
    }

    async fn run_inside(&mut self, exec: Exec) -> Result<Inside, runtime::Error> {
        match &mut self.process {
            Some(process) => process.exec(exec).await,
            None => Err(runtime::Error::Gone),
        }
    }

    /// Lets bytes flow between a client and its program, and ends that when the client leaves.
    fn entertain(&self, session: Session, inside: Inside) {
        let Inside { number, streams, status } = inside;
        let (wish, here) = (self.guests.wish.clone(), self.guests.inside.clone());
        let (house, patience) = (self.house.clone(), self.house.config.timing.hangup);
        let visit = async move {
            let left = session.relay(streams, status).await;
            if let Some(streams) = left {
                // A terminal that closes hangs up by itself; pipes do not.
                drop(streams);
                // An error is the end of the dyno, and so of the guest.
                let _ended = wish.send((number, SIGHUP)).await;
                sleep(patience).await;
                let _ended = wish.send((number, SIGKILL)).await;
            }
            drop(here);
            // A dyno that nobody is in may rest.
            house.news.notify_one();
        };
        let cancel = self.house.cancel.clone();
        // The shim ends what the server leaves behind.
        self.house.tracker.spawn(async move { cancel.run_until_cancelled(visit).await });
    }
}
