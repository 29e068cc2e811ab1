//! Who may do what: for now, an app's owner may do everything with it and nobody else anything.
//!
//! An app that is not one's own looks exactly like one that does not exist.

use model::{Account, App, AppId};
use store::{Reader, apps};

use crate::{Error, Resource, Result};

/// The app, if `who` may use it.
pub(crate) fn app(db: &Reader<'_>, who: &Account, id: AppId) -> Result<App> {
    apps::find(db, id)?.filter(|app| may_use(who, app)).ok_or(Error::NotFound(Resource::App))
}

/// The app of this id or name, if `who` may use it.
pub(crate) fn named(db: &Reader<'_>, who: &Account, id_or_name: &str) -> Result<App> {
    if let Ok(id) = id_or_name.parse() {
        return app(db, who, id);
    }
    let found = apps::by_name(db, id_or_name)?.filter(|app| may_use(who, app));
    found.ok_or(Error::NotFound(Resource::App))
}

fn may_use(who: &Account, app: &App) -> bool {
    app.deleted_at.is_none() && app.owner == who.id
}
