//! Turns what the engine says of a failure into a kind and one line for an operator.

use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::clock::Failure;
use crate::error::ErrorKind;
use crate::limits::Exceeded;
use crate::manifest::printable;
use crate::state::State;

const MAX_TEXT: usize = 2 << 10;

/// `doing` names what ran ("`on-request`"), `wall` its limit. Reads the store's account and last error message.
pub(crate) fn explain(failure: &Failure, state: &State, doing: &str, wall: Duration) -> (ErrorKind, String) {
    let late = || (ErrorKind::Timeout, format!("{doing} ran longer than its limit of {} ms", wall.as_millis()));
    let error = match failure {
        Failure::Late => return late(),
        Failure::Panic(text) => {
            return (ErrorKind::Trap, format!("the host broke under {doing}: {}", printable(text, MAX_TEXT)));
        }
        Failure::Wasm(error) => error,
    };
    if error.is::<PoolConcurrencyLimitError>() {
        return (ErrorKind::Overload, format!("no instance is free for {doing}: {}", error.root_cause()));
    }
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return (ErrorKind::Memory, format!("{doing} wanted {exceeded}"));
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return late();
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let kind = match (trap, backtrace) {
        _ if state.account.refused => ErrorKind::Memory,
        // Without a trap and outside guest code only lifting the result is left to fail.
        (None, None) => ErrorKind::BadVerdict,
        _ => ErrorKind::Trap,
    };
    let what = match kind {
        ErrorKind::BadVerdict => "returned what cannot be read",
        ErrorKind::Memory => "failed after it was refused more memory",
        _ => "trapped",
    };
    let mut text = format!("{doing} {what}: {}", error.root_cause());
    if let Some(place) = backtrace.and_then(first_named) {
        text.push_str(" in ");
        text.push_str(&place);
    }
    if let Some(said) = &state.last_error {
        text.push_str("; its last error message: ");
        text.push_str(said);
    }
    (kind, printable(&text.replace('\n', " "), MAX_TEXT))
}

fn first_named(backtrace: &WasmBacktrace) -> Option<String> {
    backtrace.frames().iter().find_map(|frame| frame.func_name()).map(|name| format!("`{}`", printable(name, 128)))
}
