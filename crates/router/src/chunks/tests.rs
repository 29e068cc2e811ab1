//! The reader fed in pieces must do what it does when fed at once.

use proptest::prelude::*;

use super::*;

/// What comes out when `wire` arrives in pieces that end at `cuts`; `None` if it is refused. Also
/// what is left after the body's end.
fn fed(wire: &[u8], cuts: &[usize], emit: Emit) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut chunks = Chunks::new(emit);
    let (mut waiting, mut out) = (Vec::new(), Vec::new());
    let mut from = 0;
    for &to in cuts.iter().chain([&wire.len()]) {
        waiting.extend_from_slice(&wire[from..to]);
        from = to;
        loop {
            let judged = chunks.judge(&mut waiting).ok()?;
            assert!(judged.passed <= judged.consumed);
            out.extend_from_slice(&waiting[..judged.passed]);
            waiting.drain(..judged.consumed);
            if judged.consumed == 0 {
                break;
            }
        }
    }
    chunks.is_done().then_some((out, waiting))
}

const GOOD: &[u8] =
    b"5;name=\"value\"\r\nhe\r\nl\r\n000a\r\n0123456789\r\n00;x\r\nX-A: b\r\nX-C: \r\n\r\nNEXT";
const CANONICAL: &[u8] = b"5\r\nhe\r\nl\r\na\r\n0123456789\r\n0\r\nX-A: b\r\nX-C: \r\n\r\n";

#[test]
fn every_pair_of_cuts_gives_the_same() {
    for first in 0..=GOOD.len() {
        for second in first..=GOOD.len() {
            let cuts = [first, second];
            let whole = Some((CANONICAL.to_vec(), b"NEXT".to_vec()));
            assert_eq!(fed(GOOD, &cuts, Emit::Chunks), whole, "{cuts:?}");
            let content = Some((b"he\r\nl0123456789".to_vec(), b"NEXT".to_vec()));
            assert_eq!(fed(GOOD, &cuts, Emit::Content), content, "{cuts:?}");
        }
    }
}

#[test]
fn byte_by_byte_gives_the_same() {
    let cuts: Vec<_> = (0..GOOD.len()).collect();
    assert_eq!(fed(GOOD, &cuts, Emit::Chunks).map(|fed| fed.0), Some(CANONICAL.to_vec()));
}

#[test]
fn what_is_bad_is_refused_wherever_it_is_cut() {
    for bad in [
        &b"5\r\nhelloX\n0\r\n\r\n"[..],
        b"5\r\nhello\r\r0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA:b\n\r\n",
        b"5\r\nhello\r\n0\r\nA b\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"g\r\n\r\n",
        b"\r\n",
        b";x\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"5\0\r\nhello\r\n0\r\n\r\n",
        b"8000000000000000\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    ] {
        for cut in 0..=bad.len() {
            assert_eq!(fed(bad, &[cut], Emit::Chunks), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }
}

#[test]
fn long_lines_are_refused_before_they_end() {
    let size_line = vec![b'0'; MAX_SIZE_LINE];
    assert!(Chunks::new(Emit::Chunks).judge(&mut size_line.clone()).is_err());
    let mut trailer = b"0\r\nX: ".to_vec();
    trailer.resize(MAX_TAIL + 10, b'x');
    assert!(Chunks::new(Emit::Chunks).judge(&mut trailer).is_err());
}

proptest! {
    #[test]
    fn any_content_survives_any_chunking_and_any_cuts(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        zeros in 0usize..3,
    ) {
        let (mut wire, mut canonical) = (Vec::new(), Vec::new());
        for piece in &pieces {
            wire.extend(format!("{}{:X};e\r\n", "0".repeat(zeros), piece.len()).bytes());
            canonical.extend(format!("{:X}\r\n", piece.len()).bytes());
            for out in [&mut wire, &mut canonical] {
                out.extend(piece);
                out.extend(b"\r\n");
            }
        }
        wire.extend(b"0\r\n\r\n");
        canonical.extend(b"0\r\n\r\n");
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        let content = pieces.concat();
        prop_assert_eq!(fed(&wire, &cuts, Emit::Chunks), Some((canonical, Vec::new())));
        prop_assert_eq!(fed(&wire, &cuts, Emit::Content), Some((content, Vec::new())));
    }

    #[test]
    fn noise_never_panics_and_never_lengthens(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = noise.clone();
        if let Ok(judged) = Chunks::new(Emit::Chunks).judge(&mut bytes) {
            prop_assert!(judged.passed <= judged.consumed && judged.consumed <= noise.len());
        }
    }
}
