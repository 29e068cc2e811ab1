//! The reconciler: reads what is wanted, looks at what is, asks the planner, does what it says.
//!
//! It never learns why it was woken. Each round reads once, plans once, and acts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::dyno::{DynoKind, StopReason};
use model::plan::{self, Action, Desired, DynoSpec, Observed, Plan};
use model::steps::{Step, reached};
use model::{AppId, DynoId, Timestamp};
use store::{Poke, one_offs};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::dyno::Handle;
use crate::lobby::Client;
use crate::manager::{House, Order, Views};
use crate::views;

mod births;
mod shortage;

use shortage::Shortage;

/// After a round that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The plan is asked again after this time even if nothing happens, for wall clocks jump.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// On top of drain and grace, when all dynos are stopped.
const SPARE: Duration = Duration::from_secs(30);

/// The reconciler's task.
pub(crate) struct Reconciler {
    house: Arc<House>,
    dynos: HashMap<DynoId, Handle>,
    /// Clients that came before the task of their dyno.
    guests: HashMap<DynoId, Client>,
    inbox: mpsc::Receiver<Order>,
    views: watch::Sender<Views>,
    /// Sleeping apps that a request has come for, until something starts.
    woken: BTreeSet<AppId>,
    /// What there is no memory for, as it was last said.
    shortage: Shortage,
    /// As it was last read.
    desired: Desired,
}

/// Why a wait is over.
enum Woken {
    /// Look again.
    Look,
    /// Never again.
    End,
}

impl Reconciler {
    /// A reconciler of these dynos, and the views that it publishes: from the first moment those
    /// that are up are in it.
    pub(crate) async fn new(
        house: Arc<House>,
        dynos: HashMap<DynoId, Handle>,
        inbox: mpsc::Receiver<Order>,
    ) -> store::Result<(Self, watch::Receiver<Views>)> {
        let desired = house.rooms.store.read(store::desired::read).await?;
        let (publish, views) = watch::channel(Arc::new(views::of(&desired, &dynos)));
        let (guests, woken, shortage) = (HashMap::new(), BTreeSet::new(), Shortage::default());
        let reconciler =
            Self { house, dynos, guests, inbox, views: publish, woken, shortage, desired };
        Ok((reconciler, views))
    }

