//! The desired state, as the planner reads it: all apps in one snapshot.

use std::collections::HashMap;

use model::domain::DomainKind;
use model::feature::AppFeature;
use model::plan::{
    CurrentRelease, Desired, DesiredApp, Restart, RestartTarget, WantedOnce, WantedType,
};
use model::{
    AppId, ConfigVars, DynoId, DynoName, Feature, Metadata, Release, ReleaseId, Slug, Timestamp,
};

use crate::engine::{Reader, Tx};
use crate::{Error, Result, apps, domains, features, releases, slugs, values};

/// What is wanted, of all apps. An app that is being destroyed is in it and wants nothing.
///
/// # Errors
/// When a statement fails.
pub fn read(db: &Reader<'_>) -> Result<Desired> {
    let mut releases = current_releases(db)?;
    let mut formations = grouped(formations(db)?);
    let mut restarts = grouped(restarts(db)?);
    let mut features = features::all(db)?;
    let mut desired = Desired { apps: Vec::new(), one_offs: one_offs(db)? };
    for (app, generation, observed_generation, deleted_at) in living(db)? {
        let formation = formations.remove(&app).unwrap_or_default();
        let restarts = restarts.remove(&app).unwrap_or_default();
        let release = releases.remove(&app).filter(|_| deleted_at.is_none());
        desired.apps.push(DesiredApp {
            app,
            generation,
            observed_generation,
            release,
            formation,
            restarts,
            features: features.remove(&app).unwrap_or_default(),
        });
    }
    Ok(desired)
}

/// What a dyno of a release is given. A release never changes, so this may be read later than the
/// plan that asked for it.
#[derive(Clone, Debug)]
pub struct Given {
    /// The release's version.
    pub version: u32,
    /// Its config vars.
    pub config: ConfigVars,
    /// Its slug.
    pub slug: Option<Slug>,
    /// What it says of itself to its dynos, when the app wants that.
    pub metadata: Option<Metadata>,
}

/// What a dyno of this release is given.
///
/// # Errors
/// When a statement fails.
pub fn given(db: &Reader<'_>, release: ReleaseId) -> Result<Option<Given>> {
    let Some(release) = releases::find(db, release)? else { return Ok(None) };
    let slug = release.slug.map(|slug| slugs::find(db, slug)).transpose()?.flatten();
    let metadata = metadata(db, &release, slug.as_ref())?;
    Ok(Some(Given { version: release.version, config: release.config, slug, metadata }))
}

/// An app's releases speak from the first on that is made after it has asked for that.
fn metadata(db: &Reader<'_>, release: &Release, slug: Option<&Slug>) -> Result<Option<Metadata>> {
    let said = features::said(db, release.app)?;
    let asked = |one: &AppFeature| {
        one.feature == Feature::RuntimeDynoMetadata
            && one.switch.is_on()
            && one.updated_at <= release.created_at
    };
    if !said.iter().any(asked) {
        return Ok(None);
    }
    let Some(app) = apps::find(db, release.app)? else { return Ok(None) };
    let domains = domains::list(db, release.app)?;
    let default = domains.into_iter().find(|domain| domain.kind == DomainKind::Heroku);
    Ok(Some(Metadata {
        app: app.id,
        name: app.name,
        default_domain: default.map(|domain| domain.hostname),
        version: release.version,
        released_at: release.created_at,
        commit: slug.and_then(|slug| slug.commit.clone()),
    }))
}

/// Remembers the generations that have been made true.
///
/// # Errors
/// When a statement fails.
pub fn made_true(tx: &mut Tx<'_>, apps: &[(AppId, u64)]) -> Result<()> {
    for &(app, generation) in apps {
        tx.run(
            "UPDATE apps SET observed_generation = ?2
             WHERE id = ?1 AND observed_generation < ?2",
            values![app, generation],
        )?;
    }
    Ok(())
}

type AppRow = (AppId, u64, u64, Option<Timestamp>);

fn living(db: &Reader<'_>) -> Result<Vec<AppRow>> {
    let sql = "SELECT id, generation, observed_generation, deleted_at FROM apps ORDER BY id";
    db.all(sql, values![], |row| Ok((row.take()?, row.take()?, row.take()?, row.take()?)))
}

/// The newest release of each app that succeeded, if it has a slug.
fn current_releases(db: &Reader<'_>) -> Result<HashMap<AppId, CurrentRelease>> {
    let sql = "SELECT app_id, id, version FROM releases
         WHERE slug_id IS NOT NULL AND (app_id, version) IN (
             SELECT app_id, MAX(version) FROM releases WHERE status = 'succeeded' GROUP BY app_id)";
    let rows = db.all(sql, values![], |row| {
        let app = row.take()?;
        Ok((app, CurrentRelease { id: row.take()?, version: row.take()? }))
    })?;
    Ok(rows.into_iter().collect())
}

fn formations(db: &Reader<'_>) -> Result<Vec<(AppId, WantedType)>> {
    let sql = "SELECT app_id, process_type, command, quantity, size FROM formations
         WHERE quantity > 0 ORDER BY app_id, process_type";
    db.all(sql, values![], |row| {
        let app = row.take()?;
        let (process_type, command) = (row.take()?, row.take()?);
        Ok((app, WantedType { process_type, command, quantity: row.take()?, size: row.take()? }))
    })
}

fn restarts(db: &Reader<'_>) -> Result<Vec<(AppId, Restart)>> {
    let sql = "SELECT app_id, target, not_before FROM restarts";
    db.all(sql, values![], |row| {
        let (app, target): (_, String) = (row.take()?, row.take()?);
        Ok((app, Restart { target: restart_target(&target)?, not_before: row.take()? }))
    })
}

/// `*`, `web` or `web.1`. A process type has no dot.
fn restart_target(text: &str) -> Result<RestartTarget> {
    let bad = |_| Error::Row { sql: "restarts.target", kind: "RestartTarget" };
    match text {
        "*" => Ok(RestartTarget::All),
        _ if text.contains('.') => text.parse().map(RestartTarget::Dyno).map_err(bad),
        _ => text.parse().map(RestartTarget::Type).map_err(bad),
    }
}

fn one_offs(db: &Reader<'_>) -> Result<Vec<WantedOnce>> {
    let sql = "SELECT one_offs.id, one_offs.app_id, one_offs.process_type, one_offs.number,
             one_offs.kind, one_offs.size, one_offs.created_at, one_offs.time_to_live,
             one_offs.cancelled_at IS NOT NULL OR apps.deleted_at IS NOT NULL
         FROM one_offs JOIN apps ON apps.id = one_offs.app_id
         WHERE one_offs.finished_at IS NULL ORDER BY one_offs.created_at, one_offs.id";
    db.all(sql, values![], |row| {
        let (id, app): (DynoId, AppId) = (row.take()?, row.take()?);
        let name = DynoName { process_type: row.take()?, number: row.take()? };
        let (kind, size) = (row.take()?, row.take()?);
        let created_at: Timestamp = row.take()?;
        let seconds: u32 = row.take()?;
        let expires_at = created_at + std::time::Duration::from_secs(seconds.into());
        Ok(WantedOnce { id, app, name, kind, size, expires_at, cancelled: row.take()? })
    })
}

fn grouped<T>(rows: Vec<(AppId, T)>) -> HashMap<AppId, Vec<T>> {
    let mut groups: HashMap<AppId, Vec<T>> = HashMap::new();
    for (app, row) in rows {
        groups.entry(app).or_default().push(row);
    }
    groups
}
