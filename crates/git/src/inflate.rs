//! Request bodies that may be compressed: git compresses the list of what it has when it fetches.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzDecoder;

/// Compressed bytes are taken in steps of this size, so that one step grows to four mebibytes at
/// most, however well it was compressed.
const STEP: usize = 4 * 1024;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    Plain,
    /// `Content-Encoding: gzip`.
    Gzip,
}

/// Turns chunks of a body into chunks of what it means.
pub(crate) enum Inflater {
    /// Nothing to do.
    Plain,
    /// Compressed.
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Inflater {
    pub(crate) fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Plain => Self::Plain,
            Encoding::Gzip => Self::Gzip(Box::new(GzDecoder::new(Vec::new()))),
        }
    }

    /// Takes the first step's worth of `chunk` off and gives what it means.
    pub(crate) fn step(&mut self, chunk: &mut Bytes) -> std::io::Result<Bytes> {
        match self {
            Self::Plain => Ok(chunk.split_off(0)),
            Self::Gzip(decoder) => {
                let part = chunk.split_to(chunk.len().min(STEP));
                decoder.write_all(&part)?;
                decoder.flush()?;
                Ok(Bytes::from(std::mem::take(decoder.get_mut())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(encoding: Encoding, mut chunk: Bytes) -> std::io::Result<(Vec<u8>, usize)> {
        let mut inflater = Inflater::new(encoding);
        let (mut whole, mut largest) = (Vec::new(), 0);
        while !chunk.is_empty() {
            let part = inflater.step(&mut chunk)?;
            largest = largest.max(part.len());
            whole.extend_from_slice(&part);
        }
        Ok((whole, largest))
    }

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).expect("in memory");
        encoder.finish().expect("in memory").into()
    }

    #[test]
    fn a_compressed_body_comes_out_whole() {
        let data: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(inflate(Encoding::Gzip, gzip(&data)).expect("good").0, data);
        assert_eq!(inflate(Encoding::Plain, data.clone().into()).expect("good").0, data);
    }

    #[test]
    fn a_bomb_comes_out_in_bounded_steps() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        let (whole, largest) = inflate(Encoding::Gzip, bomb).expect("good");
        assert_eq!(whole.len(), 64 * 1024 * 1024);
        assert!(largest <= 5 * 1024 * 1024, "{largest}");
    }

    #[test]
    fn what_is_not_gzip_is_an_error() {
        assert!(inflate(Encoding::Gzip, Bytes::from_static(b"0000 not compressed")).is_err());
    }
}
