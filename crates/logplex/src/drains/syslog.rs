//! The task of a syslog drain: frames over TCP or TLS.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Backoff;
use super::dial::{Connection, dial};
use super::frame::Framer;
use super::outlet::Outlet;
use super::sent::{Ended, Keep, Sent};
use crate::record::Record;

/// Bytes of lines that are written at once, about. What is in one write arrives or not together.
/// What ten thousand lines a second make of one gathering fits in.
const CHUNK: usize = 32 << 10;

/// What is kept although it arrived, because it may be unread.
const KEEP: Keep = Keep { always: 256 << 10, most: 1 << 20 };

/// Lines that are written at once.
const CHUNK_LINES: usize = 256;

/// How often the kernel is asked what has arrived while nothing new is written.
const SETTLE: Duration = Duration::from_millis(100);

/// Why a connection was left.
enum Left {
    /// The receiver closed it.
    Closed,
    /// It broke, or stood still too long.
    Broken(String),
    /// It was not used for long, or is old: a new one is made when there is something to say.
    Rested,
    /// All is said, and the task is to end.
    Done,
}

/// Sends lines until the drain is to end. What has not arrived then goes back to the buffer.
pub(crate) async fn run(outlet: &Outlet) {
    let mut post = Post {
        outlet,
        framer: Framer::syslog(&model::drain::token(outlet.drain.id)),
        sent: Sent::new(KEEP, outlet.house.pool.clone()),
        bytes: Vec::with_capacity(CHUNK * 2),
    };
    // Dropped, the work has left every line in `sent`, in the buffer or with the receiver.
    tokio::select! {
        () = post.work() => {}
        () = outlet.quit.at_once() => {}
    }
    outlet.buffer.push_kept(None, post.sent.take_rest());
}

struct Post<'a> {
    outlet: &'a Outlet,
    framer: Framer,
    sent: Sent,
    bytes: Vec<u8>,
}

