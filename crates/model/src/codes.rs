//! Heroku's error codes: H (router), R (dyno manager), L (Logplex).

/// A router error (platform behaviour, 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "code and meaning are in `desc`")]
pub enum HCode {
    H10,
    H11,
    H12,
    H13,
    H14,
    H15,
    H17,
    H18,
    H19,
    H20,
    H21,
    H22,
    H24,
    H25(&'static str),
    H27,
    H28,
    H31,
    H34,
    H80,
    H81,
    H99,
}

impl HCode {
    /// The code as printed after `code=`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::H10 => "H10",
            Self::H11 => "H11",
            Self::H12 => "H12",
            Self::H13 => "H13",
            Self::H14 => "H14",
            Self::H15 => "H15",
            Self::H17 => "H17",
            Self::H18 => "H18",
            Self::H19 => "H19",
            Self::H20 => "H20",
            Self::H21 => "H21",
            Self::H22 => "H22",
            Self::H24 => "H24",
            Self::H25(_) => "H25",
            Self::H27 => "H27",
            Self::H28 => "H28",
            Self::H31 => "H31",
            Self::H34 => "H34",
            Self::H80 => "H80",
            Self::H81 => "H81",
            Self::H99 => "H99",
        }
    }

    /// The text as printed inside `desc="…"`.
    #[must_use]
    pub const fn desc(self) -> &'static str {
        match self {
            Self::H10 => "App crashed",
            Self::H11 => "Backlog too deep",
            Self::H12 => "Request timeout",
            Self::H13 => "Connection closed without response",
            Self::H14 => "No web processes running",
            Self::H15 => "Idle connection",
            Self::H17 => "Poorly formatted HTTP response",
            Self::H18 => "Server Request Interrupted",
            Self::H19 => "Backend connection timeout",
            Self::H20 => "App boot timeout",
            Self::H21 => "Backend connection refused",
            Self::H22 => "Connection limit reached",
            Self::H24 => "Forced close",
            Self::H25(desc) => desc,
            Self::H27 => "Client Request Interrupted",
            Self::H28 => "Client Connection Idle",
            Self::H31 => "Misdirected Request",
            Self::H34 => "All up dynos are quarantined",
            Self::H80 => "Maintenance mode",
            Self::H81 => "Blank app",
            Self::H99 => "Platform error",
        }
    }

    /// The word after `at=`.
    #[must_use]
    pub const fn at(self) -> &'static str {
        match self {
            Self::H27 | Self::H28 => "warning",
            Self::H80 | Self::H81 => "info",
            _ => "error",
        }
    }

    /// The HTTP status the client gets, or that is logged when no answer can be given any more.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::H25(_) | Self::H81 => 502,
            Self::H27 | Self::H28 => 499,
            Self::H31 => 421,
            _ => 503,
        }
    }
}
