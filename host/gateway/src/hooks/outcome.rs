//! What a hook's failure or refusal means for the call.

use std::time::Duration;

use sluice_dialect::failure::{Blame, Failure, Retry};
use sluice_sandbox::{Denial, ErrorKind, Hook, HookError};

use crate::config::OnError;
use crate::plugins::chain::Entry;

/// A plugin's refusal, as the client's dialect will render it.
pub fn denied(denial: Denial) -> Failure {
    Failure {
        blame: Blame::Plugin,
        retry: Retry::No,
        status: denial.status,
        kind: "invalid_request_error".into(),
        code: Some(denial.code.into()),
        param: None,
        message: denial.message,
        detail: String::new(),
        retry_after: None,
        class: None,
        original: None,
        headers: denial.headers,
    }
}

/// Books a failed hook and says whether the call goes on without the plugin (`on_error: open`) or ends.
pub fn failed(entry: &Entry, hook: Hook, error: &HookError) -> Result<(), Failure> {
    entry.failed(error);
    let closed = entry.on_error == OnError::Closed;
    let version = &entry.plugin.manifest().version;
    // The breaker has said so once.
    if error.kind != ErrorKind::BreakerOpen {
        tracing::warn!(
            plugin = %entry.name, %version, digest = %entry.digest, hook = hook.as_str(), kind = error.kind.as_str(),
            on_error = if closed { "closed" } else { "open" }, "a plugin failed: {}", error.message
        );
    }
    if !closed {
        return Ok(());
    }
    let retry_after = match error.kind {
        ErrorKind::Overload => Some(Duration::from_secs(1)),
        // Whole seconds, never less than the wait.
        ErrorKind::BreakerOpen => Some(Duration::from_secs(entry.breaker.retry_after().as_secs() + 1)),
        _ => None,
    };
    let status = if retry_after.is_some() { 503 } else { 500 };
    let mut failure = Failure::new(
        Blame::Plugin,
        status,
        "server_error",
        "plugin_error",
        format!("The policy `{}` could not be applied, so the call was refused.", entry.name),
    );
    failure.detail = format!(
        "plugin {} {version} ({}) {} in {}: {}. To let calls pass when it fails, set `on_error: open` in {}.yaml",
        entry.name,
        entry.digest,
        error.kind.as_str(),
        hook.as_str(),
        error.message,
        entry.name
    );
    failure.retry_after = retry_after;
    Err(failure)
}
