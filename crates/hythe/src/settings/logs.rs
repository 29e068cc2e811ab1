//! The settings of logs: how much is kept of them, and the mail server for alerts.

use std::time::Duration;

use anyhow::bail;
use logplex::rules::{Mail, MailSecurity};
use model::Secret;
use serde::Deserialize;

const MIB: u64 = 1 << 20;

/// `[logs]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsFile {
    keep_days: Option<u64>,
    app_mib: Option<u64>,
    total_mib: Option<u64>,
}

/// `[mail]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailFile {
    host: String,
    port: Option<u16>,
    /// `none`, `starttls` or `tls`.
    security: Option<String>,
    user: Option<String>,
    password: Option<String>,
    from: Option<String>,
}

/// How much is kept of logs.
#[derive(Debug, Clone, Copy)]
pub struct LogsKept {
    /// Lines older than this are deleted.
    pub keep_for: Duration,
    /// Bytes on disk for one app.
    pub app_bytes: u64,
    /// Bytes on disk for all apps.
    pub total_bytes: u64,
}

impl LogsFile {
    /// The settings, with what is usual for those that are left out.
    ///
    /// # Errors
    /// Names the setting and what would be right.
    pub fn read(&self) -> anyhow::Result<LogsKept> {
        let usual = logplex::Config::default();
        let mib =
            |wanted: Option<u64>, usual: u64| wanted.map_or(usual, |mib| mib.saturating_mul(MIB));
        let kept = LogsKept {
            keep_for: self.keep_days.map_or(usual.keep_for, |days| Duration::from_hours(days * 24)),
            app_bytes: mib(self.app_mib, usual.disk.bytes_per_app),
            total_bytes: mib(self.total_mib, usual.disk.bytes_overall),
        };
        if self.keep_days.is_some_and(|days| !(1..=3650).contains(&days)) {
            bail!("[logs] keep_days must be 1 to 3650");
        }
        if kept.app_bytes < MIB || kept.total_bytes < MIB {
            bail!("[logs] app_mib and total_mib must be at least 1");
        }
        Ok(kept)
    }
}

impl MailFile {
    /// The platform's mail.
    ///
    /// # Errors
    /// Names the setting and what would be right.
    pub fn read(self, domain: &str) -> anyhow::Result<Mail> {
        let security = match self.security.as_deref() {
            None | Some("starttls") => MailSecurity::StartTls,
            Some("tls") => MailSecurity::Tls,
            Some("none") => MailSecurity::None,
            Some(other) => bail!("[mail] security must be none, starttls or tls, not {other:?}"),
        };
        let usual_port = match security {
            MailSecurity::None => 25,
            MailSecurity::StartTls => 587,
            MailSecurity::Tls => 465,
        };
        let login = match (self.user, self.password) {
            (Some(user), Some(password)) => Some((user, Secret::new(password))),
            (None, None) => None,
            _ => bail!("[mail] user and password belong together: set both or none"),
        };
        let from = self.from.unwrap_or_else(|| format!("Hythe <hythe@{domain}>"));
        let mail =
            Mail { host: self.host, port: self.port.unwrap_or(usual_port), security, login, from };
        if let Err(why) = mail.check() {
            bail!("[mail] {why}");
        }
        Ok(mail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str) -> anyhow::Result<Mail> {
        toml::from_str::<MailFile>(text).expect("TOML").read("example.com")
    }

    #[test]
    fn a_mail_server_needs_little() {
        let mail = mail("host = 'smtp.example.com'").expect("good");
        assert_eq!((mail.port, mail.security), (587, MailSecurity::StartTls));
        assert_eq!(mail.from, "Hythe <hythe@example.com>");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(mail("host = 'a'\nsecurity = 'maybe'").is_err());
        assert!(mail("host = 'a'\nuser = 'b'").is_err());
        assert!(mail("host = 'a'\nfrom = 'nobody'").is_err());
        let logs = |text| toml::from_str::<LogsFile>(text).expect("TOML").read();
        assert!(logs("keep_days = 0").is_err());
        assert!(logs("app_mib = 0").is_err());
        assert_eq!(logs("app_mib = 2").expect("good").app_bytes, 2 * MIB);
    }
}
