//! Buildpacks that an app's builds use.

use model::{Account, AppId};
use store::{apps, buildpack_installations};

use crate::{Control, Error, Result, access};

/// At most this many for one app.
pub const MAX: usize = 20;

/// The app's buildpacks, in order; empty when they are detected.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<String>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(buildpack_installations::list(db, app)?)
        })
        .await
}

/// Replaces the app's buildpacks: `heroku/nodejs` or a URL each. The next build uses them.
///
/// # Errors
/// When the app is not found, one of them is not a name or URL, or the database fails.
pub async fn set(
    control: &Control,
    who: &Account,
    app: AppId,
    buildpacks: Vec<String>,
) -> Result<Vec<String>> {
    if buildpacks.len() > MAX {
        return Err(Error::TooMany(format!("An app may have at most {MAX} buildpacks.")));
    }
    if let Some(bad) = buildpacks.iter().find(|buildpack| !is_buildpack(buildpack)) {
        return Err(Error::Invalid(format!("Buildpack `{bad}` is not a name or a URL.")));
    }
    let who = who.clone();
    control
        .write(move |_, tx| {
            access::app(tx, &who, app)?;
            buildpack_installations::replace(tx, app, &buildpacks)?;
            Ok(buildpacks)
        })
        .await
}

/// Pins what a first build detected, if nothing was chosen meanwhile: the next build uses the same.
///
/// # Errors
/// When the database fails.
pub async fn pin(control: &Control, app: AppId, buildpack: &str) -> Result<()> {
    let buildpack = buildpack.to_owned();
    control
        .write(move |_, tx| {
            let living = apps::find(tx, app)?.is_some_and(|app| app.deleted_at.is_none());
            if living && buildpack_installations::list(tx, app)?.is_empty() {
                buildpack_installations::replace(tx, app, &[buildpack])?;
            }
            Ok(())
        })
        .await
}

fn is_buildpack(text: &str) -> bool {
    let good = |c: char| !c.is_whitespace() && !c.is_control();
    (1..=2000).contains(&text.len()) && text.chars().all(good) && text.contains(['/', ':'])
}
