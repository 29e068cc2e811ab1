//! A second reader, which takes nothing but canonical bytes and shares no code with the first.

/// The head is a first line, fields, and an empty line; nothing in it can be read in two ways.
pub fn check_head(head: &[u8]) {
    let text = head.strip_suffix(b"\r\n\r\n").expect("an empty line at the end");
    let lines: Vec<&[u8]> = split(text);
    let mut framing = Vec::new();
    for line in &lines {
        let printable = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        assert!(line.iter().all(printable), "a control character: {:?}", show(line));
    }
    for line in &lines[1..] {
        let colon = line.iter().position(|&b| b == b':').expect("a colon");
        let (name, value) = (show(&line[..colon]).to_lowercase(), show(&line[colon + 1..]));
        assert!(
            !name.is_empty() && !name.contains([' ', '\t', '(', ')', ',', '/', ';', '"']),
            "{name}"
        );
        let value = value.strip_prefix(' ').expect("one blank after the colon");
        match &*name {
            "content-length" => {
                let canonical = value.parse::<u64>().map(|number| number.to_string());
                assert_eq!(canonical.as_deref(), Ok(value), "a plain number");
                framing.push(name);
            }
            "transfer-encoding" => {
                assert_eq!(value, "chunked");
                framing.push(name);
            }
            _ => {}
        }
    }
    assert!(framing.len() <= 1, "two framings: {framing:?}");
}

/// The chunks carry this content, one size line each, and end with trailers that frame nothing.
pub fn check_chunks(mut wire: &[u8], content: &[u8]) {
    let mut sum = Vec::new();
    loop {
        let (line, rest) = line(wire);
        let size = usize::from_str_radix(&show(line), 16).expect("a size");
        assert_eq!(format!("{size:x}"), show(line).to_lowercase(), "a plain number");
        wire = rest;
        if size == 0 {
            break;
        }
        sum.extend_from_slice(&wire[..size]);
        wire = wire[size..].strip_prefix(b"\r\n").expect("a line end after the data");
    }
    assert_eq!(sum, content);
    loop {
        let (trailer, rest) = line(wire);
        wire = rest;
        if trailer.is_empty() {
            break;
        }
        let name = show(trailer).split(':').next().unwrap_or_default().to_lowercase();
        let frames = ["content-length", "transfer-encoding", "host", "connection", "trailer"];
        assert!(!frames.contains(&&*name), "{name}");
    }
    assert!(wire.is_empty(), "nothing after the last chunk");
}

/// The name in a lower-case `Host` value.
pub fn host(sent: &str) -> Option<&str> {
    let end = if sent.starts_with('[') { sent.find(']')? + 1 } else { 0 };
    let name = match sent[end..].rfind(':') {
        Some(colon) => &sent[..end + colon],
        None => sent,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty() && !name.contains(['/', '@', ' ', '\\', ','])).then_some(name)
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line");
    (&bytes[..at], &bytes[at + 2..])
}

fn show(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
