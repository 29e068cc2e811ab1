//! App features: named switches of an app (`heroku features`, `heroku labs`).

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::Timestamp;

/// A switch of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// New web dynos come up beside the old ones. On unless switched off.
    Preboot,
    /// Load and memory of each dyno go to the app's log.
    LogRuntimeMetrics,
    /// Dynos are told about app, release and slug by variables.
    RuntimeDynoMetadata,
    /// An idle dyno is frozen in place before it is stopped.
    DynoSuspend,
    /// The router opens a connection to a dyno for each request.
    HttpDisableKeepaliveToDyno,
    /// A client that waits for `100 Continue` gets it from the dyno, not from the router.
    HttpEndToEndContinue,
    /// A visitor stays with the dyno that answered first.
    HttpSessionAffinity,
}

/// How ready a feature is. The official client lists `General` under `features`, others under
/// `labs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// For everybody.
    General,
    /// Works, may still change.
    Beta,
}

impl Stage {
    /// Heroku's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Beta => "beta",
        }
    }
}

impl Feature {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::DynoSuspend,
        Self::HttpDisableKeepaliveToDyno,
        Self::HttpEndToEndContinue,
        Self::HttpSessionAffinity,
        Self::LogRuntimeMetrics,
        Self::Preboot,
        Self::RuntimeDynoMetadata,
    ];

    /// Its name, such as `preboot`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preboot => "preboot",
            Self::LogRuntimeMetrics => "log-runtime-metrics",
            Self::RuntimeDynoMetadata => "runtime-dyno-metadata",
            Self::DynoSuspend => "dyno-suspend",
            Self::HttpDisableKeepaliveToDyno => "http-disable-keepalive-to-dyno",
            Self::HttpEndToEndContinue => "http-end-to-end-continue",
            Self::HttpSessionAffinity => "http-session-affinity",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Preboot => "Preboot",
            Self::LogRuntimeMetrics => "Log Runtime Metrics",
            Self::RuntimeDynoMetadata => "Runtime Dyno Metadata",
            Self::DynoSuspend => "Dyno Suspend",
            Self::HttpDisableKeepaliveToDyno => "Disable Keepalive to Dyno",
            Self::HttpEndToEndContinue => "HTTP End-to-end Continue",
            Self::HttpSessionAffinity => "HTTP Session Affinity",
        }
    }

    /// What it does, in one sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Preboot => {
                "Start new web dynos beside the old ones, which leave when the new ones listen"
            }
            Self::LogRuntimeMetrics => "Write load and memory of each dyno to the log every 20 s",
            Self::RuntimeDynoMetadata => {
                "Tell dynos about their app, release and slug by HEROKU_ variables"
            }
            Self::DynoSuspend => "Freeze an idle dyno in place and wake it within milliseconds",
            Self::HttpDisableKeepaliveToDyno => {
                "Open a new connection to the dyno for each request instead of keeping it"
            }
            Self::HttpEndToEndContinue => {
                "Let the dyno, not the router, answer a request that waits for 100 Continue"
            }
            Self::HttpSessionAffinity => {
                "Send a visitor's requests to the dyno that answered the first one"
            }
        }
    }

    /// The page of Heroku's that explains it; none for what is ours alone.
    #[must_use]
    pub const fn article(self) -> Option<&'static str> {
        match self {
            Self::Preboot => Some("preboot"),
            Self::LogRuntimeMetrics => Some("log-runtime-metrics"),
            Self::RuntimeDynoMetadata => Some("dyno-metadata"),
            Self::HttpDisableKeepaliveToDyno | Self::HttpEndToEndContinue => Some("http-routing"),
            Self::HttpSessionAffinity => Some("session-affinity"),
            Self::DynoSuspend => None,
        }
    }

    /// How ready it is.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::Preboot | Self::HttpSessionAffinity => Stage::General,
            Self::LogRuntimeMetrics
            | Self::RuntimeDynoMetadata
            | Self::DynoSuspend
            | Self::HttpDisableKeepaliveToDyno
            | Self::HttpEndToEndContinue => Stage::Beta,
        }
    }

    /// Whether an app has it when nobody has said anything.
    #[must_use]
    pub const fn by_default(self) -> bool {
        matches!(self, Self::Preboot)
    }
}

/// There is no such feature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Couldn't find that feature: {0}.")]
pub struct UnknownFeature(String);

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(text: &str) -> Result<Self, UnknownFeature> {
        let same = |feature: &Self| feature.name() == text;
        Self::ALL.into_iter().find(same).ok_or_else(|| UnknownFeature(text.to_owned()))
    }
}

/// The features that an app has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(BTreeSet<Feature>);

impl Default for Features {
    /// Those of an app for which nobody has said anything.
    fn default() -> Self {
        Self(Feature::ALL.into_iter().filter(|feature| feature.by_default()).collect())
    }
}

impl Features {
    /// Whether the app has it.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// Gives or takes one.
    pub fn set(&mut self, feature: Feature, switch: Switch) {
        match switch {
            Switch::On => self.0.insert(feature),
            Switch::Off => self.0.remove(&feature),
        };
    }
}

/// Whether a feature is given or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Given.
    On,
    /// Taken.
    Off,
}

impl Switch {
    /// From a truth value of the database or of JSON.
    #[must_use]
    pub const fn from_bool(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }

    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// A feature as one app has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppFeature {
    /// Which.
    pub feature: Feature,
    /// Whether the app has it.
    pub switch: Switch,
    /// When somebody first said so; when the app was made, if nobody has.
    pub created_at: Timestamp,
    /// When somebody last said so.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
        }
        assert!("telepathy".parse::<Feature>().is_err());
    }

    #[test]
    fn only_zero_downtime_is_on_by_itself() {
        let mut features = Features::default();
        let on: Vec<_> = Feature::ALL.into_iter().filter(|f| features.has(*f)).collect();
        assert_eq!(on, [Feature::Preboot]);
        features.set(Feature::Preboot, Switch::Off);
        features.set(Feature::DynoSuspend, Switch::On);
        assert!(!features.has(Feature::Preboot) && features.has(Feature::DynoSuspend));
    }
}
