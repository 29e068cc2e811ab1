//! What the operator is told about certificates: a list, and warnings before one expires.

use std::path::Path;
use std::time::Duration;

use control::Control;
use control::certificates::{self, Listed};
use model::Timestamp;
use model::certificate::Origin;
use sandbox::checks::Check;

use crate::foundation;
use crate::settings::{Flags, Settings};

/// A certificate that expires within this time, and was not renewed, deserves a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// One line per certificate: when it expires, whose it is, its names, what hinders it.
///
/// # Errors
/// When the database fails.
pub async fn lines(control: &Control) -> anyhow::Result<Vec<String>> {
    Ok(certificates::all(control).await?.iter().map(line).collect())
}

fn line(listed: &Listed) -> String {
    let expires = listed.expires_at.map_or_else(|| "none yet".to_owned(), Timestamp::rfc3339);
    let origin = match listed.origin {
        Origin::Uploaded => "uploaded",
        Origin::Automatic => "automatic",
    };
    let app = listed.app.as_deref().unwrap_or("(platform)");
    let names = listed.names.join(",");
    let reason = listed.reason.as_deref().map(|reason| format!("  ({reason})")).unwrap_or_default();
    format!("{expires:<20}  {origin:<9}  {app:<30}  {names}{reason}")
}

/// The doctor's view of a server's certificates; nothing where there is no server yet.
pub fn check(data_dir: &Path) -> Option<Check> {
    if !data_dir.join("hythe.db").exists() {
        return None;
    }
    let found = read(data_dir);
    let mend = "see `hythe admin certificates` for which and why".to_owned();
    let check = |ok, found| Check { name: "certificates".into(), ok, found, mend: mend.clone() };
    match found {
        Err(error) => Some(check(false, format!("{error:#}"))),
        Ok(all) => {
            let now = Timestamp::now();
            let late = all.iter().filter(|one| needs_attention(one, now)).count();
            let found = match late {
                0 => format!("{} in order", all.len()),
                late => format!("{late} of {} expire soon or are refused", all.len()),
            };
            Some(check(late == 0, found))
        }
    }
}

fn needs_attention(listed: &Listed, now: Timestamp) -> bool {
    listed.reason.is_some() || listed.expires_at.is_some_and(|at| at < now + SOON)
}

fn read(data_dir: &Path) -> anyhow::Result<Vec<Listed>> {
    let flags = Flags { data_dir: Some(data_dir.to_owned()), ..Flags::default() };
    let control = foundation::open_existing(&Settings::read(flags)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(certificates::all(&control))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expires_soon_or_is_refused_needs_attention() {
        let now = Timestamp::now();
        let one = |expires_at, reason: Option<&str>| Listed {
            app: None,
            names: vec!["www.example.com".to_owned()],
            origin: Origin::Automatic,
            expires_at,
            reason: reason.map(str::to_owned),
        };
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(needs_attention(&one(Some(now + 13 * day), None), now));
        assert!(!needs_attention(&one(Some(now + 30 * day), None), now));
        assert!(needs_attention(&one(None, Some("no such name")), now));
        let fresh = one(None, None);
        assert!(!needs_attention(&fresh, now), "it was not asked for yet");
        assert!(line(&fresh).contains("none yet") && line(&fresh).contains("(platform)"));
    }
}
