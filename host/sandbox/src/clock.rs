//! The two clocks of a hook: the epoch, which stops guests that compute, and a timer, which stops those that wait in a host call.
//!
//! Both keep the same deadline. Neither says what a failure means: that is `explain`.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use futures_util::FutureExt;
use wasmtime::UpdateDeadline;

use crate::ticker::Ticker;

/// Why nothing came back.
pub(crate) enum Failure {
    Wasm(wasmtime::Error),
    Late,
    /// The host itself panicked under the guest: a bug of ours or of the engine, kept to one instance.
    Panic(String),
}

/// Runs guest code to its end, its failure or `deadline`.
///
/// The first poll happens without a timer: nearly every hook ends in it, and a timer costs as much as the call. A guest that computes
/// leaves that poll at the next epoch tick.
pub(crate) async fn guarded<T>(
    ticker: &Ticker,
    deadline: Instant,
    work: impl Future<Output = wasmtime::Result<T>> + Send,
) -> Result<T, Failure> {
    let _running = ticker.run();
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    let ended = match first {
        Poll::Ready(ended) => ended,
        Poll::Pending => match tokio::time::timeout_at(deadline.into(), work).await {
            Ok(ended) => ended,
            Err(_) => return Err(Failure::Late),
        },
    };
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Wasm(error)),
        Err(payload) => Err(Failure::Panic(panic_text(payload.as_ref()))),
    }
}

/// What a store does at each epoch tick: give the thread to others, or stop for good.
///
/// A custom yield, because the engine's own wakes itself at once and starves neighbours for tens of milliseconds.
pub(crate) fn on_tick(deadline: Instant) -> UpdateDeadline {
    if Instant::now() >= deadline {
        UpdateDeadline::Interrupt
    } else {
        UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
    }
}

pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
