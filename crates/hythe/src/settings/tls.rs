//! The settings of certificates: the operator's own files, and an authority for automatic ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde::Deserialize;

/// Names for well-known authorities.
const KNOWN: [(&str, &str); 2] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
];

/// Ends of names that no public authority gives certificates for.
const NOT_PUBLIC: [&str; 8] =
    ["localhost", "local", "localdomain", "internal", "lan", "home.arpa", "test", "example"];

/// Sooner would be asking for certificates all the time.
const LEAST_RENEWAL: u64 = 60;

/// `[acme]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeFile {
    directory: Option<String>,
    contact: Option<String>,
    ca_file: Option<PathBuf>,
    renew_after_seconds: Option<u64>,
    platform_names: Option<bool>,
}

/// The operator's own certificate.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate with its chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// Whom to ask for automatic certificates.
#[derive(Debug, Clone)]
pub struct Acme {
    /// URL of its directory.
    pub directory: String,
    /// E-mail address it may write to.
    pub contact: Option<String>,
    /// What its own server's certificate is checked against, if not the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// Renew after so long at the latest.
    pub renew_after: Option<Duration>,
    /// Whether the platform's own names get certificates too.
    pub platform_names: bool,
}

/// The settings of certificates.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// The operator's own certificate.
    pub files: Option<TlsFiles>,
    /// Whom to ask for automatic ones.
    pub acme: Option<Acme>,
}

impl TlsSettings {
    /// Reads the settings of a platform with this base domain.
    ///
    /// # Errors
    /// Names the setting and what would be right.
    pub fn read(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        acme: AcmeFile,
        domain: &str,
    ) -> anyhow::Result<Self> {
        let files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => bail!("tls_certificate and tls_key belong together: set both or none"),
        };
        for path in files.iter().flat_map(|files| [&files.certificate, &files.key]) {
            absolute(path)?;
        }
        let own = files.is_some();
        Ok(Self { acme: read_acme(acme, domain, own)?, files })
    }
}

fn read_acme(file: AcmeFile, domain: &str, own_files: bool) -> anyhow::Result<Option<Acme>> {
    let Some(directory) = file.directory else {
        if file.contact.is_some() || file.ca_file.is_some() {
            bail!("[acme] needs a directory: \"letsencrypt\", or the URL of another authority");
        }
        return Ok(None);
    };
    let known = KNOWN.iter().find(|(name, _)| *name == directory).map(|(_, url)| *url);
    let directory = known.map_or(directory, str::to_owned);
    if !directory.starts_with("https://") {
        bail!(
            "the directory of [acme] must be \"letsencrypt\" or an https:// URL, not {directory:?}"
        );
    }
    if let Some(contact) = file.contact.as_ref().filter(|contact| !contact.contains('@')) {
        bail!("the contact of [acme] must be an e-mail address, not {contact:?}");
    }
    if let Some(path) = &file.ca_file {
        absolute(path)?;
    }
    if file.renew_after_seconds.is_some_and(|seconds| seconds < LEAST_RENEWAL) {
        bail!("renew_after_seconds of [acme] must be at least {LEAST_RENEWAL}");
    }
    Ok(Some(Acme {
        directory,
        contact: file.contact,
        ca_file: file.ca_file,
        renew_after: file.renew_after_seconds.map(Duration::from_secs),
        platform_names: file.platform_names.unwrap_or(!own_files && is_public(domain)),
    }))
}

fn absolute(path: &Path) -> anyhow::Result<()> {
    if !path.is_absolute() {
        bail!("{} must be an absolute path", path.display());
    }
    Ok(())
}

fn is_public(domain: &str) -> bool {
    let ends_with = |end: &&str| {
        domain.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    domain.contains('.') && !NOT_PUBLIC.iter().any(ends_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme(text: &str, domain: &str) -> anyhow::Result<Option<Acme>> {
        read_acme(toml::from_str(text).expect("TOML"), domain, false)
    }

    #[test]
    fn nothing_is_asked_for_until_an_authority_is_named() {
        assert!(acme("", "example.com").expect("fine").is_none());
        let known = acme("directory = \"letsencrypt\"", "paas.example.com");
        let known = known.expect("fine").expect("set");
        assert_eq!(known.directory, "https://acme-v02.api.letsencrypt.org/directory");
        assert!(known.platform_names);
        let inside = acme("directory = \"https://ca.lan/acme\"", "paas.lan").expect("fine");
        assert!(!inside.expect("set").platform_names);
    }

    #[test]
    fn what_cannot_be_right_is_named() {
        let refused = [
            "contact = \"ops@example.com\"",
            "directory = \"http://ca.lan/acme\"",
            "directory = \"letsencrypt\"\ncontact = \"ops\"",
            "directory = \"letsencrypt\"\nca_file = \"ca.pem\"",
            "directory = \"letsencrypt\"\nrenew_after_seconds = 1",
        ];
        for text in refused {
            assert!(acme(text, "example.com").is_err(), "{text}");
        }
        let half = TlsSettings::read(Some("/a".into()), None, AcmeFile::default(), "example.com");
        assert!(half.is_err());
    }
}
