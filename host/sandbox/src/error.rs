//! What can go wrong: a file that is refused, a hook that gave no verdict. Texts are for operators and logs, never for clients.

use thiserror::Error;

/// Why a file or its settings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoadErrorKind {
    /// A core module, text, or something else entirely.
    NotComponent,
    TooBig,
    /// Cut short, damaged, or beyond what this host compiles.
    Invalid,
    /// A hook is unknown, half there, of another version or of another shape.
    Export,
    /// Something is imported that this host does not offer.
    Import,
    NoHook,
    /// Starting needs more memory than the limit.
    Memory,
    /// Trapped, failed or ran too long while starting.
    Start,
    Manifest,
    /// The manifest requires settings and none were given.
    NeedsSettings,
    /// The manifest wants a capability that the operator has not granted.
    NeedsGrant,
    /// `configure` refused the settings.
    Settings,
    /// `configure` trapped or ran too long.
    Configure,
    /// A hook trapped or ran too long on the canned call.
    DryRun,
    /// The host cannot: no slot, no thread, no address space. The file may be fine.
    Host,
}

impl LoadErrorKind {
    /// A label for metrics and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            LoadErrorKind::NotComponent => "not_component",
            LoadErrorKind::TooBig => "too_big",
            LoadErrorKind::Invalid => "invalid",
            LoadErrorKind::Export => "export",
            LoadErrorKind::Import => "import",
            LoadErrorKind::NoHook => "no_hook",
            LoadErrorKind::Memory => "memory",
            LoadErrorKind::Start => "start",
            LoadErrorKind::Manifest => "manifest",
            LoadErrorKind::NeedsSettings => "needs_settings",
            LoadErrorKind::NeedsGrant => "needs_grant",
            LoadErrorKind::Settings => "settings",
            LoadErrorKind::Configure => "configure",
            LoadErrorKind::DryRun => "dry_run",
            LoadErrorKind::Host => "host",
        }
    }
}

/// A refusal of a file. The message names the export, import or setting at fault and says what to do.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct LoadError {
    pub kind: LoadErrorKind,
    pub message: String,
}

impl LoadError {
    pub(crate) fn new(kind: LoadErrorKind, message: impl Into<String>) -> LoadError {
        LoadError { kind, message: message.into() }
    }
}

/// Why a hook gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A bug of the plugin: a panic, an out-of-bounds access, endless recursion, a function called where it may not be.
    Trap,
    /// The wall limit passed.
    Timeout,
    /// More memory, table elements or instances than the limit.
    Memory,
    /// The plugin said that it could not do its work. The only kind that keeps the instance.
    Fault,
    /// What came back is not a verdict that the host can apply.
    BadVerdict,
    /// Too many hooks of this plugin at once, or no instance left in the pool.
    Overload,
    /// A fresh instance did not start, or refused its settings.
    Start,
    /// Not asked at all, because too many of the plugin's hooks failed lately. Made by the gateway, never by the sandbox.
    BreakerOpen,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 8] = [
        ErrorKind::Trap,
        ErrorKind::Timeout,
        ErrorKind::Memory,
        ErrorKind::Fault,
        ErrorKind::BadVerdict,
        ErrorKind::Overload,
        ErrorKind::Start,
        ErrorKind::BreakerOpen,
    ];

    /// A label for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Trap => "trap",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Memory => "memory",
            ErrorKind::Fault => "fault",
            ErrorKind::BadVerdict => "bad_verdict",
            ErrorKind::Overload => "overload",
            ErrorKind::Start => "start",
            ErrorKind::BreakerOpen => "breaker_open",
        }
    }
}

#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct HookError {
    pub kind: ErrorKind,
    pub message: String,
}

impl HookError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> HookError {
        HookError { kind, message: message.into() }
    }
}
