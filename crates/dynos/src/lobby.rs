//! The lobby: clients of one-offs that have not begun, for there is no memory for them yet.
//!
//! Such a client is greeted, and told why it waits when that takes longer than a moment. If it leaves,
//! nobody wants its one-off any more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::dyno::{OneOff, Terminal};
use store::{Poke, one_offs};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::attach::Session;
use crate::manager::House;

/// A wait that is not worth a word.
const MOMENT: Duration = Duration::from_secs(1);

/// Somebody who has said the secret of a one-off.
pub(crate) enum Client {
    /// Has heard nothing yet.
    New(UnixStream),
    /// Has waited in the lobby.
    Waiting(Waiting),
}

/// The door between the lobby and a dyno.
pub(crate) struct Waiting {
    admit: oneshot::Sender<()>,
    session: oneshot::Receiver<Session>,
}

impl Client {
    /// Has the client greeted, if nobody has.
    ///
    /// # Errors
    /// When it has gone already.
    pub(crate) async fn session(self, command: String, idle: Duration) -> io::Result<Session> {
        match self {
            Self::New(client) => Session::begin(client, command, idle).await,
            Self::Waiting(Waiting { admit, session }) => {
                let left = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
                // An error is heard again from the session.
                let _left = admit.send(());
                session.await.map_err(left)
            }
        }
    }
}

/// Shows a client into the lobby. `why` is what it waits for, in a person's words.
pub(crate) fn wait(house: &Arc<House>, client: UnixStream, once: OneOff, why: String) -> Waiting {
    let (admit, admitted) = oneshot::channel();
    let (give, session) = oneshot::channel();
    let (house, cancel, tracker) = (house.clone(), house.cancel.clone(), house.tracker.clone());
    let wait = async move {
        let idle = house.config.timing.attach_idle;
        let greeted = Session::begin(client, once.command.clone(), idle).await;
        match stay(greeted, once.terminal, admitted, &why).await {
            // Its dyno may have ended in this moment.
            Stay::Admitted(session) => drop(give.send(session)),
            Stay::SentAway => {}
            Stay::Left => unwanted(&house, &once).await,
        }
    };
    tracker.spawn(async move { cancel.run_until_cancelled(wait).await });
    Waiting { admit, session }
}

/// How a stay in the lobby ended.
enum Stay {
    Admitted(Session),
    SentAway,
    Left,
}

async fn stay(
    greeted: io::Result<Session>,
    terminal: Terminal,
    mut admitted: oneshot::Receiver<()>,
    why: &str,
) -> Stay {
    let Ok(mut session) = greeted else { return Stay::Left };
    // Whichever comes first decides; a client that is not admitted is disconnected.
    tokio::select! {
        admitted = &mut admitted => return over(admitted, session),
        () = session.left() => return Stay::Left,
        () = sleep(MOMENT) => {}
    }
    // What is not shown to a person is data, and this is none.
    if matches!(terminal, Terminal::Pty { .. }) && session.tell(why).await.is_err() {
        return Stay::Left;
    }
    tokio::select! {
        admitted = &mut admitted => over(admitted, session),
        () = session.left() => Stay::Left,
    }
}

fn over(admitted: Result<(), oneshot::error::RecvError>, session: Session) -> Stay {
    match admitted {
        Ok(()) => Stay::Admitted(session),
        // Nobody wants the one-off any more.
        Err(_) => Stay::SentAway,
    }
}

/// The client has left before its one-off began.
async fn unwanted(house: &House, once: &OneOff) {
    let (id, now) = (once.id, house.now());
    let cancelled = house.rooms.store.write(move |tx| {
        one_offs::cancel(tx, id, now)?;
        tx.poke(Poke::Dynos);
        Ok::<_, store::Error>(())
    });
    if let Err(error) = cancelled.await {
        let error: &dyn std::error::Error = &error;
        tracing::error!(dyno.id = %id, error, "could not cancel a one-off whose client has left");
    }
}