impl Post<'_> {
    async fn work(&mut self) {
        let timing = &self.outlet.house.config.timing;
        let mut backoff = Backoff::new(timing.first_wait, timing.longest_wait);
        while self.has_something().await {
            let mut connection = match dial(&self.outlet.house, &self.outlet.drain.url).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.outlet.not_reached(&error);
                    if !self.wait(backoff.after_failure()).await {
                        return;
                    }
                    continue;
                }
            };
            let before = self.outlet.book.arrived();
            let left = self.pump(&mut connection).await;
            if matches!(left, Left::Rested | Left::Done) {
                // Politeness; everything has arrived.
                let _ = timeout(SETTLE, connection.io.shutdown()).await;
            }
            self.leave(&connection, &left);
            let took_some = self.outlet.book.arrived() > before;
            match left {
                Left::Done => return,
                Left::Rested => backoff.reset(),
                Left::Closed | Left::Broken(_) if took_some => backoff.reset(),
                Left::Closed | Left::Broken(_) => {
                    if !self.wait(backoff.after_failure()).await {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for something to send. False when the task is to end instead.
    async fn has_something(&self) -> bool {
        if !self.sent.is_empty() || !self.outlet.buffer.is_empty() {
            return true;
        }
        // Both only look: dropping one loses nothing.
        tokio::select! {
            () = self.outlet.buffer.ready() => true,
            () = self.outlet.quit.asked() => false,
        }
    }

    /// Waits before the next try. When the server stops there is one more try, and no more.
    async fn wait(&self, time: Duration) -> bool {
        let was_asked = self.outlet.quit.is_asked();
        self.outlet.quit.pause(time).await || !was_asked
    }

    /// Sends what there is until the connection is to be left.
    async fn pump(&mut self, connection: &mut Connection) -> Left {
        let (idle, age) = {
            let timing = &self.outlet.house.config.timing;
            (timing.idle, Instant::now() + timing.age)
        };
        let mut rest_at = Instant::now() + idle;
        loop {
            self.settle(connection);
            if self.begin() {
                rest_at = Instant::now() + idle;
                match self.written(connection).await {
                    Ok(()) => continue,
                    Err(why) => return Left::Broken(why),
                }
            }
            if self.outlet.quit.is_asked() && self.sent.is_acknowledged() {
                return Left::Done;
            }
            if let Some(left) = self.listen(connection, rest_at.min(age)).await {
                return left;
            }
        }
    }

    /// Takes the next lines and makes their frames. False when there are none.
    fn begin(&mut self) -> bool {
        let mut records = self.sent.take_again(CHUNK_LINES);
        if records.is_empty() {
            records = self.outlet.buffer.take(CHUNK_LINES, CHUNK);
        }
        if records.is_empty() {
            return false;
        }
        self.bytes.clear();
        records.iter().for_each(|record| self.framer.write(record, &mut self.bytes));
        self.sent.begin(records);
        true
    }

    /// Hands the frames to the kernel. It may take long when the receiver does not read, but not
    /// without any progress.
    async fn written(&mut self, connection: &mut Connection) -> Result<(), String> {
        let stall = self.outlet.house.config.timing.stall;
        let late = |_| format!("the receiver has read nothing for {stall:?}");
        let failed = |error: std::io::Error| format!("cannot write: {error}");
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let written = timeout(stall, connection.io.write(rest)).await;
            let count = written.map_err(late)?.map_err(failed)?;
            rest = &rest[count..];
        }
        timeout(stall, connection.io.flush()).await.map_err(late)?.map_err(failed)?;
        self.sent.end(connection.written());
        Ok(())
    }

    /// Waits for lines, for the receiver's word, or for the time to ask what has arrived.
    async fn listen(&mut self, connection: &mut Connection, rest_at: Instant) -> Option<Left> {
        let mut scratch = [0; 512];
        let is_flushing = self.outlet.quit.is_asked();
        let settle_at = Instant::now() + SETTLE;
        let wants_settling = !self.sent.is_empty();
        // Each arm only waits: what is read here is not wanted, and lines stay in the buffer.
        tokio::select! {
            () = self.outlet.buffer.ready() => None,
            read = connection.io.read(&mut scratch) => match read {
                Ok(0) => Some(Left::Closed),
                Ok(_) => None,
                // TLS that ends without a word, as many programs end it.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Some(Left::Closed),
                Err(error) => Some(Left::Broken(format!("the connection broke: {error}"))),
            },
            () = sleep_until(settle_at), if wants_settling => None,
            () = sleep_until(rest_at), if !wants_settling => Some(Left::Rested),
            () = self.outlet.quit.asked(), if !is_flushing => None,
        }
    }

    fn settle(&mut self, connection: &Connection) {
        if self.sent.is_empty() {
            return;
        }
        let arrived = self.sent.settle(connection.gauge(), std::time::Instant::now());
        self.outlet.book.delivered(&arrived, 0);
        self.outlet.book.reached(self.sent.read());
    }

    /// Notes what became of the lines on their way.
    fn leave(&mut self, connection: &Connection, left: &Left) {
        let gauge = connection.gauge();
        let ended = match left {
            Left::Rested => Ended::ByUs,
            Left::Done if self.sent.reader_keeps_up(gauge) => Ended::ByUs,
            Left::Done | Left::Closed | Left::Broken(_) => Ended::ByReceiver,
        };
        let arrived: Vec<Arc<Record>> =
            self.sent.disconnect(ended, gauge, std::time::Instant::now());
        self.outlet.book.delivered(&arrived, 0);
        self.outlet.book.reached(self.sent.read());
        match left {
            Left::Broken(why) => self.outlet.book.failed(why.clone()),
            Left::Closed if !self.sent.is_empty() => {
                self.outlet.book.failed("the receiver closed the connection".to_owned());
            }
            Left::Closed | Left::Rested | Left::Done => {}
        }
    }
}
