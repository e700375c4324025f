//! A provider's reply as the pipeline reads it: its head, and a body in chunks, wherever they come from.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use sluice_dialect::failure::Failure;

use crate::providers::client::Body;
use crate::providers::decode::Decoder;

/// After an end mark, how long and how much is read to let a connection be used again.
const DRAIN_TIME: Duration = Duration::from_secs(1);
const DRAIN_BYTES: usize = 16 * 1024;

/// A reply whose head has arrived.
pub struct Upstream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub source: Source,
    /// When the request went out.
    pub sent: Instant,
    /// When the head arrived.
    pub head: Instant,
}

/// How a body is encoded, where it is.
pub fn encoding(headers: &HeaderMap) -> Option<&[u8]> {
    let name = headers.get(header::CONTENT_ENCODING)?.as_bytes().trim_ascii();
    (!name.is_empty() && !name.eq_ignore_ascii_case(b"identity")).then_some(name)
}

/// What decodes a body of that encoding, up to `max` bytes.
///
/// # Errors
/// A 502 for an encoding that nobody here knows.
pub fn decoder(encoding: &[u8], max: usize) -> Result<Box<Decoder>, Failure> {
    Decoder::new(encoding, max).map(Box::new).map_err(|detail| {
        Failure::bad_gateway("unknown_encoding", "The provider sent a compressed reply that cannot be read.")
            .with_detail(detail)
    })
}

/// Where a body's bytes come from.
pub enum Source {
    Provider {
        body: Body,
        decoder: Option<Box<Decoder>>,
    },
    /// The demo provider's.
    Ready(VecDeque<Bytes>),
}

impl Source {
    /// The next bytes, decoded; `None` at a proper end. An error says how the body broke.
    pub async fn next(&mut self) -> Option<Result<Bytes, String>> {
        match self {
            Source::Ready(chunks) => chunks.pop_front().map(Ok),
            Source::Provider { body, decoder } => loop {
                let Some(frame) = body.frame().await else {
                    return decoder.take().and_then(|decoder| decoder.finish().err()).map(Err);
                };
                let bytes = match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(bytes)) => bytes,
                    Ok(Err(_trailers)) => continue,
                    Err(error) => return Some(Err(crate::providers::client::describe(&error))),
                };
                let Some(decoder) = decoder else { return Some(Ok(bytes)) };
                match decoder.push(&bytes) {
                    Ok(decoded) if decoded.is_empty() => {}
                    Ok(decoded) => return Some(Ok(decoded)),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }

    /// Reads the body whole, up to `max` bytes and until `until`.
    pub async fn collect(&mut self, max: usize, until: Instant) -> Result<Bytes, Broken> {
        let read = async {
            let mut first = Bytes::new();
            let mut rest = BytesMut::new();
            while let Some(chunk) = self.next().await {
                let chunk = match chunk {
                    Ok(chunk) => chunk,
                    Err(_) if self.is_full() => return Err(Broken::TooLarge),
                    Err(detail) => return Err(Broken::Cut(detail)),
                };
                if first.len() + rest.len() + chunk.len() > max {
                    return Err(Broken::TooLarge);
                }
                if first.is_empty() {
                    first = chunk;
                } else {
                    if rest.is_empty() {
                        rest.extend_from_slice(&first);
                    }
                    rest.extend_from_slice(&chunk);
                }
            }
            Ok(if rest.is_empty() { first } else { rest.freeze() })
        };
        tokio::time::timeout_at(until.into(), read).await.unwrap_or(Err(Broken::Late))
    }

    /// Whether the decoder stopped because the body is too large decoded.
    fn is_full(&mut self) -> bool {
        match self {
            Source::Provider { decoder: Some(decoder), .. } => decoder.is_full(),
            _ => false,
        }
    }

    /// Reads on a little in the background, so that a connection whose body is about to end goes back to its pool.
    pub fn drain(mut self) {
        if matches!(self, Source::Ready(_)) {
            return;
        }
        tokio::task::spawn_local(async move {
            let until = Instant::now() + DRAIN_TIME;
            let _ = self.collect(DRAIN_BYTES, until).await;
        });
    }
}

/// Why a body could not be read whole.
pub enum Broken {
    Cut(String),
    TooLarge,
    Late,
}

impl Broken {
    pub fn failure(self, max: usize, limit: Duration) -> Failure {
        match self {
            Broken::Cut(detail) => {
                Failure::bad_gateway("reply_truncated", "The provider broke off before the reply was complete.")
                    .with_detail(detail)
            }
            Broken::TooLarge => {
                Failure::bad_gateway("reply_too_large", "The provider's reply is too large to pass on.").with_detail(
                    format!("over {max} bytes; raise `limits.reply_size` of the provider if this is expected"),
                )
            }
            Broken::Late => Failure::timeout(
                "reply_timeout",
                format!("The provider did not complete its reply within {}.", crate::config::show_duration(limit)),
            )
            .with_detail("raise `timeouts.reply_body` of the provider if it needs longer"),
        }
    }
}
