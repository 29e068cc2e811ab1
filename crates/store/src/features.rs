//! App features that somebody has set.

use std::collections::{HashMap, HashSet};

use model::feature::{AppFeature, Switch};
use model::{AppId, Feature, Features, Timestamp};

use crate::engine::{Reader, Tx};
use crate::{Result, routes, values};

/// What was said about an app's features; of the others nobody has spoken.
///
/// # Errors
/// When the database fails.
pub fn said(db: &Reader<'_>, app: AppId) -> Result<Vec<AppFeature>> {
    let rows = db.all(
        "SELECT name, enabled, created_at, updated_at FROM app_features WHERE app_id = ?1",
        values![app],
        |row| {
            let (name, on): (String, bool) = (row.take()?, row.take()?);
            let (created_at, updated_at) = (row.take()?, row.take()?);
            let named = |feature| AppFeature {
                feature,
                switch: Switch::from_bool(on),
                created_at,
                updated_at,
            };
            // One that another version of the program knew is none.
            Ok(name.parse().ok().map(named))
        },
    )?;
    Ok(rows.into_iter().flatten().collect())
}

/// The features that one app has.
///
/// # Errors
/// When the database fails.
pub fn of(db: &Reader<'_>, app: AppId) -> Result<Features> {
    let mut features = Features::default();
    for said in said(db, app)? {
        features.set(said.feature, said.switch);
    }
    Ok(features)
}

/// The features of each app of which somebody has spoken.
///
/// # Errors
/// When the database fails.
pub fn all(db: &Reader<'_>) -> Result<HashMap<AppId, Features>> {
    let rows = db.all("SELECT app_id, name, enabled FROM app_features", values![], |row| {
        let (app, name, on): (AppId, String, bool) = (row.take()?, row.take()?, row.take()?);
        Ok((app, name, Switch::from_bool(on)))
    })?;
    let mut apps: HashMap<AppId, Features> = HashMap::new();
    for (app, name, switch) in rows {
        if let Ok(feature) = name.parse() {
            apps.entry(app).or_default().set(feature, switch);
        }
    }
    Ok(apps)
}

/// The apps for which somebody has switched this feature on.
///
/// # Errors
/// When the database fails.
pub fn switched_on(db: &Reader<'_>, feature: Feature) -> Result<HashSet<AppId>> {
    let sql = "SELECT app_id FROM app_features WHERE name = ?1 AND enabled";
    Ok(db.all(sql, values![feature.name()], crate::engine::Row::take)?.into_iter().collect())
}

/// Gives or takes a feature.
///
/// # Errors
/// When the database fails.
pub fn set(
    tx: &mut Tx<'_>,
    app: AppId,
    feature: Feature,
    switch: Switch,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "INSERT INTO app_features (app_id, name, enabled, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (app_id, name) DO UPDATE SET enabled = ?3, updated_at = ?4",
        values![app, feature.name(), switch.is_on(), now],
    )?;
    routes::changed(tx, app)
}
