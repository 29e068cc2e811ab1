//! Values, and how Rust types become columns and come back.

use std::str::FromStr;

use model::{DynoSize, ProcessType, Timestamp};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use crate::{Error, Result};

/// One cell or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number, a time in microseconds, or a truth value.
    Int(i64),
    /// Text, an id, a word of an enum, or JSON.
    Text(String),
    /// Bytes: sealed secrets only.
    Blob(Vec<u8>),
}

impl Value {
    pub(crate) fn read(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Self> {
        Ok(match row.get_ref(index)? {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Int(number),
            // No table has such a column; the text makes the conversion fail with a clear error.
            ValueRef::Real(number) => Self::Text(number.to_string()),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// One row on its way into a type: cells are taken from left to right, in the order of the
/// statement's columns.
pub struct Row {
    sql: &'static str,
    cells: std::vec::IntoIter<Value>,
}

impl Row {
    pub(crate) fn new(sql: &'static str, cells: Vec<Value>) -> Self {
        Self { sql, cells: cells.into_iter() }
    }

    /// The next column.
    ///
    /// # Errors
    /// When there is none left or it does not hold a `T`.
    pub fn take<T: Column>(&mut self) -> Result<T> {
        let cell = self.cells.next().unwrap_or(Value::Null);
        let kind = std::any::type_name::<T>();
        T::from_value(cell).ok_or(Error::Row { sql: self.sql, kind })
    }

    /// The next column, which holds text that `T` can read.
    ///
    /// # Errors
    /// When it is not text or `T` refuses it.
    pub fn parse<T: FromStr>(&mut self) -> Result<T> {
        let kind = std::any::type_name::<T>();
        let text: String = self.take()?;
        text.parse().map_err(|_| Error::Row { sql: self.sql, kind })
    }
}

/// A type that a column can hold.
pub trait Column: Sized {
    /// The value as this type; `None` when it is something else.
    fn from_value(value: Value) -> Option<Self>;
}

impl Column for i64 {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Int(number) = value { Some(number) } else { None }
    }
}

impl Column for bool {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl Column for String {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl Column for Vec<u8> {
    fn from_value(value: Value) -> Option<Self> {
        if let Value::Blob(bytes) = value { Some(bytes) } else { None }
    }
}

impl Column for Timestamp {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).map(Self::from_micros)
    }
}

impl<T: Column> Column for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Column for $kind {
            fn from_value(value: Value) -> Option<Self> {
                i64::from_value(value).and_then(|number| Self::try_from(number).ok())
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32);

macro_rules! into_int {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Self::Int(i64::from(number))
            }
        }
    )*};
}

into_int!(i64, i32, u32, u16, u8, bool);

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // Byte counts and generations; none comes near the limit.
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Int(at.micros())
    }
}

impl From<DynoSize> for Value {
    fn from(size: DynoSize) -> Self {
        Self::Text(size.name().to_owned())
    }
}

macro_rules! as_text {
    ($($kind:ty),* $(,)?) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Text(value.to_string())
            }
        }
        impl From<&$kind> for Value {
            fn from(value: &$kind) -> Self {
                Self::Text(value.to_string())
            }
        }
        impl Column for $kind {
            fn from_value(value: Value) -> Option<Self> {
                String::from_value(value).and_then(|text| text.parse().ok())
            }
        }
    )*};
}

as_text!(
    model::AccountId,
    model::AuthorizationId,
    model::AppId,
    model::ReleaseId,
    model::SlugId,
    model::BuildId,
    model::DynoId,
    model::FormationId,
    model::DomainId,
    model::CertificateId,
    model::SniEndpointId,
    model::SourceId,
    model::LogRuleId,
    model::LogSessionId,
    model::DrainId,
    model::LogInputId,
    model::VisitId,
    model::AppName,
    ProcessType,
);

impl Column for DynoSize {
    fn from_value(value: Value) -> Option<Self> {
        String::from_value(value).and_then(|text| text.parse().ok())
    }
}

macro_rules! words {
    ($($kind:ty: $($variant:path => $word:literal),+;)*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Text(match value { $($variant => $word),+ }.to_owned())
            }
        }
        impl Column for $kind {
            fn from_value(value: Value) -> Option<Self> {
                match String::from_value(value)?.as_str() {
                    $($word => Some($variant),)+
                    _ => None,
                }
            }
        }
    )*};
}

use model::build::{BuildStatus, BuildStep};
use model::certificate::{AcmStatus, Origin, Trust};
use model::domain::DomainKind;
use model::dyno::{DynoKind, DynoState, StopReason};
use model::release::ReleaseStatus;

words! {
    BuildStatus:
        BuildStatus::Pending => "pending",
        BuildStatus::Succeeded => "succeeded",
        BuildStatus::Failed => "failed";
    BuildStep:
        BuildStep::Queued => "queued",
        BuildStep::Claimed => "claimed",
        BuildStep::Detect => "detect",
        BuildStep::Compile => "compile",
        BuildStep::Pack => "pack",
        BuildStep::Release => "release";
    ReleaseStatus:
        ReleaseStatus::Pending => "pending",
        ReleaseStatus::Succeeded => "succeeded",
        ReleaseStatus::Failed => "failed";
    DomainKind:
        DomainKind::Heroku => "heroku",
        DomainKind::Custom => "custom";
    Origin:
        Origin::Uploaded => "uploaded",
        Origin::Automatic => "automatic";
    Trust:
        Trust::Authority => "authority",
        Trust::SelfSigned => "self_signed",
        Trust::Unknown => "unknown";
    AcmStatus:
        AcmStatus::Pending => "pending",
        AcmStatus::Verified => "verified",
        AcmStatus::Issued => "issued",
        AcmStatus::Failing => "failing",
        AcmStatus::Failed => "failed";
    DynoKind:
        DynoKind::Formation => "formation",
        DynoKind::Run => "run",
        DynoKind::Release => "release",
        DynoKind::Build => "build";
    DynoState:
        DynoState::Starting => "starting",
        DynoState::Up => "up",
        DynoState::Idle => "idle",
        DynoState::Crashed => "crashed",
        DynoState::Down => "down",
        DynoState::Complete => "complete";
    StopReason:
        StopReason::Restart => "restart",
        StopReason::ScaledDown => "scaled_down",
        StopReason::Cycling => "cycling",
        StopReason::Idling => "idling",
        StopReason::Cancelled => "cancelled";
}
