//! The hash chain over an app's releases: each row carries the hash of the row before, so that a
//! change of history shows.
//!
//! The hash covers what never changes: who, when, what, slug and config vars. Status is left out.

use model::{AppId, Release};
use sha2::{Digest, Sha256};
use store::releases::{self, Link};

use crate::random::hex;
use crate::{Control, Result, access};

/// The hash of `release` after the row whose hash is `previous` (empty for v1).
#[must_use]
pub fn hash(previous: &str, release: &Release) -> String {
    let mut fields = Fields(Sha256::new());
    fields.add("hythe release 1");
    fields.add(previous);
    fields.add(&release.id.to_string());
    fields.add(&release.app.to_string());
    fields.add(&release.version.to_string());
    fields.add(&release.description);
    fields.add(&release.actor.to_string());
    fields.add(&release.slug.map_or_else(String::new, |slug| slug.to_string()));
    fields.add(&release.created_at.micros().to_string());
    for (name, value) in &release.config.0 {
        fields.add(name);
        fields.add(value);
    }
    hex(&fields.0.finalize())
}

/// What is wrong with a ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A row is missing before this version.
    #[error("v{0} is not where it should be in the ledger: a release before it is missing")]
    Gap(u32),
    /// The row does not continue the row before it.
    #[error("v{0} does not continue the release before it")]
    Link(u32),
    /// The row was changed after it was written.
    #[error("v{0} was changed after it was written")]
    Row(u32),
}

/// Checks a chain, oldest row first.
///
/// # Errors
/// Names the first release that is not as it was written.
pub fn check(chain: &[Link]) -> Result<(), Break> {
    let mut previous = "";
    for (expected, link) in (1..).zip(chain) {
        let version = link.release.version;
        if version != expected {
            return Err(Break::Gap(version));
        }
        if link.previous_hash != previous {
            return Err(Break::Link(version));
        }
        if link.release.hash != hash(previous, &link.release) {
            return Err(Break::Row(version));
        }
        previous = &link.release.hash;
    }
    Ok(())
}

/// Checks an app's whole ledger.
///
/// # Errors
/// When the app is not found or the database fails; a broken chain is an answer.
pub async fn verify(
    control: &Control,
    who: &model::Account,
    app: AppId,
) -> Result<Result<(), Break>> {
    let who = who.clone();
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            Ok(check(&releases::chain(db, app.id)?))
        })
        .await
}

/// Fields with their lengths, so that no two different rows have the same bytes.
struct Fields(Sha256);

impl Fields {
    fn add(&mut self, field: &str) {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }
}
