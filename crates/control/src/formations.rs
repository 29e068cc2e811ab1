//! Formations: how many dynos of which type and size.

use std::collections::BTreeMap;

use model::formation::{Formation, QuantityChange};
use model::steps::{Step, reached};
use model::{Account, App, AppId, DynoSize, FormationId, ProcessType, Slug, Timestamp};
use store::{Poke, Tx, apps, formations};

use crate::{Actor, Control, Error, Resource, Result, access};

/// What is to change of one process type; `None` leaves it.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Which one.
    pub process_type: ProcessType,
    /// Its quantity.
    pub quantity: Option<QuantityChange>,
    /// Its size.
    pub size: Option<DynoSize>,
}

/// The app's process types, by name.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<Formation>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(formations::list(db, app)?)
        })
        .await
}

/// Changes quantities and sizes, all or nothing; answers the whole formation after it, when the
/// router knows of it: a request that follows the answer is not told that no web dynos are wanted.
///
/// # Errors
/// When the app or a process type is not found, a rule on quantities or sizes is broken, or the
/// database fails.
pub async fn scale(
    control: &Control,
    who: &Account,
    app: AppId,
    changes: Vec<Scale>,
) -> Result<Vec<Formation>> {
    let who = who.clone();
    let rows = control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let mut rows = formations::list(tx, app.id)?;
            if changes.is_empty() {
                return Ok(rows);
            }
            for change in &changes {
                apply(&mut rows, change, Timestamp::now())?;
            }
            model::formation::check(&rows)?;
            for row in &rows {
                formations::save(tx, row)?;
            }
            apps::raise_generation(tx, app.id)?;
            tx.poke(Poke::Dynos);
            tx.poke(Poke::Routes);
            announce(control, tx, &rows, &Actor::from(&who));
            tx.after_commit(|| reached(Step::ScaleWritten));
            Ok(rows)
        })
        .await?;
    control.published.catches_up(&control.store).await;
    Ok(rows)
}

/// Makes the formation's types those of `slug`. New types start with no dynos, except that the
/// first slug an app ever runs gets one web dyno. Types that are gone lose their row.
pub(crate) fn follow_slug(
    control: &Control,
    tx: &mut Tx<'_>,
    app: &App,
    slug: &Slug,
    actor: &Actor,
) -> Result<()> {
    let rows = formations::list(tx, app.id)?;
    for gone in rows.iter().filter(|row| !slug.process_types.contains_key(&row.process_type)) {
        formations::delete(tx, app.id, &gone.process_type)?;
    }
    let first = app.released_at.is_none();
    let usual = rows.iter().max_by_key(|row| (row.process_type.is_web(), row.quantity));
    let size = usual.map_or(control.settings.default_size, |row| row.size);
    let mut known: BTreeMap<_, _> =
        rows.into_iter().map(|row| (row.process_type.clone(), row)).collect();
    for (process_type, command) in &slug.process_types {
        let row = match known.remove(process_type) {
            Some(row) if row.command == *command => continue,
            Some(row) => Formation { command: command.clone(), ..row },
            None => {
                new(app.id, process_type, command, u32::from(first && process_type.is_web()), size)
            }
        };
        formations::save(tx, &Formation { updated_at: Timestamp::now(), ..row })?;
    }
    if first && !slug.process_types.is_empty() {
        let rows = formations::list(tx, app.id)?;
        announce(control, tx, &rows, actor);
    }
    Ok(())
}

fn new(
    app: AppId,
    process_type: &ProcessType,
    command: &str,
    quantity: u32,
    size: DynoSize,
) -> Formation {
    let now = Timestamp::now();
    Formation {
        id: FormationId::random(),
        app,
        process_type: process_type.clone(),
        command: command.to_owned(),
        quantity,
        size,
        created_at: now,
        updated_at: now,
    }
}

fn apply(rows: &mut [Formation], change: &Scale, now: Timestamp) -> Result<()> {
    let name = &change.process_type;
    let row = rows.iter_mut().find(|row| row.process_type == *name);
    let row = row.ok_or_else(|| Error::NotFound(Resource::ProcessType(name.clone())))?;
    if let Some(quantity) = change.quantity {
        row.quantity = quantity.apply(name, row.quantity)?;
    }
    if *name == ProcessType::release() && row.quantity > 0 {
        let text = "Cannot scale release: it runs once for each release.";
        return Err(Error::Invalid(text.to_owned()));
    }
    row.size = change.size.unwrap_or(row.size);
    row.updated_at = now;
    Ok(())
}

/// `Scaled to web@1:Basic worker@0:Basic by user X`: all types.
fn announce(control: &Control, tx: &mut Tx<'_>, rows: &[Formation], actor: &Actor) {
    let Some(app) = rows.first().map(|row| row.app) else { return };
    let row = |row: &Formation| format!("{}@{}:{}", row.process_type, row.quantity, row.size);
    let all = rows.iter().map(row).collect::<Vec<_>>().join(" ");
    control.announce(tx, app, vec![format!("Scaled to {all} by user {}", actor.email)]);
}

#[cfg(test)]
mod tests;
