//! The certificates that the router shows: the platform's own, and those of apps' domains.
//!
//! The platform's own is the operator's (`tls_certificate`), else one of a private authority. Apps'
//! come from the database; so do automatic ones of the platform's names. The [`Shelf`] makes one
//! table of them whenever any changes.

pub mod private_ca;
pub mod report;
pub mod trusted;

mod operator;
mod shelf;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::authorities::Authorities;
use control::{Control, certificates};
use router::Certificates;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Settings;

pub use private_ca::ca;
use shelf::{Own, Shelf};

/// The platform's own certificate is looked at so often, beside every change of the operator's
/// files.
const LOOK: Duration = Duration::from_secs(12 * 60 * 60);

/// Certificates at work.
pub struct Keeper {
    shelf: Arc<Shelf>,
    settings: Settings,
    authorities: Authorities,
}

impl Keeper {
    /// Makes or reads the platform's own certificate.
    ///
    /// # Errors
    /// When there is none, or the operator's files hold something else.
    pub fn open(settings: &Settings, authorities: &Authorities) -> anyhow::Result<Self> {
        let own = own(settings, authorities)?;
        let shelf = Shelf::new(own).context("set up TLS")?;
        let (settings, authorities) = (settings.clone(), authorities.clone());
        Ok(Self { shelf: Arc::new(shelf), settings, authorities })
    }

    /// What the router shows.
    pub fn certificates(&self) -> &Certificates {
        self.shelf.certificates()
    }

    /// Starts what keeps the certificates right, and waits until those of apps are there.
    pub async fn start(&self, control: &Control, tasks: &TaskTracker, stop: &CancellationToken) {
        let shelf = self.shelf.clone();
        let mut filled = shelf.filled();
        let make = |pair: &certificates::serve::Pair| shelf::certified_key(pair);
        let publish = move |served| shelf.serve(served);
        tasks.spawn(certificates::serve::run(control.clone(), make, publish, stop.clone()));
        tasks.spawn(control::acme::run(control.clone(), stop.clone()));
        tasks.spawn(renew_own(
            self.shelf.clone(),
            self.settings.clone(),
            self.authorities.clone(),
            stop.clone(),
        ));
        // An error would mean that the shelf is gone, and it is ours.
        let _filled = filled.wait_for(|filled| *filled).await;
    }
}

/// Whom certificates come from, and whom this machine trusts.
///
/// # Errors
/// When a file with an authority's certificate cannot be read.
pub fn authorities(settings: &Settings) -> anyhow::Result<Authorities> {
    let system = trusted::system();
    let Some(acme) = &settings.tls.acme else { return Ok(Authorities::new(system, None)) };
    let roots = match &acme.ca_file {
        Some(path) => trusted::file(path)?,
        None => system.clone(),
    };
    let acme = control::authorities::Acme {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        roots,
        renew_after: acme.renew_after,
        platform_names: acme.platform_names,
    };
    Ok(Authorities::new(system, Some(acme)))
}

fn own(settings: &Settings, authorities: &Authorities) -> anyhow::Result<Own> {
    let private = private_ca::ensure(&settings.data_dir, &settings.domain)?;
    let Some(files) = &settings.tls.files else { return Ok(Own { default: private, local: None }) };
    match operator::read(files, authorities)? {
        Some(default) => Ok(Own { default, local: Some(private) }),
        None => Ok(Own { default: private, local: None }),
    }
}

/// Shows the operator's new certificate when its files change, and the private authority's before
/// the old one expires. What cannot be read changes nothing.
async fn renew_own(
    shelf: Arc<Shelf>,
    settings: Settings,
    authorities: Authorities,
    stop: CancellationToken,
) {
    let mut changes = settings.tls.files.as_ref().map(operator::Changes::watch);
    loop {
        let changed = operator::next_change(&mut changes);
        tokio::select! {
            // Dropped, it has lost nothing: the kernel keeps the changes.
            () = changed => {}
            // Dropped, the sleep has lost nothing but its time.
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        let (read, trusted) = (settings.clone(), authorities.clone());
        match tokio::task::spawn_blocking(move || own(&read, &trusted)).await {
            Ok(Ok(own)) => shelf.show(own),
            Ok(Err(error)) => {
                tracing::error!("keeping the platform's certificate as it is: {error:#}");
            }
            Err(error) => tracing::error!(%error, "could not read the platform's certificate"),
        }
    }
}
