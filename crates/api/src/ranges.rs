//! Pages of lists: the `Range` and `Next-Range` headers of the Platform API.
//!
//! `Range: version ]12..; max=15, order=desc` asks for at most 15 rows after version 12, newest
//! first. While rows remain the answer is 206 with a `Next-Range`; the last page is 200 without it
//! (a client that follows `Next-Range` would otherwise never stop). Parsing is lenient, because
//! clients write the header in many ways and send it where it means nothing.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::error::ApiError;

const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");
const DEFAULT_MAX: usize = 200;
const HIGHEST_MAX: usize = 1000;

/// A value that lists are sorted and cut by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Versions and ordinals.
    Number(i64),
    /// Ids, names and times (whose written form sorts like the moment).
    Text(String),
}

impl Key {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// `text` as a key of the same kind as `self`.
    fn alike(&self, text: &str) -> Option<Self> {
        match self {
            Self::Number(_) => text.parse().ok().map(Self::Number),
            Self::Text(_) => Some(Self::Text(text.to_owned())),
        }
    }
}

/// A row that can be listed.
pub trait Listed {
    /// Attributes to sort by; the first is the order when none is asked for.
    const SORTABLE: &'static [&'static str];

    /// This row's value of one of [`Self::SORTABLE`].
    fn key(&self, attribute: &str) -> Key;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Ascending,
    Descending,
}

/// A parsed `Range` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    attribute: Option<String>,
    after: Option<Edge>,
    until: Option<Edge>,
    max: Option<usize>,
    order: Order,
}

/// One end of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    value: String,
    exclusive: bool,
}

impl Range {
    /// Reads a header; what is not understood is left out.
    fn parse(header: &str) -> Self {
        let mut parts = header.split([';', ',']).map(str::trim);
        let mut range = Self::default();
        if let Some((attribute, span)) = parts.next().and_then(|part| part.split_once(' ')) {
            range.attribute = Some(attribute.to_owned());
            range.span(span.trim());
        }
        for part in parts {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("max", value)) => range.max = value.parse().ok(),
                Some(("order", "desc")) => range.order = Order::Descending,
                _ => {}
            }
        }
        range
    }

    fn span(&mut self, span: &str) {
        let Some((start, end)) = span.split_once("..") else { return };
        self.after = edge(start, start.strip_prefix(']'));
        self.until = edge(end, end.strip_suffix('['));
    }

    fn max(&self) -> usize {
        self.max.unwrap_or(DEFAULT_MAX).clamp(1, HIGHEST_MAX)
    }

    fn sort(&self, a: &Key, b: &Key) -> Ordering {
        match self.order {
            Order::Ascending => a.cmp(b),
            Order::Descending => b.cmp(a),
        }
    }

    /// Whether `key` lies beyond `edge` in the direction of this range's order.
    fn beyond(&self, key: &Key, edge: &Edge) -> Result<Ordering, ApiError> {
        let limit = key
            .alike(&edge.value)
            .ok_or_else(|| ApiError::range(format!("Invalid range value `{}`.", edge.value)))?;
        Ok(self.sort(key, &limit))
    }

    fn holds(&self, key: &Key) -> Result<bool, ApiError> {
        if let Some(edge) = &self.after {
            let side = self.beyond(key, edge)?;
            if side == Ordering::Less || (edge.exclusive && side == Ordering::Equal) {
                return Ok(false);
            }
        }
        if let Some(edge) = &self.until {
            let side = self.beyond(key, edge)?;
            if side == Ordering::Greater || (edge.exclusive && side == Ordering::Equal) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The page of `rows` that was asked for.
    ///
    /// # Errors
    /// 416 when an end of the range is not a value of the attribute.
    pub fn page<T: Listed>(&self, rows: Vec<T>) -> Result<Page<T>, ApiError> {
        let asked = self.attribute.as_deref();
        let known = T::SORTABLE.iter().copied().find(|name| Some(*name) == asked);
        let attribute = known.unwrap_or(T::SORTABLE[0]);
        // Ends mean nothing for an attribute that this list does not have.
        let range = if known.is_some() { self.clone() } else { self.without_ends() };
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            let key = row.key(attribute);
            if range.holds(&key)? {
                keyed.push((key, row));
            }
        }
        keyed.sort_by(|(a, _), (b, _)| range.sort(a, b));
        let next = range.cut(attribute, &mut keyed);
        let span = keyed.first().zip(keyed.last()).map(|((first, _), (last, _))| {
            format!("{attribute} {}..{}", first.text(), last.text())
        });
        Ok(Page { rows: keyed.into_iter().map(|(_, row)| row).collect(), span, next })
    }

    fn without_ends(&self) -> Self {
        Self { after: None, until: None, ..self.clone() }
    }

    /// Shortens `rows` to one page and says where the next begins. Rows with equal keys stay on one
    /// page, for the next begins after the key.
    fn cut<T>(&self, attribute: &str, rows: &mut Vec<(Key, T)>) -> Option<String> {
        let mut end = self.max();
        while end < rows.len() && rows[end].0 == rows[end - 1].0 {
            end += 1;
        }
        if end >= rows.len() {
            return None;
        }
        rows.truncate(end);
        let last = rows[end - 1].0.text();
        let until = self.until.as_ref().map_or(String::new(), |edge| {
            format!("{}{}", edge.value, if edge.exclusive { "[" } else { "" })
        });
        let order = match self.order {
            Order::Ascending => "",
            Order::Descending => ", order=desc",
        };
        Some(format!("{attribute} ]{last}..{until}; max={}{order}", self.max()))
    }
}

fn edge(text: &str, exclusive: Option<&str>) -> Option<Edge> {
    let value = exclusive.unwrap_or(text).trim();
    let exclusive = exclusive.is_some();
    if value.is_empty() { None } else { Some(Edge { value: value.to_owned(), exclusive }) }
}

impl<S: Sync> FromRequestParts<S> for Range {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(RANGE).and_then(|value| value.to_str().ok());
        Ok(header.map(Self::parse).unwrap_or_default())
    }
}

/// One page of a list.
pub struct Page<T> {
    rows: Vec<T>,
    span: Option<String>,
    next: Option<String>,
}

impl<T: Listed + Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let status = if self.next.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let mut response = (status, Json(self.rows)).into_response();
        let headers = [
            (ACCEPT_RANGES, Some(T::SORTABLE.join(", "))),
            (CONTENT_RANGE, self.span),
            (NEXT_RANGE, self.next),
        ];
        for (name, text) in headers {
            // A name that no header can carry only costs the header, not the answer.
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests;
