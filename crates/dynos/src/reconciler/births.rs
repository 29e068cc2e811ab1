//! Starting what the plan says: one read for all, one write for all, then their tasks.

use std::collections::HashMap;

use model::dyno::{DynoKind, OneOff};
use model::plan::{DynoSpec, Follows, FormationDyno};
use model::steps::{Step, reached};
use model::{Dyno, DynoId, DynoState, ReleaseId, Timestamp};
use store::desired::{self, Given};
use store::dynos::Life;
use store::one_offs;

use crate::dyno::{self, Begin};
use crate::launch::{self, Launch, Recorded};
use crate::voice::Voice;

use super::Reconciler;

/// A dyno to be started, with what the store says of it.
struct Birth {
    life: Life,
    once: Option<OneOff>,
    given: Option<Given>,
    follows: Follows,
    last_request: Option<Timestamp>,
}

impl Reconciler {
    /// Starts dynos; answers how many could not be, for reasons of their own.
    pub(super) async fn start(&mut self, specs: Vec<DynoSpec>) -> store::Result<usize> {
        if specs.is_empty() {
            return Ok(0);
        }
        let wanted = specs.len();
        self.house.runtime.expect_starts();
        let now = self.house.now();
        let births = self.house.rooms.store.read(move |db| Ok(births(db, specs, now)));
        let births: Vec<Birth> = births.await.inspect_err(|_: &store::Error| {})?;
        let prepared: Vec<_> = births.into_iter().filter_map(|birth| self.prepare(birth)).collect();
        let rows: Vec<Life> = prepared.iter().map(|(birth, _)| birth.life.clone()).collect();
        let recorded = self.record(rows).await?;
        reached(Step::DynoRowWritten);
        let born = prepared.len();
        for (birth, mut launch) in prepared {
            launch.recorded = recorded.clone();
            self.bear(birth, launch);
        }
        Ok(wanted - born)
    }

    /// Writes the rows of dynos that are about to begin.
    async fn record(&self, rows: Vec<Life>) -> store::Result<Recorded> {
        let store = self.house.rooms.store.clone();
        let once = rows.iter().any(|life| life.dyno.kind != DynoKind::Formation);
        let insert = move |tx: &mut store::Tx<'_>| {
            rows.iter().try_for_each(|life| store::dynos::insert(tx, life))
        };
        store.note(insert).await?;
        if !once {
            return Ok(Recorded::seen());
        }
        let (recording, recorded) = Recorded::soon();
        self.house.tracker.spawn(async move {
            let settled = store.settle().await;
            if let Err(error) = &settled {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "could not take to the disk that one-off dynos begin");
            }
            recording.end(settled.is_ok());
        });
        Ok(recorded)
    }

    fn prepare(&self, birth: Birth) -> Option<(Birth, Launch)> {
        let (config, blobs) = (&self.house.config, &self.house.rooms.blobs);
        let dyno = &birth.life.dyno;
        let prepared =
            launch::prepare(config, blobs, dyno, birth.given.as_ref(), birth.once.as_ref());
        match prepared {
            Ok(launch) => Some((birth, launch)),
            Err(error) => {
                complain(birth.life.dyno.id, &error);
                None
            }
        }
    }

    fn bear(&mut self, birth: Birth, launch: Launch) {
        let dyno = &birth.life.dyno;
        let id = dyno.id;
        Voice::new(self.house.rooms.logs.clone(), dyno.app, &dyno.name, dyno.kind)
            .follows(birth.follows);
        let begin = Begin::Launch(Box::new(launch), birth.last_request);
        let handle = dyno::spawn(&self.house, birth.life, birth.once, begin);
        if let Some(guest) = self.guests.remove(&id) {
            handle.join(guest);
        }
        self.dynos.insert(id, handle);
    }
}

/// What the store says of the dynos in `specs`. One that cannot be read does not stop the others.
fn births(db: &store::Reader<'_>, specs: Vec<DynoSpec>, now: Timestamp) -> Vec<Birth> {
    let mut releases = HashMap::new();
    let mut births = Vec::new();
    for spec in specs {
        let birth = match spec {
            DynoSpec::Formation(wanted) => of_formation(db, &mut releases, wanted, now).map(Some),
            DynoSpec::Once(id) => of_one_off(db, &mut releases, id, now),
        };
        match birth {
            Ok(birth) => births.extend(birth),
            Err((id, error)) => complain(id, &error),
        }
    }
    births
}

type Releases = HashMap<ReleaseId, Option<Given>>;
type Unborn = (DynoId, store::Error);

fn of_formation(
    db: &store::Reader<'_>,
    releases: &mut Releases,
    wanted: FormationDyno,
    now: Timestamp,
) -> Result<Birth, Unborn> {
    let id = DynoId::random();
    let given = given(db, releases, Some(wanted.release.id)).map_err(|error| (id, error))?;
    let dyno = Dyno {
        id,
        app: wanted.app,
        name: wanted.name,
        kind: DynoKind::Formation,
        release: Some(wanted.release.id),
        release_version: wanted.release.version,
        command: wanted.command,
        size: wanted.size,
        state: DynoState::Starting,
        exit: None,
        created_at: now,
        up_at: None,
        updated_at: now,
    };
    let life = life(dyno, wanted.crashes);
    let (follows, last_request) = (wanted.follows, wanted.last_request);
    Ok(Birth { life, once: None, given, follows, last_request })
}

/// `None` when the one-off has gone since the plan was made.
fn of_one_off(
    db: &store::Reader<'_>,
    releases: &mut Releases,
    id: DynoId,
    now: Timestamp,
) -> Result<Option<Birth>, Unborn> {
    let once = one_offs::find(db, id).map_err(|error| (id, error))?;
    let Some(once) = once else { return Ok(None) };
    let given = given(db, releases, once.release).map_err(|error| (id, error))?;
    let dyno = Dyno {
        id,
        app: once.app,
        name: once.name.clone(),
        kind: once.kind,
        release: once.release,
        release_version: given.as_ref().map_or(0, |given| given.version),
        command: once.command.clone(),
        size: once.size,
        state: DynoState::Starting,
        exit: None,
        created_at: now,
        up_at: None,
        updated_at: now,
    };
    let life = life(dyno, 0);
    let (follows, last_request) = (Follows::Nothing, None);
    Ok(Some(Birth { life, once: Some(once), given, follows, last_request }))
}

fn given(
    db: &store::Reader<'_>,
    releases: &mut Releases,
    release: Option<ReleaseId>,
) -> store::Result<Option<Given>> {
    let Some(release) = release else { return Ok(None) };
    if let Some(known) = releases.get(&release) {
        return Ok(known.clone());
    }
    let read = desired::given(db, release)?;
    releases.insert(release, read.clone());
    Ok(read)
}

fn life(dyno: Dyno, crashes: u32) -> Life {
    Life { dyno, crashes, address: None, stop_reason: None, ended_at: None }
}

fn complain(dyno: DynoId, error: &store::Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(dyno.id = %dyno, error, "could not prepare a dyno; trying again");
}
