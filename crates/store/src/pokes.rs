//! Pokes: "something of this sort changed, look again". They carry nothing, because a reconciler
//! never learns why it was called.

use tokio::sync::watch;

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poke {
    /// Something that decides which dynos are wanted.
    Dynos,
    /// Something that decides where a request goes.
    Routes,
    /// A build waits, or may be claimed now.
    Builds,
    /// A release was made or settled.
    Releases,
    /// A dyno that is wanted once has ended, or was asked to.
    OneOffs,
    /// Something is to be thrown away.
    Garbage,
    /// Something that decides who is shown which certificate, or wants one.
    Certificates,
    /// Who is to be told of which log lines.
    LogRules,
    /// Where lines are to be sent.
    Drains,
}

impl Poke {
    const COUNT: usize = 9;

    const fn index(self) -> usize {
        self as usize
    }
}

/// One counter per poke; waiters watch it grow.
pub(crate) struct Pokes([watch::Sender<u64>; Poke::COUNT]);

impl Pokes {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| watch::Sender::new(0)))
    }

    pub(crate) fn subscribe(&self, poke: Poke) -> watch::Receiver<u64> {
        self.0[poke.index()].subscribe()
    }

    pub(crate) fn deliver(&self, pokes: &[Poke]) {
        for poke in pokes {
            self.0[poke.index()].send_modify(|count| *count += 1);
        }
    }
}
