//! The properties under known inputs (the corpus of `fuzz/`), whole, cut, bent and mixed. Coverage
//! guides a fuzzer further; this finds what a careless change breaks, at every run of the tests.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// How many bent inputs each property is tried with.
const CASES: u32 = 3_000;

/// The inputs that are kept for one target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&corpus).expect("the corpus is in the repository");
    let mut inputs: Vec<_> =
        files.map(|file| fs::read(file.expect("a file").path()).expect("readable")).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", corpus.display());
    inputs
}

/// A change of an input.
#[derive(Clone, Debug)]
enum Bend {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
    /// The start of one and the end of another.
    Cross(prop::sample::Index, prop::sample::Index),
}

/// Bytes that mean something to some reader.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(b"\r\n \t:;,=\"/0159afAF\0\x0b\x7f\xff".to_vec()), any::<u8>()]
}

fn bend() -> impl Strategy<Value = Bend> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), byte()).prop_map(|(at, byte)| Bend::Replace(at, byte)),
        (at(), byte()).prop_map(|(at, byte)| Bend::Insert(at, byte)),
        at().prop_map(Bend::Remove),
        (at(), 1_usize..40).prop_map(|(at, count)| Bend::Repeat(at, count)),
        at().prop_map(Bend::Cut),
        (at(), at()).prop_map(|(from, other)| Bend::Cross(from, other)),
    ]
}

fn bent(corpus: &[Vec<u8>], mut input: Vec<u8>, bends: Vec<Bend>) -> Vec<u8> {
    for bend in bends {
        let place = |at: prop::sample::Index, len: usize| at.index(len.max(1)).min(len);
        let len = input.len();
        match bend {
            Bend::Replace(at, byte) if len > 0 => input[at.index(len)] = byte,
            Bend::Insert(at, byte) => input.insert(place(at, len), byte),
            Bend::Remove(at) if len > 0 => drop(input.remove(at.index(len))),
            Bend::Repeat(at, count) => {
                let from = place(at, len);
                let piece = input[from..(from + count).min(len)].to_vec();
                input.splice(from..from, piece);
            }
            Bend::Cut(at) => input.truncate(place(at, len)),
            Bend::Cross(from, other) => {
                let other = &corpus[other.index(corpus.len())];
                let from = place(from, len);
                input.truncate(from);
                input.extend_from_slice(&other[from.min(other.len())..]);
            }
            Bend::Replace(..) | Bend::Remove(_) => {}
        }
    }
    input
}

/// Tries a property with all kept inputs, and with many that are like them.
fn try_with(target: &str, property: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|input| property(input));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() };
    let inputs = (prop::sample::select(corpus.clone()), prop::collection::vec(bend(), 0..8));
    proptest!(config, |((input, bends) in inputs)| property(&bent(&corpus, input, bends)));
}

#[test]
fn requests_go_on_canonical() {
    try_with("request_head", request_head);
}

#[test]
fn responses_go_on_canonical() {
    try_with("response_head", response_head);
}

#[test]
fn chunks_go_on_canonical() {
    try_with("chunked_body", chunked_body);
}

#[test]
fn hosts_lead_to_the_app_that_they_name() {
    try_with("host", host);
}

#[test]
#[should_panic(expected = "two framings")]
fn the_second_reader_is_strict() {
    strict::check_head(
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
}
