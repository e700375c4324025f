//! What one window of a stream leaves for the next of its part: where the text before it ended. A few bytes, kept by the gateway with
//! the call, because an instance may vanish between two windows.

use sluice::{Call, Fault, Window};

/// How the text of tool arguments is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// Not known before the first character that is not white space.
    #[default]
    Unknown,
    /// Not JSON: some tools take plain text.
    Plain,
    /// JSON, outside a string.
    Json,
    /// JSON, inside a string.
    InString,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carry {
    /// What stands before the text, as compared: a character, and after it the last of the marks on it if it has any.
    pub(crate) before: [Option<char>; 2],
    pub(crate) source: Source,
}

impl Carry {
    fn key(window: &Window) -> String {
        format!("{}.{}", window.choice, window.part)
    }

    pub(crate) fn recall(call: &Call, window: &Window) -> Carry {
        let Some(bytes) = call.recall_bytes(&Self::key(window)) else { return Carry::default() };
        let [source, rest @ ..] = bytes.as_slice() else { return Carry::default() };
        let source = match source {
            1 => Source::Plain,
            2 => Source::Json,
            3 => Source::InString,
            _ => Source::Unknown,
        };
        let mut before = std::str::from_utf8(rest).unwrap_or_default().chars();
        Carry { before: [before.next(), before.next()], source }
    }

    pub(crate) fn remember(self, call: &mut Call, window: &Window) -> Result<(), Fault> {
        let mut bytes = vec![match self.source {
            Source::Unknown => 0,
            Source::Plain => 1,
            Source::Json => 2,
            Source::InString => 3,
        }];
        for before in self.before.into_iter().flatten() {
            bytes.extend_from_slice(before.encode_utf8(&mut [0; 4]).as_bytes());
        }
        call.remember_bytes(&Self::key(window), &bytes)
    }
}
