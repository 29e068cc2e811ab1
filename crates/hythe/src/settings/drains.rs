//! The settings of drains: which internal places they may reach, and whom they trust.

use std::path::PathBuf;

use anyhow::Context;
use model::drain::Reach;
use serde::Deserialize;

/// `[drains]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainsFile {
    /// Internal networks that receivers may be in, such as `10.0.0.0/8`.
    networks: Vec<String>,
    /// Certificates (PEM) that are trusted beside the machine's.
    authorities: Option<PathBuf>,
}

/// Where drains may lead, and whom they trust.
#[derive(Debug, Clone, Default)]
pub struct Drains {
    /// Which addresses receivers may have.
    pub reach: Reach,
    /// Certificates (PEM) that are trusted beside the machine's.
    pub authorities: Option<PathBuf>,
}

impl DrainsFile {
    /// The settings.
    ///
    /// # Errors
    /// Names what is no network.
    pub fn read(self) -> anyhow::Result<Drains> {
        let networks = self.networks.iter().map(|network| network.parse());
        let networks = networks.collect::<Result<_, _>>().context("read [drains] networks")?;
        Ok(Drains { reach: Reach { networks }, authorities: self.authorities })
    }
}
