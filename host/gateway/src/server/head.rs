//! The framing rules of a request head, checked on its raw bytes before the HTTP library sees them.
//!
//! The library repairs what it can (it merges equal lengths and drops a length beside a transfer coding). A gateway must not: whoever
//! stands before or behind it may read the same bytes otherwise, and the difference smuggles a request. So everything here that two
//! readers could understand differently is refused. It does not judge paths, methods or any header that does not frame the message.

use memchr::{memchr, memmem};

/// How many header lines a head may have; the HTTP library parses as many without an allocation of its own.
const MAX_FIELDS: usize = 100;

/// How the bytes behind a head belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Why a head is not served. The connection closes after the reply: nobody knows where the next request would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

const fn refusal(status: u16, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code, message }
}

const fn malformed(message: &'static str) -> Refusal {
    refusal(400, "malformed_request", message)
}

pub(super) const TOO_LARGE: Refusal =
    refusal(431, "request_head_too_large", "The request's head is larger than this server accepts.");
pub(super) const TOO_SLOW: Refusal =
    refusal(408, "request_head_timeout", "The request's head did not arrive completely in time.");
const BAD_LINE: Refusal = malformed("The request line is malformed.");
const BAD_FIELD: Refusal = malformed("A header line of the request is malformed.");
const BAD_LENGTH: Refusal = malformed("The request's content-length is malformed.");
const TWO_LENGTHS: Refusal = malformed("The request has more than one content-length.");
const LENGTH_AND_CODING: Refusal = malformed("The request has both content-length and transfer-encoding.");
const TWO_CODINGS: Refusal = malformed("The request has more than one transfer-encoding.");
const OLD_CODING: Refusal = malformed("An HTTP/1.0 request cannot have a transfer-encoding.");
const BAD_CODING: Refusal =
    refusal(501, "unsupported_transfer_encoding", "The only transfer-encoding served is chunked.");
const NO_HOST: Refusal = malformed("An HTTP/1.1 request needs a host header.");
const TWO_HOSTS: Refusal = malformed("The request has more than one host header.");
const BAD_VERSION: Refusal =
    refusal(505, "http_version_not_supported", "This server speaks HTTP/1.1 and HTTP/1.0 only.");

/// Looks for the end of the head in `bytes`, of which the first `seen` have been looked at before. `Ok(None)` means that more bytes are
/// needed. A line feed without its carriage return, a lone carriage return and a NUL are refused as soon as they arrive: the readers that
/// accept them disagree about where lines end.
pub(super) fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    let from = seen.saturating_sub(3);
    let fresh = bytes.get(from..).unwrap_or_default();
    let end = memmem::find(fresh, b"\r\n\r\n").map(|at| from + at + 4);
    let head = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let check = head.get(from..).unwrap_or_default();
    if memchr(0, check).is_some() {
        return Err(BAD_FIELD);
    }
    for at in memchr::memchr2_iter(b'\r', b'\n', check) {
        let at = from + at;
        let whole = match head.get(at) {
            Some(b'\n') => at > 0 && head.get(at - 1) == Some(&b'\r'),
            _ => head.get(at + 1).is_none_or(|next| *next == b'\n'),
        };
        if !whole {
            return Err(BAD_FIELD);
        }
    }
    Ok(end)
}

/// Checks a complete head, blank line included, whose line ends [`find_end`] has checked.
pub(super) fn inspect(head: &[u8]) -> Result<Framing, Refusal> {
    let lines = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let first_end = memchr(b'\r', lines).unwrap_or(lines.len());
    let old = request_line(lines.get(..first_end).unwrap_or_default())?;
    let mut rest = lines.get(first_end..).unwrap_or_default();
    let (mut length, mut coding, mut hosts, mut fields) = (None, false, 0_usize, 0_usize);
    while let Some(line) = rest.strip_prefix(b"\r\n") {
        let end = memchr(b'\r', line).unwrap_or(line.len());
        let (field, after) = line.split_at(end);
        rest = after;
        fields += 1;
        if fields > MAX_FIELDS {
            return Err(TOO_LARGE);
        }
        let (name, value) = split_field(field)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(TWO_LENGTHS);
            }
            length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if coding {
                return Err(TWO_CODINGS);
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(BAD_CODING);
            }
            coding = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        }
    }
    match (length, coding) {
        (Some(_), true) => Err(LENGTH_AND_CODING),
        (None, true) if old => Err(OLD_CODING),
        _ if hosts > 1 => Err(TWO_HOSTS),
        _ if hosts == 0 && !old => Err(NO_HOST),
        (_, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Whether the line names HTTP/1.0. Exactly two single spaces: some readers split at any white space, others at the last.
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BAD_LINE);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(BAD_LINE);
    }
    if target.is_empty() || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..)) {
        return Err(BAD_LINE);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ if version.starts_with(b"HTTP/") => Err(BAD_VERSION),
        _ => Err(BAD_LINE),
    }
}

