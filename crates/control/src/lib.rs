//! The verbs: what may be asked of the platform.
//!
//! One file per noun, one function per verb. A verb checks who asks and what is asked, writes the
//! intent in one transaction, and says so in the app's log after the commit. It never starts or
//! stops anything: reconcilers (those of dynos, and here [`release_phase`], [`routes`] and
//! [`garbage`]) see what is stored and make it true.

pub mod accounts;
pub mod acme;
pub mod apps;
pub mod authorities;
pub mod authorizations;
pub mod buildpack_installations;
pub mod builds;
pub mod certificates;
pub mod config;
pub mod domains;
pub mod dynos;
pub mod features;
pub mod formations;
pub mod garbage;
pub mod ledger;
pub mod log_drains;
pub mod log_inputs;
pub mod log_rules;
pub mod log_sessions;
pub mod one_offs;
pub mod release_phase;
pub mod releases;
pub mod routes;
pub mod settings;
pub mod slug_uploads;
pub mod slugs;
pub mod sources;
pub mod telemetry_drains;
pub mod traffic;
pub mod visits;

mod access;
mod error;
mod published;
mod random;
mod wake;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use model::drain::Reach;
use model::log::Source;
use model::{Account, AccountId, AppId, LogEntry, LogSink, Timestamp};
use store::blobs::BlobStore;
use store::outputs::Outputs;
use store::{Poke, Reader, Store, Tx};
use tokio::sync::Semaphore;

use authorities::Authorities;
use published::Published;

pub use error::{Error, Resource, Result};
pub use settings::{Scheme, Settings};
pub use store::blobs::Blob;
pub use store::outputs::{Follow, OutputId, OutputWriter, Verdict};

/// Everything a verb works with. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// The database.
    pub store: Store,
    /// Slugs and source archives.
    pub blobs: BlobStore,
    /// What builds and release commands print.
    pub outputs: Outputs,
    /// The way into the log.
    pub logs: LogSink,
    /// What the operator decided.
    pub settings: Arc<Settings>,
    // Password hashing takes memory and time on purpose: so many at once.
    hashing: Arc<Semaphore>,
    published: Published,
    certified: Published,
    authorities: Authorities,
    reach: Reach,
}

impl Control {
    /// The verbs over these.
    #[must_use]
    pub fn new(
        store: Store,
        blobs: BlobStore,
        outputs: Outputs,
        logs: LogSink,
        settings: Settings,
    ) -> Self {
        let hashing = Arc::new(Semaphore::new(2));
        let settings = Arc::new(settings);
        let published = Published::nothing(Poke::Routes);
        let certified = Published::nothing(Poke::Certificates);
        let authorities = Authorities::none();
        Self {
            store,
            blobs,
            outputs,
            logs,
            settings,
            hashing,
            published,
            certified,
            authorities,
            reach: Reach::default(),
        }
    }

    /// The same with these authorities for certificates; without them nobody is trusted and none
    /// can be asked.
    #[must_use]
    pub fn with_authorities(mut self, authorities: Authorities) -> Self {
        self.authorities = authorities;
        self
    }

    /// The same where drains may reach these internal addresses; without it they may reach none.
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Self, &mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let control = self.clone();
        self.store.write(move |tx| change(&control, tx)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.store.read(question).await
    }

    /// Says lines in the app's log (`app[api]`) after the commit, all at one time.
    fn announce(&self, tx: &mut Tx<'_>, app: AppId, lines: Vec<String>) {
        let (logs, at) = (self.logs.clone(), Timestamp::now());
        let line =
            move |text| LogEntry { app, at, source: Source::App, process: "api".into(), text };
        tx.after_commit(move || logs.send(lines.into_iter().map(line).collect()));
    }
}

/// On whose behalf something happens: an account, or a build that an account asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The account.
    pub id: AccountId,
    /// Its e-mail address, as shown in logs.
    pub email: String,
}

impl From<&Account> for Actor {
    fn from(account: &Account) -> Self {
        Self { id: account.id, email: account.email.clone() }
    }
}

impl From<&model::build::Build> for Actor {
    fn from(build: &model::build::Build) -> Self {
        Self { id: build.actor, email: build.actor_email.clone() }
    }
}
