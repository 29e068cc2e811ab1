//! Slugs that come through the API: announced, uploaded as an archive, packed by the builder.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Account, AppId, ProcessType, Slug, SlugId, SlugUpload, Timestamp, UploadState};
use store::{Poke, slug_uploads, slugs};
use tokio::io::AsyncRead;

use crate::slugs::MAX_BYTES;
use crate::{Blob, Control, Error, Resource, Result, access};

/// A command may be so long.
const MAX_COMMAND: usize = 64 * 1024;

/// Who wants to release a slug waits so long for it to be packed.
const PATIENCE: Duration = Duration::from_secs(25);

/// What is announced.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Commands by process type.
    pub process_types: BTreeMap<String, String>,
    /// `SHA256:` and the hash of the archive in hex.
    pub checksum: Option<String>,
    /// Commit it was built from.
    pub commit: Option<String>,
    /// What the buildpack called the app.
    pub buildpack_description: Option<String>,
    /// Stack it was built on; the app's own without.
    pub stack: Option<String>,
}

/// Announces a slug. Its id is the licence to upload its archive, once.
///
/// # Errors
/// When the app is not found, something of `new` makes no sense, or the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    new: NewUpload,
) -> Result<SlugUpload> {
    let who = who.clone();
    let process_types = typed(new.process_types)?;
    let checksum = new.checksum.as_deref().map(hash).transpose()?;
    if let Some(stack) = new.stack.as_ref().filter(|stack| !control.settings.stacks.contains(stack))
    {
        return Err(Error::Invalid(format!("There is no stack {stack} here.")));
    }
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let upload = SlugUpload {
                id: SlugId::random(),
                app: app.id,
                process_types,
                stack: new.stack.unwrap_or(app.build_stack),
                commit: new.commit.filter(|text| !text.is_empty()),
                buildpack_description: new.buildpack_description,
                checksum,
                state: UploadState::Awaited,
                created_at: Timestamp::now(),
            };
            slug_uploads::insert(tx, &upload)?;
            Ok(upload)
        })
        .await
}

/// One that is not a slug yet.
///
/// # Errors
/// When the app is not found, there is no such one, or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, id: SlugId) -> Result<SlugUpload> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            let upload = slug_uploads::find(db, id)?.filter(|upload| upload.app == app);
            upload.ok_or(Error::NotFound(Resource::Slug))
        })
        .await
}

/// Takes the archive of an announced slug.
///
/// # Errors
/// When none is announced or it has its archive, when the bytes are too many or not those announced,
/// or storing fails.
pub async fn upload(control: &Control, id: SlugId, archive: impl AsyncRead + Unpin) -> Result<()> {
    let announced = control.read(move |db| Ok(slug_uploads::find(db, id)?)).await?;
    let announced = announced.ok_or(Error::NotFound(Resource::Slug))?;
    let filled = || Error::Conflict("This slug was uploaded already.".to_owned());
    if announced.state != UploadState::Awaited {
        return Err(filled());
    }
    let blob = control.blobs.put(archive, MAX_BYTES).await?;
    if let Some(wanted) = announced.checksum.filter(|wanted| *wanted != blob.name) {
        let found = &blob.name;
        let text = format!(
            "The checksum does not match. Expected: SHA256:{wanted} Actual: SHA256:{found}"
        );
        return Err(Error::Invalid(text));
    }
    let was_empty = control
        .write(move |_, tx| {
            tx.poke(Poke::Builds);
            Ok(slug_uploads::fill(tx, id, &blob.name)?)
        })
        .await?;
    if was_empty { Ok(()) } else { Err(filled()) }
}

/// Those that wait to be packed, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn waiting(control: &Control) -> Result<Vec<SlugUpload>> {
    control.read(|db| Ok(slug_uploads::waiting(db)?)).await
}

/// Makes a slug of one whose image is stored.
///
/// # Errors
/// When the database fails.
pub async fn succeed(control: &Control, id: SlugId, image: Blob) -> Result<()> {
    control
        .write(move |_, tx| {
            let Some(upload) = slug_uploads::find(tx, id)? else { return Ok(()) };
            let slug = Slug {
                id,
                app: upload.app,
                blob: image.name,
                bytes: image.bytes,
                commit: upload.commit,
                buildpack_description: upload.buildpack_description,
                process_types: upload.process_types,
                stack: upload.stack,
                created_at: Timestamp::now(),
            };
            slugs::insert(tx, &slug)?;
            slug_uploads::delete(tx, id)?;
            tx.poke(Poke::Builds);
            Ok(())
        })
        .await
}

/// Says why one cannot be a slug.
///
/// # Errors
/// When the database fails.
pub async fn fail(control: &Control, id: SlugId, why: String) -> Result<()> {
    control
        .write(move |_, tx| {
            slug_uploads::fail(tx, id, &why)?;
            tx.poke(Poke::Builds);
            Ok(())
        })
        .await
}

/// Waits until an announced slug of an app is one. For an id that was never announced it does nothing.
///
/// # Errors
/// When nothing was uploaded, the archive cannot be a slug, packing takes longer than a request may
/// wait, or the database fails.
pub async fn packed(control: &Control, app: AppId, id: SlugId) -> Result<()> {
    let late = |_| {
        let text = "The slug is still being packed. Try again in a moment.";
        Error::Unavailable(text.to_owned())
    };
    tokio::time::timeout(PATIENCE, wait_packed(control, app, id)).await.map_err(late)?
}

async fn wait_packed(control: &Control, app: AppId, id: SlugId) -> Result<()> {
    let mut poked = control.store.subscribe(Poke::Builds);
    loop {
        let found = control.read(move |db| Ok(slug_uploads::find(db, id)?)).await?;
        match found.filter(|upload| upload.app == app).map(|upload| upload.state) {
            None => return Ok(()),
            Some(UploadState::Uploaded(_)) => {}
            Some(UploadState::Awaited) => {
                let text =
                    "Nothing was uploaded for that slug yet: PUT its archive to its blob's URL.";
                return Err(Error::Invalid(text.to_owned()));
            }
            Some(UploadState::Failed(why)) => return Err(Error::Invalid(why)),
        }
        poked.changed().await.map_err(Error::internal)?;
    }
}

fn typed(types: BTreeMap<String, String>) -> Result<BTreeMap<ProcessType, String>> {
    if types.is_empty() {
        return Err(Error::Invalid("Say how the app is run: `process_types` is empty.".to_owned()));
    }
    let one = |(name, command): (String, String)| {
        let is_good = !command.trim().is_empty() && command.len() <= MAX_COMMAND;
        if !is_good || command.contains('\0') {
            return Err(Error::Invalid(format!(
                "The command of process type {name} is not usable."
            )));
        }
        Ok((name.parse()?, command))
    };
    types.into_iter().map(one).collect()
}

fn hash(checksum: &str) -> Result<String> {
    let hex = checksum.strip_prefix("SHA256:").map(str::to_ascii_lowercase);
    let is_hash =
        |hex: &String| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let refused = || Error::Invalid("Checksum must be `SHA256:` and 64 hex digits.".to_owned());
    hex.filter(is_hash).ok_or_else(refused)
}

#[cfg(test)]
mod tests;
