//! Small pieces of text: times, sizes, quoting.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `2015/11/17 17:37:41 +0000 (~ 1h ago)`, in the person's time zone; as it came when it is no time.
pub(crate) fn ago(rfc3339: &str, now: i64) -> String {
    ago_in(rfc3339, now, TimeZone::system())
}

fn ago_in(rfc3339: &str, now: i64, zone: TimeZone) -> String {
    let Ok(at) = rfc3339.parse::<Timestamp>() else { return rfc3339.to_owned() };
    let text = at.to_zoned(zone).strftime("%Y/%m/%d %H:%M:%S %z").to_string();
    match now - at.as_second() {
        seconds @ ..60 => format!("{text} (~ {}s ago)", seconds.max(0)),
        seconds @ 60..3600 => format!("{text} (~ {}m ago)", seconds / 60),
        seconds @ 3600..90_000 => format!("{text} (~ {}h ago)", seconds / 3600),
        _ => text,
    }
}

/// `2015/11/17 17:37`, in the person's time zone; as it came when it is no time.
pub(crate) fn local(rfc3339: &str) -> String {
    let Ok(at) = rfc3339.parse::<Timestamp>() else { return rfc3339.to_owned() };
    at.to_zoned(TimeZone::system()).strftime("%Y/%m/%d %H:%M").to_string()
}

/// `45 MB`, whole units of 1024; nothing known is `0 B`, as Heroku's client writes it.
pub(crate) fn bytes(bytes: Option<u64>) -> String {
    let mut rest = bytes.unwrap_or(0);
    for unit in ["B", "KB", "MB", "GB"] {
        if rest < 1024 {
            return format!("{rest} {unit}");
        }
        rest = (rest + 512) / 1024;
    }
    format!("{rest} TB")
}

/// Quotes for a POSIX shell, if it is needed.
pub(crate) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Cuts to `width` characters, the last of them an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_say_how_long_ago_for_a_day() {
        let at = "2026-01-02T03:04:05Z";
        let now = at.parse::<Timestamp>().expect("good").as_second();
        let ago = |seconds| ago_in(at, now + seconds, TimeZone::UTC);
        assert_eq!(ago(5), "2026/01/02 03:04:05 +0000 (~ 5s ago)");
        assert_eq!(ago(125), "2026/01/02 03:04:05 +0000 (~ 2m ago)");
        assert_eq!(ago(24 * 3600), "2026/01/02 03:04:05 +0000 (~ 24h ago)");
        assert_eq!(ago(48 * 3600), "2026/01/02 03:04:05 +0000");
        assert_eq!(ago(-5), "2026/01/02 03:04:05 +0000 (~ 0s ago)");
        assert_eq!(ago_in("soon", now, TimeZone::UTC), "soon");
    }

    #[test]
    fn sizes_are_whole_units() {
        assert_eq!(bytes(None), "0 B");
        assert_eq!(bytes(Some(1023)), "1023 B");
        assert_eq!(bytes(Some(45 * 1024 * 1024)), "45 MB");
        assert_eq!(bytes(Some(3 << 40)), "3 TB");
    }

    #[test]
    fn only_what_needs_it_is_quoted() {
        assert_eq!(shell("postgres://u@h:5/db"), "postgres://u@h:5/db");
        assert_eq!(shell("x $HOME \"q\" 'é'"), r#"'x $HOME "q" '\''é'\'''"#);
        assert_eq!(shell(""), "''");
    }
}
