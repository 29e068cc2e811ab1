//! Slugs that come through the API: an uploaded archive becomes an image like that of a build.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::slug_uploads;
use model::{SlugUpload, UploadState};

use crate::archive::{self, Limits};
use crate::builder::{BACK_OFF, House};
use crate::failure::Failure;
use crate::job::{check_disk, warn};
use crate::slug;
use crate::workspace::remove_tree;

/// An archive may hold so much when it is unpacked.
const LIMITS: Limits = Limits { bytes: 4 << 30, entries: 500_000 };

/// Packs what is uploaded, one after the other, until the server stops.
pub(crate) async fn run(house: &Arc<House>) {
    let mut wake = control::builds::wake(&house.control);
    while !house.cancel.is_cancelled() {
        wake.mark_unchanged();
        let look_again_after = match pack_waiting(house).await {
            Ok(()) => Duration::MAX,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "could not settle an uploaded slug");
                BACK_OFF
            }
        };
        // All arms only wait.
        tokio::select! {
            _poked = wake.changed() => {}
            () = tokio::time::sleep(look_again_after) => {}
            () = house.cancel.cancelled() => {}
        }
    }
}

async fn pack_waiting(house: &House) -> control::Result<()> {
    for upload in slug_uploads::waiting(&house.control).await? {
        let place = house.config.work_dir.join(upload.id.to_string());
        // Half of a slug stays waiting, and is packed after the next start.
        let Some(packed) = house.cancel.run_until_cancelled(pack(house, &upload, &place)).await
        else {
            return Ok(());
        };
        if let Err(error) = remove_tree(&house.config, &place).await {
            warn("could not remove the directory of an uploaded slug", &error);
        }
        settle(house, &upload, packed).await?;
    }
    Ok(())
}

async fn settle(
    house: &House,
    upload: &SlugUpload,
    packed: Result<control::Blob, Failure>,
) -> control::Result<()> {
    let failure = match packed {
        Ok(image) => return slug_uploads::succeed(&house.control, upload.id, image).await,
        Err(failure) => failure,
    };
    refused(upload, &failure);
    slug_uploads::fail(&house.control, upload.id, failure.sentence()).await
}

fn refused(upload: &SlugUpload, failure: &Failure) {
    let error: &dyn std::error::Error = failure;
    tracing::info!(slug.id = %upload.id, app.id = %upload.app, error, "an uploaded slug was refused");
}

async fn pack(house: &House, upload: &SlugUpload, place: &Path) -> Result<control::Blob, Failure> {
    check_disk(house)?;
    let UploadState::Uploaded(blob) = &upload.state else {
        return Err(Failure::internal("packing a slug")("nothing was uploaded"));
    };
    let archive = house.control.blobs.path(blob).map_err(Failure::internal("finding a slug"))?;
    let tree = place.join("tree");
    let made = DirBuilder::new().mode(0o700).create(place).and_then(|()| fs::create_dir(&tree));
    made.map_err(Failure::internal("making the directory of a slug"))?;
    let unpacked =
        tokio::task::spawn_blocking(move || archive::unpack_slug(&archive, &tree, LIMITS)).await;
    let app = unpacked.map_err(Failure::internal("unpacking a slug"))??;
    let image = place.join("slug.squashfs");
    let packed = slug::pack(&house.config, &app, &image).await;
    packed.map_err(Failure::internal("packing a slug"))?;
    let bytes = fs::metadata(&image).map_err(Failure::internal("measuring a slug"))?.len();
    let limit_bytes = house.config.bounds.slug_bytes;
    if bytes > limit_bytes {
        return Err(Failure::SlugTooLarge { bytes, limit_bytes });
    }
    let stored = control::slugs::store_image(&house.control, &image).await;
    stored.map_err(Failure::internal("storing a slug"))
}
