//! Reading a request's body whole: capped, timed, and without a copy where it came in one piece.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use sluice_dialect::failure::{Blame, Failure};

use super::Limits;

/// The most that is reserved on the word of a `content-length` alone.
const RESERVE: usize = 4 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Unread {
    /// The client left in the middle of it: nobody waits for a reply.
    Gone,
    Refused(Failure),
}

/// Reads `body` within the limits, and says how long its bytes were waited for. An announced length over the cap is refused without asking for the body, so a client that waits for
/// `100 Continue` never sends it.
pub(super) async fn read(body: Incoming, limits: &Limits) -> Result<(Bytes, Duration), Unread> {
    if body.size_hint().lower() > limits.body_bytes {
        return Err(too_large(limits));
    }
    let mut collected = pin!(collect(body, limits));
    // Mostly it is there already; a timer would cost more than reading it.
    let first = poll_fn(|context| Poll::Ready(collected.as_mut().poll(context))).await;
    if let Poll::Ready(result) = first {
        return result.map(|body| (body, Duration::ZERO));
    }
    let began = Instant::now();
    match tokio::time::timeout(limits.body, collected).await {
        Ok(result) => result.map(|body| (body, began.elapsed())),
        Err(_) => Err(Unread::Refused(Failure::new(
            Blame::Client,
            408,
            "invalid_request_error",
            "request_body_timeout",
            format!("The request's body did not arrive within {} seconds.", limits.body.as_secs()),
        ))),
    }
}

async fn collect(body: Incoming, limits: &Limits) -> Result<Bytes, Unread> {
    let announced = body.size_hint().exact();
    let mut body = pin!(body);
    let Some(first) = next(body.as_mut()).await? else { return Ok(Bytes::new()) };
    fits(first.len(), limits)?;
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next(body.as_mut()).await? else { return Ok(first) };
    let guess = announced.map_or(2 * (first.len() + second.len()), |length| usize::try_from(length).unwrap_or(RESERVE));
    let mut whole = BytesMut::with_capacity(guess.min(RESERVE));
    for part in [first, second] {
        fits(whole.len() + part.len(), limits)?;
        whole.extend_from_slice(&part);
    }
    while let Some(part) = next(body.as_mut()).await? {
        fits(whole.len() + part.len(), limits)?;
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// The next data; trailers are skipped.
async fn next(mut body: Pin<&mut Incoming>) -> Result<Option<Bytes>, Unread> {
    loop {
        match poll_fn(|context| body.as_mut().poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(classify(&error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn classify(error: &hyper::Error) -> Unread {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            Unread::Refused(Failure::invalid("malformed_request", "The request's chunked body is malformed."))
        }
        _ => Unread::Gone,
    }
}

fn fits(length: usize, limits: &Limits) -> Result<(), Unread> {
    if length as u64 > limits.body_bytes { Err(too_large(limits)) } else { Ok(()) }
}

fn too_large(limits: &Limits) -> Unread {
    Unread::Refused(Failure::new(
        Blame::Client,
        413,
        "invalid_request_error",
        "request_too_large",
        format!("The request's body is larger than the {} bytes that this server accepts.", limits.body_bytes),
    ))
}
