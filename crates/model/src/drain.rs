//! Drains: where an app's lines are sent to, and which places are allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::{AppId, AppName, DrainId, LogInputId, Secret, Timestamp};

mod url;

pub use url::{Login, Scheme, Url, UrlError};

/// An app may have so many drains of each kind (Heroku, "Log drains").
pub const MAX_PER_APP: usize = 5;

/// A log drain of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDrain {
    /// Its id.
    pub id: DrainId,
    /// Whose lines.
    pub app: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// Where to.
    pub url: Url,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl LogDrain {
    /// What the receiver knows the drain by: `d.` and its id.
    #[must_use]
    pub fn token(&self) -> String {
        token(self.id)
    }
}

/// What receivers and people know a drain by: `d.` and its id.
#[must_use]
pub fn token(id: DrainId) -> String {
    format!("d.{id}")
}

/// What kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Numbers.
    Metrics,
    /// Lines.
    Logs,
}

impl Signal {
    /// All of them, in the official client's order.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// OpenTelemetry's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// How telemetry travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExporterKind {
    /// OTLP over HTTP.
    OtlpHttp,
    /// OTLP over gRPC.
    Otlp,
    /// Splunk's own protocol.
    Splunk,
}

impl ExporterKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OtlpHttp, Self::Otlp, Self::Splunk];

    /// Heroku's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlphttp",
            Self::Otlp => "otlp",
            Self::Splunk => "splunk",
        }
    }
}

/// Where an app's telemetry goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// How it travels.
    pub kind: ExporterKind,
    /// Where to.
    pub endpoint: Url,
    /// Headers of each request, such as the receiver's key.
    pub headers: BTreeMap<String, Secret>,
}

/// A telemetry drain of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryDrain {
    /// Its id.
    pub id: DrainId,
    /// Whose telemetry.
    pub app: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// What is sent; not empty.
    pub signals: Vec<Signal>,
    /// Where to.
    pub exporter: Exporter,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A drain as Logplex wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Its id.
    pub id: DrainId,
    /// Whose lines.
    pub app: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// Where to.
    pub url: Url,
    /// In which form.
    pub form: Form,
}

/// In which form lines are sent; over what, the URL's scheme says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Syslog frames, or Logplex's over HTTP.
    Logplex,
    /// OTLP over HTTP, with these headers.
    Otlp(BTreeMap<String, Secret>),
}

impl From<LogDrain> for Drain {
    fn from(drain: LogDrain) -> Self {
        let LogDrain { id, app, app_name, url, .. } = drain;
        Self { id, app, app_name, url, form: Form::Logplex }
    }
}

impl From<TelemetryDrain> for Drain {
    fn from(drain: TelemetryDrain) -> Self {
        let TelemetryDrain { id, app, app_name, exporter, .. } = drain;
        Self { id, app, app_name, url: exporter.endpoint, form: Form::Otlp(exporter.headers) }
    }
}

/// A licence to write lines into an app's stream from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInput {
    /// Its id.
    pub id: LogInputId,
    /// Whose stream.
    pub app: AppId,
    /// Under which name lines come in that name no process: an add-on's, such as `postgres`.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network; write it like 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let refused = || NetworkError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| refused())?;
        if bits > most { Err(refused()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u32| width - u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Which addresses drains may reach: all public ones, and of the internal ones those that the
/// operator named. Otherwise whoever may add a drain could make the server talk to what only the
/// server can reach: its own ports, its dynos, its neighbours, the cloud's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Internal networks that are allowed.
    pub networks: Vec<Network>,
}

impl Reach {
    /// Whether a drain may be at this address.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !is_internal(address) || self.networks.iter().any(|network| network.contains(address))
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_internal_v4(address),
        IpAddr::V6(address) => is_internal_v6(address),
    }
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (18..20).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    a == 0
        || a >= 224
        || shared
        || benchmarking
        || protocols
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    // Translated addresses (NAT64, 6to4) lead where their IPv4 part says.
    let [first, second, third, .., hi, lo] = address.segments();
    let v4 = |hi: u16, lo: u16| Ipv4Addr::from_bits(u32::from(hi) << 16 | u32::from(lo));
    let translated = match (first, second) {
        (0x64, 0xff9b) => Some(v4(hi, lo)),
        (0x2002, _) => Some(v4(second, third)),
        _ => None,
    };
    // `::` and `::1` among them; the rest of these once meant IPv4 addresses.
    let is_compatible = address.to_bits() >> 32 == 0;
    translated.is_some_and(is_internal_v4)
        || is_compatible
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || first & 0xffc0 == 0xfec0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(holds("192.168.1.7", "192.168.1.7"));
        assert!(!holds("192.168.1.7", "192.168.1.8"));
        assert!(holds("fd00::/8", "fd12::1"));
        assert!(!holds("fd00::/8", "fe12::1"));
        assert!(!holds("0.0.0.0/0", "::1"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x/8", "10.0.0.0/-1", "::/129"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn internal_addresses_need_the_operators_word() {
        let strict = Reach::default();
        for internal in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "fd00::1",
            "fe80::1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert!(!strict.permits(internal.parse().expect("an address")), "{internal}");
        }
        for public in ["8.8.8.8", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"] {
            assert!(strict.permits(public.parse().expect("an address")), "{public}");
        }
        let home = Reach { networks: vec!["127.0.0.0/8".parse().expect("a network")] };
        assert!(home.permits("127.0.0.1".parse().expect("an address")));
        assert!(home.permits("::ffff:127.0.0.1".parse().expect("an address")));
        assert!(!home.permits("10.0.0.1".parse().expect("an address")));
    }
}