    /// Runs until the manager is cancelled, or told to stop all dynos.
    pub(crate) async fn run(mut self) {
        let mut pokes = self.house.rooms.store.subscribe(Poke::Dynos);
        loop {
            // Before the reading, so that what changes during it wakes again.
            pokes.mark_unchanged();
            let wait = match self.round().await {
                Ok(wake_at) => {
                    wake_at.map_or(LOOK_AGAIN, |at| at.since(self.house.now()).min(LOOK_AGAIN))
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "could not reconcile dynos; trying again");
                    RETRY
                }
            };
            match self.wait(&mut pokes, wait).await {
                Woken::Look => {}
                Woken::End => return,
            }
        }
    }

    /// One round; answers when the next is due.
    async fn round(&mut self) -> store::Result<Option<Timestamp>> {
        // A dyno that came up is offered even while the database is slow.
        self.publish();
        self.desired = self.house.rooms.store.read(store::desired::read).await?;
        let observed = self.observed();
        let limits = &self.house.config.limits;
        let plan = plan::plan(&self.desired, &observed, self.house.now(), limits);
        self.woken.clone_from(&plan.waking);
        self.tell_shortage(&plan).await?;
        let unborn = self.act(&plan, &observed).await?;
        self.report(&plan).await?;
        self.publish();
        let wanted = |id| self.desired.one_offs.iter().any(|once| once.id == id);
        self.guests.retain(|&id, _| wanted(id));
        let retry = (unborn > 0).then(|| self.house.now() + RETRY);
        Ok(plan.wake_at.into_iter().chain(retry).min())
    }

    fn observed(&self) -> Observed {
        let dynos = self.dynos.iter().map(|(&id, handle)| (id, handle.observed()));
        Observed { dynos: dynos.collect(), woken: self.woken.clone() }
    }

    /// Does what the plan says; answers how many dynos could not be started.
    async fn act(&mut self, plan: &Plan, observed: &Observed) -> store::Result<usize> {
        let starts = plan.actions.iter().filter_map(|action| match action {
            Action::Start(spec) => Some(spec.clone()),
            Action::Stop { .. } | Action::Freeze(_) | Action::Thaw(_) | Action::Forget(_) => None,
        });
        let starts: Vec<DynoSpec> = starts.collect();
        // Starts go first: what they replace is stopped with the successor already announced.
        let unborn = self.start(starts).await?;
        let mut forgotten = Vec::new();
        for action in &plan.actions {
            match action {
                Action::Start(_) => {}
                Action::Stop { dyno, why } => {
                    self.dynos.get(dyno).into_iter().for_each(|handle| handle.stop(*why));
                }
                Action::Freeze(dyno) => {
                    self.dynos.get(dyno).into_iter().for_each(Handle::freeze);
                }
                Action::Thaw(dyno) => self.dynos.get(dyno).into_iter().for_each(Handle::thaw),
                Action::Forget(dyno) => forgotten.push(*dyno),
            }
        }
        self.forget(forgotten, observed).await?;
        Ok(unborn)
    }

    /// Closes the books, in the store first.
    async fn forget(&mut self, dynos: Vec<DynoId>, observed: &Observed) -> store::Result<()> {
        if dynos.is_empty() {
            return Ok(());
        }
        let kind = |id| observed.dynos.get(&id).map(|dyno| dyno.kind);
        let books: Vec<_> = dynos.iter().map(|&id| (id, kind(id))).collect();
        let now = self.house.now();
        let closed = self.house.rooms.store.write(move |tx| {
            for (id, kind) in books {
                match kind {
                    Some(DynoKind::Formation) => store::dynos::forget(tx, id)?,
                    // Its own end has written this, unless it never began.
                    _ => one_offs::finish(tx, id, now)?,
                }
            }
            Ok::<_, store::Error>(())
        });
        closed.await?;
        reached(Step::DynoForgotten);
        for id in dynos {
            self.dynos.remove(&id);
            // A one-off that never began may have had a client.
            self.guests.remove(&id);
        }
        Ok(())
    }

    /// Writes the generations that this plan found made true.
    async fn report(&self, plan: &Plan) -> store::Result<()> {
        let news = self.desired.apps.iter().filter(|app| {
            app.observed_generation < app.generation && !plan.busy.contains(&app.app)
        });
        let news: Vec<_> = news.map(|app| (app.app, app.generation)).collect();
        if news.is_empty() {
            return Ok(());
        }
        self.house.rooms.store.write(move |tx| store::desired::made_true(tx, &news)).await?;
        reached(Step::MadeTrue);
        Ok(())
    }

    fn publish(&self) {
        let views = views::of(&self.desired, &self.dynos);
        self.views.send_if_modified(|published| {
            let changed = !views::same(published, &views);
            if changed {
                *published = Arc::new(views);
            }
            changed
        });
    }

    /// Waits until there is a reason to look again.
    async fn wait(&mut self, pokes: &mut watch::Receiver<u64>, time: Duration) -> Woken {
        let timer = sleep(time);
        tokio::pin!(timer);
        loop {
            let house = self.house.clone();
            // All arms only wait, or take one order, which is handled below.
            let order = tokio::select! {
                () = house.cancel.cancelled() => return Woken::End,
                changed = pokes.changed() => match changed {
                    Ok(()) => return Woken::Look,
                    Err(_closed) => return Woken::End,
                },
                () = house.news.notified() => return Woken::Look,
                () = &mut timer => return Woken::Look,
                // When nobody can ask any more, the dynos still need us.
                Some(order) = self.inbox.recv() => order,
            };
            match order {
                Order::Join(dyno, client) => {
                    let client = Client::New(client);
                    match self.dynos.get(&dyno) {
                        Some(handle) => handle.join(client),
                        // Its dyno's task comes, or there is no memory for it.
                        None => {
                            // Who came first stays.
                            self.guests.entry(dyno).or_insert(client);
                            return Woken::Look;
                        }
                    }
                }
                Order::Visit(visit, client) => {
                    // One that has gone meanwhile is visited by nobody: the client is let go.
                    if let Some(handle) = self.dynos.get(&visit.dyno) {
                        handle.visit(*visit, client);
                    }
                }
                Order::Wake(app) => {
                    self.woken.insert(app);
                    return Woken::Look;
                }
                Order::StopAll(done) => return self.stop_all(done).await,
            }
        }
    }

    async fn stop_all(&mut self, done: oneshot::Sender<()>) -> Woken {
        for handle in self.dynos.values() {
            handle.stop(match handle.observed().kind {
                DynoKind::Formation => StopReason::ScaledDown,
                DynoKind::Run | DynoKind::Release | DynoKind::Build => StopReason::Cancelled,
            });
        }
        self.publish();
        let gone = async {
            for handle in self.dynos.values_mut() {
                handle.gone().await;
            }
        };
        let timing = self.house.config.timing;
        if timeout(timing.drain + timing.stop_grace + SPARE, gone).await.is_err() {
            tracing::error!("some dynos did not stop in time");
        }
        // Who asked may have gone.
        let _asked = done.send(());
        Woken::End
    }
}
