//! Visits: programs that people run inside a running dyno (`heroku run:inside`).

use std::collections::BTreeMap;

use model::dyno::{Terminal, Visit};
use model::{Account, AppId, Dyno, DynoState, Secret, Timestamp, VisitId};
use store::{Reader, releases, slugs, visits};

use crate::{Control, Error, Result, access, dynos, one_offs, random};

/// What a person wants to run inside a dyno.
#[derive(Clone, Debug)]
pub struct NewVisit {
    /// Shell command.
    pub command: String,
    /// Variables on top of the dyno's own.
    pub env: BTreeMap<String, String>,
    /// Terminal; a detached one is refused.
    pub terminal: Terminal,
}

/// A dyno to be visited, and what a client says to begin the visit.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The dyno.
    pub dyno: Dyno,
    /// Good for one client, and for a short time.
    pub secret: Secret,
}

/// Asks to run a program inside a running dyno, by its id or name.
///
/// # Errors
/// When the app or the dyno is not found, the dyno does not run, what is asked makes no sense, or
/// the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    dyno: &str,
    new: NewVisit,
) -> Result<Invitation> {
    one_offs::check_command(&new.command, &new.env)?;
    if !new.terminal.is_attached() {
        return Err(Error::Invalid("A program inside a dyno needs a client.".to_owned()));
    }
    let dyno = dynos::info(control, who, app, dyno).await?;
    check_runs(control, &dyno).await?;
    let who = who.clone();
    control
        .write(move |control, tx| {
            access::app(tx, &who, app)?;
            let secret = random::attach_secret()?;
            let command = expand(tx, &dyno, &new.command)?;
            let visit = Visit {
                id: VisitId::random(),
                app,
                dyno: dyno.id,
                command,
                env: new.env,
                terminal: new.terminal,
                actor: who.id,
                created_at: Timestamp::now(),
            };
            visits::insert(tx, &visit, &secret)?;
            let line = format!(
                "Starting process with command `{}` inside {} by user {}",
                visit.command, dyno.name, who.email
            );
            control.announce(tx, app, vec![one_offs::one_line(&line)]);
            Ok(Invitation { dyno, secret })
        })
        .await
}

/// A dyno that is frozen in place runs again when somebody comes; one that sleeps is not there.
async fn check_runs(control: &Control, dyno: &Dyno) -> Result<()> {
    let id = dyno.id;
    let life = control.read(move |db| Ok(store::dynos::find(db, id)?)).await?;
    let runs = life.is_some_and(|life| life.ended_at.is_none() && life.stop_reason.is_none());
    let (name, state) = (&dyno.name, dyno.state.as_str());
    match dyno.state {
        DynoState::Up => Ok(()),
        DynoState::Idle if runs => Ok(()),
        DynoState::Idle => Err(Error::Conflict(format!(
            "Cannot run inside {name}: it sleeps, until a request to the app wakes it."
        ))),
        DynoState::Starting | DynoState::Crashed | DynoState::Down | DynoState::Complete => {
            Err(Error::Conflict(format!("Cannot run inside {name}: it is {state}.")))
        }
    }
}

/// A process type's name stands for its command in the release that the dyno runs.
fn expand(db: &Reader<'_>, dyno: &Dyno, command: &str) -> Result<String> {
    let release = dyno.release.map(|id| releases::find(db, id)).transpose()?.flatten();
    let slug = release.and_then(|release| release.slug);
    let slug = slug.map(|id| slugs::find(db, id)).transpose()?.flatten();
    Ok(slug.map_or_else(|| command.to_owned(), |slug| one_offs::expand(command, &slug)))
}

#[cfg(test)]
mod tests;
