//! The hooks of this version by name, and small sets of them. Not what a hook does: that is `plugin`.

use std::fmt;

/// A point in a call's life where a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    OnRequest,
    OnRoute,
    OnResponse,
    OnDelta,
    OnFinish,
    OnComplete,
}

impl Hook {
    /// In the order in which a call meets them.
    pub const ALL: [Hook; 6] =
        [Hook::OnRequest, Hook::OnRoute, Hook::OnResponse, Hook::OnDelta, Hook::OnFinish, Hook::OnComplete];

    /// The interface's and function's name, and the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Hook::OnRequest => "on-request",
            Hook::OnRoute => "on-route",
            Hook::OnResponse => "on-response",
            Hook::OnDelta => "on-delta",
            Hook::OnFinish => "on-finish",
            Hook::OnComplete => "on-complete",
        }
    }

    pub fn parse(name: &str) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.as_str() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            Hook::OnRequest => 1,
            Hook::OnResponse => 2,
            Hook::OnDelta => 4,
            Hook::OnFinish => 8,
            Hook::OnComplete => 16,
            Hook::OnRoute => 32,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which hooks a component exports or a plugin wants. Displays as `on-request, on-delta`, or `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HookSet(u8);

impl HookSet {
    pub const EMPTY: HookSet = HookSet(0);

    #[must_use]
    pub const fn with(self, hook: Hook) -> HookSet {
        HookSet(self.0 | hook.bit())
    }

    pub const fn contains(self, hook: Hook) -> bool {
        self.0 & hook.bit() != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// In the order in which a call meets them.
    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL.into_iter().filter(move |hook| self.contains(*hook))
    }

    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Hook::as_str).collect()
    }
}

impl FromIterator<Hook> for HookSet {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        hooks.into_iter().fold(HookSet::EMPTY, HookSet::with)
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, hook) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(hook.as_str())?;
        }
        Ok(())
    }
}
