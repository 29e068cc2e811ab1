//! One id type per kind of thing, so that an app's id cannot be passed where a release's is meant.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new random id (UUID version 4).
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The id as a UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// An id from a UUID that was stored before.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// A person (or robot) who may ask things of the platform.
    AccountId;
    /// An OAuth authorization: one API token.
    AuthorizationId;
    /// An app.
    AppId;
    /// One row of an app's ledger.
    ReleaseId;
    /// A compiled app: one immutable file-system image.
    SlugId;
    /// One run of the builder.
    BuildId;
    /// One life of one process.
    DynoId;
    /// One process type's wanted quantity and size.
    FormationId;
    /// A host name of an app.
    DomainId;
    /// A certificate with its key.
    CertificateId;
    /// An app's place for a certificate.
    SniEndpointId;
    /// A place to upload a source archive to.
    SourceId;
    /// A client's licence to run a program in a running dyno.
    VisitId;
    /// A reader's licence to follow an app's log.
    LogSessionId;
    /// A rule that tells somebody of lines in an app's log.
    LogRuleId;
    /// A place that an app's lines are sent to.
    DrainId;
    /// A licence to write into an app's log from outside.
    LogInputId;
}
