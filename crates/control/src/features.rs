//! App features. Switching one makes no release and restarts nothing: what it is about sees it the
//! next time.

use model::feature::{AppFeature, Switch};
use model::{Account, App, AppId, Feature, Timestamp};
use store::{Poke, Reader, features};

use crate::{Control, Error, Resource, Result, access};

/// All features there are, as the app has them.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<AppFeature>> {
    let who = who.clone();
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            all(db, &app)
        })
        .await
}

/// One feature, by name, as the app has it.
///
/// # Errors
/// When the app or the feature is not found, or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, name: &str) -> Result<AppFeature> {
    let wanted = named(name)?;
    let all = list(control, who, app).await?;
    all.into_iter().find(|one| one.feature == wanted).ok_or(Error::NotFound(Resource::Feature))
}

/// Gives or takes a feature.
///
/// # Errors
/// As [`info`].
pub async fn switch(
    control: &Control,
    who: &Account,
    app: AppId,
    name: &str,
    switch: Switch,
) -> Result<AppFeature> {
    let (who, feature) = (who.clone(), named(name)?);
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let before = one(tx, &app, feature)?;
            if before.switch != switch {
                features::set(tx, app.id, feature, switch, Timestamp::now())?;
                let word = if switch.is_on() { "enabled" } else { "disabled" };
                let line = format!("Feature {} {word} by user {}", feature.name(), who.email);
                control.announce(tx, app.id, vec![line]);
                tx.poke(Poke::Dynos);
                tx.poke(Poke::Routes);
            }
            one(tx, &app, feature)
        })
        .await
}

fn named(name: &str) -> Result<Feature> {
    name.parse().map_err(|_| Error::NotFound(Resource::Feature))
}

fn one(db: &Reader<'_>, app: &App, feature: Feature) -> Result<AppFeature> {
    let found = all(db, app)?.into_iter().find(|one| one.feature == feature);
    found.ok_or(Error::NotFound(Resource::Feature))
}

fn all(db: &Reader<'_>, app: &App) -> Result<Vec<AppFeature>> {
    let said = features::said(db, app.id)?;
    let of = |feature: Feature| {
        let spoken = said.iter().find(|one| one.feature == feature).copied();
        spoken.unwrap_or_else(|| AppFeature {
            feature,
            switch: Switch::from_bool(feature.by_default()),
            created_at: app.created_at,
            updated_at: app.created_at,
        })
    };
    Ok(Feature::ALL.map(of).to_vec())
}

#[cfg(test)]
mod tests;
