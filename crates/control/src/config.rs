//! Config vars. Every change is a release.

use std::collections::BTreeMap;

use model::release::Cause;
use model::{Account, AppId, ConfigVars, Timestamp};
use store::{Poke, Reader, apps, desired};

use crate::releases::{self, Draft};
use crate::{Actor, Control, Error, Resource, Result, access};

/// The app's config vars.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn get(control: &Control, who: &Account, app: AppId) -> Result<ConfigVars> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of(db, app)
        })
        .await
}

/// What a build finds in its environment: the config vars and, if the app wants that, what its
/// current release says of itself, which is the one before the build's own.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn of_build(control: &Control, app: AppId) -> Result<ConfigVars> {
    control
        .read(move |db| {
            let mut config = of(db, app)?;
            let release = store::releases::current(db, app)?;
            let given = release.map(|release| desired::given(db, release.id)).transpose()?;
            let metadata = given.flatten().and_then(|given| given.metadata);
            config.0.extend(metadata.map(|one| one.variables()).unwrap_or_default());
            Ok(config)
        })
        .await
}

/// Sets (`Some`) and removes (`None`) config vars, in the order given, all or nothing. It makes a
/// release, also when nothing differs after it; an empty change makes none.
///
/// # Errors
/// When the app is not found, a name or value is refused, or the database fails.
pub async fn change(
    control: &Control,
    who: &Account,
    app: AppId,
    changes: Vec<(String, Option<String>)>,
) -> Result<ConfigVars> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let before = of(tx, app.id)?;
            if changes.is_empty() {
                return Ok(before);
            }
            let by_name: BTreeMap<_, _> = changes.iter().cloned().collect();
            let config = before.changed(&by_name)?;
            apps::set_config(tx, app.id, &config, Timestamp::now())?;
            let slug = releases::slug_to_carry_on(tx, app.id)?;
            let (cause, actor) = (cause(&changes), Actor::from(&who));
            let draft = Draft { app: app.id, slug, config: config.clone(), cause, actor };
            releases::append(control, tx, draft)?;
            // The router knows the app's own error pages from here.
            tx.poke(Poke::Routes);
            Ok(config)
        })
        .await
}

fn of(db: &Reader<'_>, app: AppId) -> Result<ConfigVars> {
    apps::config(db, app)?.ok_or(Error::NotFound(Resource::App))
}

fn cause(changes: &[(String, Option<String>)]) -> Cause {
    let (set, removed): (Vec<_>, Vec<_>) = changes.iter().partition(|(_, value)| value.is_some());
    let names = |changes: Vec<&(String, Option<String>)>| {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in changes {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    };
    Cause::Config { set: names(set), removed: names(removed) }
}

#[cfg(test)]
mod tests;
