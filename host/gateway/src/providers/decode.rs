//! Compressed bodies that somebody must read: bytes in, bytes out, and never more of them than allowed.
//!
//! A body that passes through unread keeps its encoding and does not come here.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Decodes one body. The cap counts decoded bytes: a small body can decode to gigabytes.
pub struct Decoder {
    kind: Kind,
    any: bool,
}

enum Kind {
    Gzip(MultiGzDecoder<Capped>),
    /// What HTTP calls deflate is zlib's format; some servers leave its wrapper out. The first two bytes tell.
    Unclear {
        first: Option<u8>,
        max: usize,
    },
    Zlib(ZlibDecoder<Capped>),
    Raw(DeflateDecoder<Capped>),
}

/// Where decoded bytes go: at most `left` more of them.
struct Capped {
    bytes: Vec<u8>,
    left: usize,
    full: bool,
}

impl Capped {
    fn new(max: usize) -> Capped {
        Capped { bytes: Vec::new(), left: max, full: false }
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            self.full = true;
            return Err(io::Error::other("it decodes to too many bytes"));
        };
        self.left = left;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// For a body with this `content-encoding`, of at most `max` decoded bytes.
    ///
    /// # Errors
    /// Names an encoding that cannot be decoded: anything but `gzip`, `x-gzip` and `deflate`, or several at once.
    pub fn new(encoding: &[u8], max: usize) -> Result<Decoder, String> {
        let encoding = encoding.trim_ascii();
        let kind = if encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip") {
            Kind::Gzip(MultiGzDecoder::new(Capped::new(max)))
        } else if encoding.eq_ignore_ascii_case(b"deflate") {
            Kind::Unclear { first: None, max }
        } else {
            return Err(format!("unknown content-encoding `{}`", encoding.escape_ascii()));
        };
        Ok(Decoder { kind, any: false })
    }

    /// Everything that `bytes` complete, possibly nothing yet.
    ///
    /// # Errors
    /// The body is corrupt, or too large decoded. Nothing more can be decoded after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Bytes, String> {
        self.any |= !bytes.is_empty();
        if let Kind::Unclear { first, max } = &mut self.kind {
            let start = match (*first, bytes) {
                (Some(one), [two, ..]) => [one, *two],
                (None, [one, two, ..]) => [*one, *two],
                (None, [one]) => {
                    *first = Some(*one);
                    return Ok(Bytes::new());
                }
                (_, []) => return Ok(Bytes::new()),
            };
            let sink = Capped::new(*max);
            let before = *first;
            self.kind =
                if is_zlib(start) { Kind::Zlib(ZlibDecoder::new(sink)) } else { Kind::Raw(DeflateDecoder::new(sink)) };
            if let Some(one) = before {
                self.write(&[one])?;
            }
        }
        self.write(bytes)?;
        Ok(Bytes::from(std::mem::take(&mut self.sink()?.bytes)))
    }

    /// Whether a [`Decoder::push`] failed because the body is too large decoded, and not because it is corrupt.
    pub fn is_full(&mut self) -> bool {
        self.sink().is_ok_and(|sink| sink.full)
    }

    /// What is left at the body's end.
    ///
    /// # Errors
    /// The body was cut. A body without a byte is empty, not cut.
    pub fn finish(self) -> Result<Bytes, String> {
        if !self.any {
            return Ok(Bytes::new());
        }
        let sink = match self.kind {
            Kind::Gzip(decoder) => decoder.finish(),
            Kind::Zlib(decoder) => decoder.finish(),
            Kind::Raw(decoder) => decoder.finish(),
            Kind::Unclear { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        sink.map(|sink| Bytes::from(sink.bytes)).map_err(|error| explain(&error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let result = match &mut self.kind {
            Kind::Gzip(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Kind::Zlib(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Kind::Raw(decoder) => decoder.write_all(bytes).and_then(|()| decoder.flush()),
            Kind::Unclear { .. } => Ok(()),
        };
        result.map_err(|error| explain(&error))
    }

    fn sink(&mut self) -> Result<&mut Capped, String> {
        match &mut self.kind {
            Kind::Gzip(decoder) => Ok(decoder.get_mut()),
            Kind::Zlib(decoder) => Ok(decoder.get_mut()),
            Kind::Raw(decoder) => Ok(decoder.get_mut()),
            Kind::Unclear { .. } => Err("the compressed body has no beginning".to_owned()),
        }
    }
}

/// A zlib wrapper names the deflate method, and its two bytes are a multiple of 31. No raw stream of a usual encoder begins so.
fn is_zlib([one, two]: [u8; 2]) -> bool {
    one & 0x0f == 8 && one >> 4 <= 7 && u16::from_be_bytes([one, two]) % 31 == 0
}

fn explain(error: &io::Error) -> String {
    format!("the compressed body cannot be decoded: {error}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"{\"choices\":[{\"message\":{\"content\":\"hello hello hello hello\"}}]}";

    fn encoded(kind: &str, bytes: &[u8]) -> Vec<u8> {
        let level = Compression::default();
        match kind {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn decode(encoding: &str, parts: &[&[u8]], max: usize) -> Result<Vec<u8>, String> {
        let mut decoder = Decoder::new(encoding.as_bytes(), max)?;
        let mut out = Vec::new();
        for part in parts {
            out.extend_from_slice(&decoder.push(part)?);
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn decodes_at_every_split() {
        for (encoding, kind) in [("gzip", "gzip"), ("X-GZIP", "gzip"), ("deflate", "zlib"), ("deflate", "raw")] {
            let bytes = encoded(kind, TEXT);
            for at in 0..=bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(decode(encoding, &[one, two], TEXT.len()).unwrap(), TEXT, "{kind} {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(decode(encoding, &single, TEXT.len()).unwrap(), TEXT, "{kind} by byte");
        }
        let two = [encoded("gzip", b"one"), encoded("gzip", b"two")].concat();
        assert_eq!(decode("gzip", &[&two], 100).unwrap(), b"onetwo");
    }

    #[test]
    fn an_event_is_out_as_soon_as_its_bytes_are_in() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: 1\n\n").unwrap();
        encoder.flush().unwrap();
        let mut decoder = Decoder::new(b"gzip", 100).unwrap();
        assert_eq!(&decoder.push(encoder.get_ref()).unwrap()[..], b"data: 1\n\n");
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        for (encoding, kind) in [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "raw")] {
            let bomb = encoded(kind, &vec![0; 20_000_000]);
            assert!(bomb.len() < 100_000);
            let error = decode(encoding, &[&bomb], 1_000_000).unwrap_err();
            assert!(error.contains("too many"), "{error}");
            assert_eq!(decode(encoding, &[&bomb], 20_000_000).unwrap().len(), 20_000_000);
        }
    }

    #[test]
    fn cut_and_corrupt_bodies_are_errors() {
        for (encoding, kind) in [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "raw")] {
            let bytes = encoded(kind, TEXT);
            for length in 1..bytes.len() {
                assert!(decode(encoding, &[&bytes[..length]], 1000).is_err(), "{kind} cut at {length}");
            }
        }
        assert!(decode("gzip", &[b"not compressed at all"], 1000).is_err());
        assert_eq!(decode("gzip", &[], 1000).unwrap(), b"");
        for unknown in ["br", "zstd", "gzip, gzip", "identity", ""] {
            assert!(Decoder::new(unknown.as_bytes(), 1).is_err(), "{unknown}");
        }
    }
}