/// Name and trimmed value of one line. A line that begins with white space continues the one before it for old readers only, and white
/// space before the colon hides a name from some: both fail the token test.
fn split_field(field: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = memchr(b':', field).ok_or(BAD_FIELD)?;
    let (name, value) = field.split_at(colon);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(BAD_FIELD);
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
        return Err(BAD_FIELD);
    }
    Ok((name, value))
}

/// Digits only: no sign, no list, no space, and no more than `i64` holds, which every reader understands alike.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 {
        return Err(BAD_LENGTH);
    }
    value.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(byte - b'0')),
        _ => Err(BAD_LENGTH),
    })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn check(head: &str) -> Result<Framing, Refusal> {
        let bytes = head.as_bytes();
        let end = find_end(bytes, 0)?.expect("the head is complete");
        assert_eq!(end, bytes.len());
        inspect(bytes)
    }

    #[test]
    fn accepts_what_every_reader_reads_alike() {
        let framing = |head| check(head).unwrap();
        assert_eq!(framing("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Framing::Length(0));
        assert_eq!(framing("GET / HTTP/1.0\r\n\r\n"), Framing::Length(0));
        assert_eq!(framing("POST /x?y HTTP/1.1\r\nhost:a\r\nContent-LENGTH: 12\r\n\r\n"), Framing::Length(12));
        assert_eq!(framing("POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"), Framing::Chunked);
        assert_eq!(framing("POST / HTTP/1.1\r\nhost: a\r\nx-name: a\tb \u{e9}\r\nempty:\r\n\r\n"), Framing::Length(0));
    }

    #[test]
    fn refuses_every_ambiguous_head() {
        let cases: &[(&str, Refusal)] = &[
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                LENGTH_AND_CODING,
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
                LENGTH_AND_CODING,
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n", TWO_LENGTHS),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n", TWO_LENGTHS),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x3\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999999999999999\r\n\r\n", BAD_LENGTH),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", BAD_CODING),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n", BAD_CODING),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \u{b}chunked\r\n\r\n", BAD_FIELD),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                TWO_CODINGS,
            ),
            ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", OLD_CODING),
            ("GET / HTTP/1.1\r\n\r\n", NO_HOST),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", TWO_HOSTS),
            ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n folded\r\n\r\n", BAD_FIELD),
            ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length : 3\r\n\r\n", BAD_FIELD),
            ("GET / HTTP/1.1\r\nhost: a\r\nno-colon\r\n\r\n", BAD_FIELD),
            ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", BAD_FIELD),
            ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", BAD_FIELD),
            ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", BAD_FIELD),
            ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", BAD_LINE),
            ("GET / x HTTP/1.1\r\nhost: a\r\n\r\n", BAD_LINE),
            ("GET /\r\nhost: a\r\n\r\n", BAD_LINE),
            ("G(T / HTTP/1.1\r\nhost: a\r\n\r\n", BAD_LINE),
            ("PRI * HTTP/2.0\r\n\r\n", BAD_VERSION),
        ];
        for (head, expected) in cases {
            assert_eq!(check(head).unwrap_err(), *expected, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
        assert_eq!(check(&many).unwrap_err(), TOO_LARGE);
    }

    #[test]
    fn finds_the_end_at_every_split() {
        let bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nbody\n\0";
        for split in 0..27 {
            assert_eq!(find_end(&bytes[..split], 0), Ok(None), "{split}");
            assert_eq!(find_end(bytes, split), Ok(Some(27)), "{split}");
        }
        assert_eq!(find_end(b"GET / HTTP/1.1\nhost", 0), Err(BAD_FIELD));
        assert_eq!(find_end(b"GET / HTTP/1.1\rX", 15), Err(BAD_FIELD));
    }
}
