//! Sizes as people read them in a transcript: `646B`, `45.2M`, `731M`, `1G`.

const UNITS: [&str; 4] = ["K", "M", "G", "T"];

/// `bytes` with one decimal below a hundred of a unit, and none where it would be zero.
#[must_use]
pub fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    // Tenths of the unit, rounded; integers, so that nothing is lost on the way.
    let mut unit = 0;
    let mut divisor = 1024_u128;
    let tenths = |divisor: u128| (u128::from(bytes) * 10 + divisor / 2) / divisor;
    while tenths(divisor) >= 10 * 1024 && unit + 1 < UNITS.len() {
        unit += 1;
        divisor *= 1024;
    }
    let tenths = tenths(divisor);
    match tenths % 10 {
        part if part > 0 && tenths < 1000 => format!("{}.{part}{}", tenths / 10, UNITS[unit]),
        _ => format!("{}{}", (tenths + 5) / 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_heroku_writes_them() {
        let m = 1024 * 1024;
        for (bytes, text) in [
            (0, "0B"),
            (646, "646B"),
            (1023, "1023B"),
            (1024, "1K"),
            (47_395_635, "45.2M"),
            (731 * m, "731M"),
            (731 * m + m / 3, "731M"),
            (1024 * m, "1G"),
            (1024 * m - 1, "1G"),
            (3 * 1024 * m + 205 * m, "3.2G"),
            (u64::MAX, "16777216T"),
        ] {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
