//! Formations: how many dynos of which type and size are wanted.

use crate::{AppId, DynoSize, FormationId, ProcessType, Timestamp};

/// At most this many dynos of one app (Heroku, "Limits").
pub const MAX_DYNOS_PER_APP: u32 = 100;

/// One process type's wanted quantity and size.
#[derive(Clone, Debug)]
pub struct Formation {
    /// Its id.
    pub id: FormationId,
    /// Whose app.
    pub app: AppId,
    /// The process type.
    pub process_type: ProcessType,
    /// Its command in the current slug.
    pub command: String,
    /// Wanted number of dynos.
    pub quantity: u32,
    /// Their size.
    pub size: DynoSize,
    /// When it first appeared.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A wanted quantity as people write it: `2`, `+1`, `-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityChange {
    /// Exactly so many.
    To(u32),
    /// So many more.
    More(u32),
    /// So many fewer.
    Fewer(u32),
}

/// Why a scale was refused. The text is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// Not a quantity.
    #[error("Invalid quantity `{0}`. Use a number such as 2, or a change such as +1 or -1.")]
    Quantity(String),
    /// Below zero.
    #[error("Cannot scale {0} below 0.")]
    BelowZero(ProcessType),
    /// Above the limit of the app.
    #[error("Cannot scale to {0} dynos: an app may have at most 100.")]
    TooMany(u32),
    /// The size allows one dyno per type.
    #[error("Cannot scale {0} to {1}: {2} dynos are limited to 1 per process type.")]
    OnePerType(ProcessType, u32, DynoSize),
    /// Eco and basic do not mix with others.
    #[error(
        "Cannot mix {0} dynos with other dyno sizes in one app. Change all process types at once."
    )]
    Mixed(DynoSize),
}

impl std::str::FromStr for QuantityChange {
    type Err = ScaleError;
    fn from_str(text: &str) -> Result<Self, ScaleError> {
        let number = |digits: &str| {
            let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            all.then(|| digits.parse().ok()).flatten().ok_or(ScaleError::Quantity(text.to_owned()))
        };
        match text.as_bytes().first() {
            Some(b'+') => Ok(Self::More(number(&text[1..])?)),
            Some(b'-') => Ok(Self::Fewer(number(&text[1..])?)),
            _ => Ok(Self::To(number(text)?)),
        }
    }
}

impl QuantityChange {
    /// The quantity after this change.
    ///
    /// # Errors
    /// When it would fall below zero or pass [`MAX_DYNOS_PER_APP`].
    pub fn apply(self, process_type: &ProcessType, quantity: u32) -> Result<u32, ScaleError> {
        let wanted = match self {
            Self::To(exact) => exact,
            Self::More(more) => quantity.saturating_add(more),
            Self::Fewer(fewer) => quantity
                .checked_sub(fewer)
                .ok_or_else(|| ScaleError::BelowZero(process_type.clone()))?,
        };
        if wanted > MAX_DYNOS_PER_APP { Err(ScaleError::TooMany(wanted)) } else { Ok(wanted) }
    }
}

/// Whether the whole formation obeys the rules on sizes: eco and basic are one per type and mix
/// with nothing else; at most [`MAX_DYNOS_PER_APP`] dynos in all.
///
/// # Errors
/// Names the first rule broken.
pub fn check(formation: &[Formation]) -> Result<(), ScaleError> {
    let used: Vec<&Formation> = formation.iter().filter(|row| row.quantity > 0).collect();
    let total = used.iter().map(|row| row.quantity).sum();
    if total > MAX_DYNOS_PER_APP {
        return Err(ScaleError::TooMany(total));
    }
    for row in &used {
        let single = matches!(row.size, DynoSize::Eco | DynoSize::Basic);
        if single && row.quantity > 1 {
            return Err(ScaleError::OnePerType(row.process_type.clone(), row.quantity, row.size));
        }
        if single && used.iter().any(|other| other.size != row.size) {
            return Err(ScaleError::Mixed(row.size));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_or_relative() {
        let web = ProcessType::web();
        let scale =
            |text: &str, from| text.parse::<QuantityChange>().and_then(|q| q.apply(&web, from));
        assert_eq!(scale("3", 1), Ok(3));
        assert_eq!(scale("+2", 1), Ok(3));
        assert_eq!(scale("-1", 1), Ok(0));
        assert_eq!(scale("-2", 1), Err(ScaleError::BelowZero(web.clone())));
        assert_eq!(scale("101", 1), Err(ScaleError::TooMany(101)));
        for bad in ["", "+", "one", "1.5", "--1", " 1"] {
            assert!(matches!(scale(bad, 1), Err(ScaleError::Quantity(_))), "{bad}");
        }
    }
}
