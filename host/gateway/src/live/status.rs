//! How the configuration in force stands to its file, for `/health` and the pages.

use std::sync::Arc;

/// Whether the file is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The file as it is (or the defaults, where there is none).
    Active,
    /// The last good configuration: the file has become bad or is gone.
    Stale,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Stale => "stale",
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: State,
    /// SHA-256 (`sha256:...`) of the text in force; none where no file gave it.
    pub digest: Option<Arc<str>>,
    /// Since when it is in force, in seconds since 1970.
    pub since: u64,
    /// Why the file is not in force, a line for each error as `sluice check` prints it. Never holds a secret.
    pub error: Option<String>,
    /// Fields whose new value counts only after a restart.
    pub restart_needed: Vec<&'static str>,
}
