//! Lines in the forms that receivers read (RFC 5424 in octet-counted frames, RFC 6587).

use std::io::Write as _;

use model::Timestamp;
use model::log::Source;

use crate::record::Record;

/// Bytes of a frame beside its text, at most but for long process names.
const HEADER: usize = 128;

/// Writes frames one after the other.
pub(crate) struct Framer {
    host: Box<str>,
    tail: &'static str,
    message: Vec<u8>,
    /// The second that was written last: formatting one costs as much as all the rest.
    second: i64,
    date: [u8; 19],
}

impl Framer {
    /// `LEN <PRI>1 TIME d.TOKEN SOURCE PROCESS - - TEXT\n`, as a syslog drain has it.
    pub fn syslog(token: &str) -> Self {
        Self::new(token.into(), " - - ")
    }

    /// `LEN <PRI>1 TIME host SOURCE PROCESS - TEXT\n`, as an HTTP drain has it: without the
    /// structured data that the RFC asks for.
    pub fn http() -> Self {
        Self::new("host".into(), " - ")
    }

    fn new(host: Box<str>, tail: &'static str) -> Self {
        Self { host, tail, message: Vec::with_capacity(512), second: i64::MIN, date: [0; 19] }
    }

    /// Appends the record's frame to `out`.
    pub fn write(&mut self, record: &Record, out: &mut Vec<u8>) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        message.reserve(record.text.len() + HEADER);
        message.push(b'<');
        number(priority(record), &mut message);
        message.extend_from_slice(b">1 ");
        self.time(record.at, &mut message);
        for part in [" ", &self.host, " ", record.source.as_str(), " ", &record.process, self.tail]
        {
            message.extend_from_slice(part.as_bytes());
        }
        message.extend_from_slice(record.text.as_bytes());
        message.push(b'\n');
        number(message.len(), out);
        out.push(b' ');
        out.extend_from_slice(&message);
        self.message = message;
    }

    /// `2012-11-30T06:45:29.000000+00:00`.
    fn time(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        let (second, micros) =
            (at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000));
        if second != self.second {
            let text = at.to_string();
            self.date.copy_from_slice(&text.as_bytes()[..19]);
            self.second = second;
        }
        out.extend_from_slice(&self.date);
        // Writing to a vector cannot fail.
        let _ = write!(out, ".{micros:06}+00:00");
    }
}

fn number(number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[rest % 10];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Facility and severity: local7.info for what apps write, local3.info for the router,
/// local5.warning for losses, syslog.notice for the rest of the platform.
fn priority(record: &Record) -> usize {
    match (record.source, &*record.process) {
        (Source::App, _) => 190,
        (Source::Heroku, "router") => 158,
        (Source::Heroku, "logplex") => 172,
        (Source::Heroku, _) => 45,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(source: Source, process: &str, text: &str) -> Record {
        let at = Timestamp::from_micros(1_354_257_929_000_012);
        Record { source, process: process.into(), ..Record::note(1, at, text) }
    }

    fn framed(mut framer: Framer, records: &[Record]) -> String {
        let mut out = Vec::new();
        records.iter().for_each(|record| framer.write(record, &mut out));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_syslog_frame_is_herokus() {
        let frame = framed(Framer::syslog("d.1"), &[record(Source::App, "web.1", "hi é")]);
        assert_eq!(frame, "64 <190>1 2012-11-30T06:45:29.000012+00:00 d.1 app web.1 - - hi é\n");
        assert_eq!(frame.len(), "64 ".len() + 64);
    }

    #[test]
    fn http_frames_follow_each_other_without_structured_data() {
        let records =
            [record(Source::Heroku, "router", "at=info"), record(Source::Heroku, "web.1", "")];
        let expected = "69 <158>1 2012-11-30T06:45:29.000012+00:00 host heroku router - at=info\n\
                        60 <45>1 2012-11-30T06:45:29.000012+00:00 host heroku web.1 - \n";
        assert_eq!(framed(Framer::http(), &records), expected);
    }

    #[test]
    fn times_are_right_across_seconds_and_before_the_epoch() {
        let mut framer = Framer::http();
        for micros in [0, 999_999, 1_000_000, -1, 1_354_257_929_123_456, 1_354_257_929_123_457] {
            let at = Timestamp::from_micros(micros);
            let mut out = Vec::new();
            framer.time(at, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), at.to_string());
        }
    }
}
