//! The beginning: taking over what an earlier server left.
//!
//! Every row that is not over gets its task, which looks for the process; nothing is planned before
//! all have answered or the time is up. What runs without such a row is nobody's, and ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::DynoId;
use model::dyno::{DynoKind, OneOff};
use store::dynos::Life;
use store::one_offs;
use tokio::time::timeout;

use crate::dyno::{self, Begin, Handle};
use crate::manager::{Error, House};

/// A process that is nobody's is over within this time after SIGKILL.
const KILL: Duration = Duration::from_secs(20);

/// All dynos that the store knows, each with its task or remembered as over.
pub(crate) async fn all(house: &Arc<House>) -> Result<HashMap<DynoId, Handle>, Error> {
    let listed = house.runtime.list().await;
    let mut present: HashSet<DynoId> =
        listed.map_err(|source| Error::RunDirectory { source })?.into_iter().collect();
    let lives = house.rooms.store.read(lives).await?;
    let mut dynos = HashMap::new();
    for (life, once) in lives {
        let id = life.dyno.id;
        let handle = match life.ended_at {
            Some(at) => dyno::remember(&life, at),
            None => {
                present.remove(&id);
                dyno::spawn(house, life, once, Begin::Adopt)
            }
        };
        dynos.insert(id, handle);
    }
    for orphan in present {
        let (mine, cancel) = (house.clone(), house.cancel.clone());
        house.tracker.spawn(async move { cancel.run_until_cancelled(end(&mine, orphan)).await });
    }
    let answers = join_all(dynos.values_mut().map(Handle::answered));
    if timeout(house.config.timing.adopt, answers).await.is_err() {
        tracing::warn!("some dynos have not answered yet; they stay as they are until they do");
    }
    tracing::info!(dynos = dynos.len(), "took over the dynos that run");
    Ok(dynos)
}

fn lives(db: &store::Reader<'_>) -> store::Result<Vec<(Life, Option<OneOff>)>> {
    let mut lives = Vec::new();
    for life in store::dynos::open(db)? {
        let once = match life.dyno.kind {
            DynoKind::Formation => None,
            DynoKind::Run | DynoKind::Release | DynoKind::Build => {
                one_offs::find(db, life.dyno.id)?
            }
        };
        lives.push((life, once));
    }
    Ok(lives)
}

/// Ends a process that no row speaks of, and removes what it left.
async fn end(house: &House, dyno: DynoId) {
    tracing::warn!(dyno.id = %dyno, "a dyno that nobody wants was found and is ended");
    if let Ok(mut process) = house.runtime.find(dyno).await {
        process.kill().await;
        let _over = timeout(KILL, process.over()).await;
        process.forget().await;
    }
    house.runtime.clean(dyno).await;
}
