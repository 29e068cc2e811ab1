//! Sharing connections out among the threads.
//!
//! The kernel chooses a thread's listener by chance. Among many connections that is even enough; of
//! the few that a busy HTTP/2 client or a proxy in front opens, all may meet on one thread while the
//! others idle. So a thread that has clearly more than another gives what it accepts away, before
//! anything was read from it. That costs a few microseconds, so nothing is moved for small odds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Connections that may wait for another thread; beyond it they stay where they are.
const INBOX: usize = 256;

/// A connection that another thread has accepted.
pub struct Guest {
    /// The connection, known to no runtime.
    pub stream: std::net::TcpStream,
    /// Who connected.
    pub peer: SocketAddr,
    /// The number of the listener.
    pub door: usize,
    /// Its place on the thread it comes to.
    pub open: Open,
}

/// One thread, as the others see it.
struct Seat {
    open: AtomicUsize,
    inbox: mpsc::Sender<Guest>,
}

/// One thread's view of all.
#[derive(Clone)]
pub struct Balance {
    seats: Arc<[Seat]>,
    own: usize,
}

/// A connection that is open on a thread; dropping it ends that.
pub struct Open {
    seats: Arc<[Seat]>,
    number: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.seats[self.number].open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Balance {
    /// One for each of so many threads, with what the others give it.
    pub fn among(threads: usize) -> Vec<(Self, mpsc::Receiver<Guest>)> {
        let (inboxes, guests): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(INBOX)).unzip();
        let seat = |inbox| Seat { open: AtomicUsize::new(0), inbox };
        let seats: Arc<[Seat]> = inboxes.into_iter().map(seat).collect();
        let view = |(own, guests)| (Self { seats: seats.clone(), own }, guests);
        guests.into_iter().enumerate().map(view).collect()
    }

    /// Counts one more connection on this thread.
    pub fn open(&self) -> Open {
        self.open_on(self.own)
    }

    fn open_on(&self, number: usize) -> Open {
        self.seats[number].open.fetch_add(1, Ordering::Relaxed);
        Open { seats: self.seats.clone(), number }
    }

    /// Gives a connection to a thread that has clearly fewer. `None` if it is gone, be it because it
    /// was lost on the way.
    pub fn give(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        door: usize,
    ) -> Option<(TcpStream, SocketAddr)> {
        let Some(number) = self.lighter() else { return Some((stream, peer)) };
        let Ok(place) = self.seats[number].inbox.try_reserve() else { return Some((stream, peer)) };
        let stream = stream.into_std().ok()?;
        place.send(Guest { stream, peer, door, open: self.open_on(number) });
        None
    }

    /// The thread with the fewest connections, if this one has clearly more.
    fn lighter(&self) -> Option<usize> {
        let own = self.seats[self.own].open.load(Ordering::Relaxed);
        if own == 0 {
            return None;
        }
        let open = |&number: &usize| self.seats[number].open.load(Ordering::Relaxed);
        let lightest = (0..self.seats.len()).min_by_key(open)?;
        let other = open(&lightest);
        (own > other + other / 2).then_some(lightest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_spread_evenly_and_small_odds_among_many_are_left_alone() {
        let threads = Balance::among(3);
        let views: Vec<Balance> = threads.iter().map(|(view, _)| view.clone()).collect();
        assert!(views[0].lighter().is_none(), "nobody has any");
        let mut open = vec![views[0].open()];
        assert_eq!(views[0].lighter(), Some(1));
        assert!(views[1].lighter().is_none());
        open.extend([views[1].open(), views[2].open()]);
        assert!(views[0].lighter().is_none(), "one each");
        open.extend((0..40).flat_map(|_| [views[1].open(), views[2].open()]));
        open.extend((0..50).map(|_| views[0].open()));
        assert!(views[0].lighter().is_none(), "51 beside 41");
        open.extend((0..12).map(|_| views[0].open()));
        assert!(views[0].lighter().is_some(), "63 beside 41");
        drop(open);
        assert!(views[0].lighter().is_none());
    }
}
