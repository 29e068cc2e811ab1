//! Dynos as people see and restart them. What runs is the dyno manager's; here is only intent.

use model::dyno::DynoKind;
use model::plan::RestartTarget;
use model::steps::{Step, reached};
use model::{Account, AppId, Dyno, DynoName, Timestamp};
use store::restarts::{self, Restart};
use store::{Poke, Reader, Tx, apps, dynos, formations, one_offs};

use crate::{Control, Error, Resource, Result, access};

/// The app's dynos, as `ps` shows them: formation, one-offs and release commands, never builds.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<Dyno>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(dynos::of_app(db, app)?)
        })
        .await
}

/// One dyno, by id or name.
///
/// # Errors
/// When the app or the dyno is not found, or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, id_or_name: &str) -> Result<Dyno> {
    let wanted = id_or_name.to_owned();
    let all = list(control, who, app).await?;
    let same = |dyno: &Dyno| dyno.name.to_string() == wanted || dyno.id.to_string() == wanted;
    all.into_iter().find(same).ok_or(Error::NotFound(Resource::Dyno))
}

/// Asks that dynos be replaced by new ones. A one-off is not replaced: it is stopped.
///
/// # Errors
/// When the app, the process type or the dyno is not found, or the database fails.
pub async fn restart(
    control: &Control,
    who: &Account,
    app: AppId,
    target: RestartTarget,
) -> Result<()> {
    let who = who.clone();
    control
        .write(move |_, tx| {
            access::app(tx, &who, app)?;
            let now = Timestamp::now();
            if cancel_one_offs(tx, app, &target, now)? > 0 {
                return Ok(());
            }
            check_wanted(tx, app, &target)?;
            let target = match target {
                RestartTarget::All => "*".to_owned(),
                RestartTarget::Type(process_type) => process_type.to_string(),
                RestartTarget::Dyno(name) => name.to_string(),
            };
            restarts::save(tx, app, &Restart { target, not_before: now })?;
            apps::raise_generation(tx, app)?;
            tx.poke(Poke::Dynos);
            tx.after_commit(|| reached(Step::RestartWritten));
            Ok(())
        })
        .await
}

/// Asks that dynos be stopped. One-offs end; dynos of the formation are wanted as before, so new
/// ones take their place.
///
/// # Errors
/// As [`restart`].
pub async fn stop(
    control: &Control,
    who: &Account,
    app: AppId,
    target: RestartTarget,
) -> Result<()> {
    restart(control, who, app, target).await
}

/// Asks for the end of the one-offs that are meant: the one of this name, or all of a type that no
/// process of the formation has, such as `run`. Answers how many there are.
fn cancel_one_offs(
    tx: &mut Tx<'_>,
    app: AppId,
    target: &RestartTarget,
    now: Timestamp,
) -> Result<usize> {
    let meant = |name: &DynoName| match target {
        RestartTarget::All => false,
        RestartTarget::Type(process_type) => name.process_type == *process_type,
        RestartTarget::Dyno(wanted) => name == wanted,
    };
    if matches!(target, RestartTarget::Type(_)) && check_wanted(tx, app, target).is_ok() {
        return Ok(0);
    }
    let all = one_offs::unfinished_of(tx, app)?;
    let ended: Vec<_> = all
        .into_iter()
        .filter(|one_off| one_off.kind != DynoKind::Build && meant(&one_off.name))
        .collect();
    for one_off in &ended {
        one_offs::cancel(tx, one_off.id, now)?;
        tx.poke(Poke::Dynos);
    }
    Ok(ended.len())
}

fn check_wanted(db: &Reader<'_>, app: AppId, target: &RestartTarget) -> Result<()> {
    let (process_type, number) = match target {
        RestartTarget::All => return Ok(()),
        RestartTarget::Type(process_type) => (process_type, 0),
        RestartTarget::Dyno(name) => (&name.process_type, name.number),
    };
    let rows = formations::list(db, app)?;
    let row = rows.iter().find(|row| row.process_type == *process_type);
    match (row, target) {
        (Some(row), _) if number <= row.quantity => Ok(()),
        (_, RestartTarget::Dyno(_)) => Err(Error::NotFound(Resource::Dyno)),
        _ => Err(Error::NotFound(Resource::ProcessType(process_type.clone()))),
    }
}

#[cfg(test)]
mod tests;
