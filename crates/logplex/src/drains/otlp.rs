//! Lines as OpenTelemetry log records: an `ExportLogsServiceRequest` in protobuf, written by hand
//! because it is small (opentelemetry-proto, logs/v1 and collector/logs/v1).

use std::sync::Arc;

use model::drain::Drain;
use model::log::Source;

use crate::record::Record;

/// What a line is worth: attributes and framing of one record, about.
const OVERHEAD: usize = 64;

/// Where log records are posted, below an endpoint's path.
pub(crate) fn path(endpoint: &str) -> String {
    let (path, query) = endpoint.split_once('?').map_or((endpoint, None), |(p, q)| (p, Some(q)));
    let path = path.trim_end_matches('/');
    let path = if path.ends_with("/v1/logs") { path.to_owned() } else { format!("{path}/v1/logs") };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

/// Records of a drain's app: one resource per process, each with its lines in their order.
pub(crate) fn encode(drain: &Drain, records: &[Arc<Record>]) -> Vec<u8> {
    let mut processes: Vec<(Source, &str, Vec<&Record>)> = Vec::new();
    for record in records {
        let same = |(source, process, _): &&mut (Source, &str, Vec<&Record>)| {
            *source == record.source && *process == &*record.process
        };
        match processes.iter_mut().find(same) {
            Some((_, _, lines)) => lines.push(record),
            None => processes.push((record.source, &record.process, vec![record])),
        }
    }
    let text: usize = records.iter().map(|record| record.text.len() + OVERHEAD).sum();
    let mut request = Message(Vec::with_capacity(text + 512 * processes.len()));
    for (source, process, lines) in processes {
        request.message(1, |resource_logs| {
            resource_logs.message(1, |resource| describe(resource, drain, source, process));
            resource_logs.message(2, |scope_logs| {
                scope_logs.message(1, |scope| scope.text(1, "logplex"));
                lines.iter().for_each(|line| scope_logs.message(2, |record| write(record, line)));
            });
        });
    }
    request.0
}

/// What OpenTelemetry's conventions for Heroku ask for, as far as a line knows it.
fn describe(resource: &mut Message, drain: &Drain, source: Source, process: &str) {
    let process_type = process.split('.').next().unwrap_or_default();
    for (name, value) in [
        ("cloud.provider", "heroku"),
        ("heroku.app.id", &drain.app.to_string()),
        ("service.name", drain.app_name.as_str()),
        ("service.instance.id", process),
        ("heroku.dyno.name", process),
        ("heroku.process.type", process_type),
        ("heroku.log.source", source.as_str()),
    ] {
        resource.message(1, |attribute| {
            attribute.text(1, name);
            attribute.message(2, |any| any.text(1, value));
        });
    }
}

fn write(message: &mut Message, record: &Record) {
    let nanos = record.at.micros().max(0).cast_unsigned().saturating_mul(1000);
    message.fixed64(1, nanos);
    if record.source == Source::Heroku && record.text.starts_with("Error ") {
        // SEVERITY_NUMBER_WARN: what apps write has no severity that we could know.
        message.number(2, 13);
        message.text(3, "WARN");
    }
    message.message(5, |body| body.text(1, &record.text));
    message.fixed64(11, nanos);
}

/// A protobuf message being written.
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    fn number(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, field: u32, text: &str) {
        self.key(field, 2);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A message inside. Its length comes before it, so room is left for it, as little as it needs.
    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, 2);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        self.varint(length as u64);
        let digits = self.0.len() - start - length;
        self.0[start..].rotate_right(digits);
    }
}

/// How many records a receiver refused, and why, when it took the others
/// (`ExportLogsServiceResponse.partial_success`).
pub(crate) fn partial_success(body: &[u8]) -> Option<(u64, String)> {
    let mut fields = Fields(body);
    let partial = fields.find_map(|(field, value)| match (field, value) {
        (1, Value::Bytes(bytes)) => Some(bytes),
        _ => None,
    })?;
    let (mut rejected, mut message) = (0, String::new());
    for (field, value) in Fields(partial) {
        match (field, value) {
            (1, Value::Number(number)) => rejected = number,
            (2, Value::Bytes(bytes)) => message = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    (rejected > 0 && rejected <= i64::MAX.cast_unsigned()).then_some((rejected, message))
}

/// The fields of a protobuf message; ends at the first that cannot be read.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_unless_it_is_whole() {
        for (endpoint, expected) in [
            ("/", "/v1/logs"),
            ("/otlp/", "/otlp/v1/logs"),
            ("/v1/logs", "/v1/logs"),
            ("/otlp?key=1", "/otlp/v1/logs?key=1"),
        ] {
            assert_eq!(path(endpoint), expected);
        }
    }

    #[test]
    fn a_message_has_its_length_before_it() {
        let mut message = Message(Vec::new());
        message.message(1, |inner| inner.text(2, &"x".repeat(200)));
        let mut fields = Fields(&message.0);
        let Some((1, Value::Bytes(inner))) = fields.next() else { panic!("no field") };
        assert!(fields.next().is_none());
        let Some((2, Value::Bytes(text))) = Fields(inner).next() else { panic!("no text") };
        assert_eq!(text, "x".repeat(200).as_bytes());
    }

    #[test]
    fn a_partial_success_is_read_and_nonsense_is_none() {
        let mut answer = Message(Vec::new());
        answer.message(1, |partial| {
            partial.number(1, 3);
            partial.text(2, "too old");
        });
        assert_eq!(partial_success(&answer.0), Some((3, "too old".to_owned())));
        assert_eq!(partial_success(b""), None);
        assert_eq!(partial_success(&[0x0a, 0x00]), None);
        assert_eq!(partial_success(&[0xff; 40]), None);
        assert_eq!(partial_success(b"<html>no</html>"), None);
    }
}
