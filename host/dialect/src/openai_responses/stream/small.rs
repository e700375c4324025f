//! The usual delta, read without a tree: nearly every event of a stream is one.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A delta that brings text and nothing else.
#[derive(Deserialize)]
pub(super) struct Small<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) delta: Cow<'a, str>,
    pub(super) output_index: u64,
    #[serde(default)]
    pub(super) content_index: u64,
    #[serde(default)]
    pub(super) summary_index: u64,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

impl Small<'_> {
    /// `None` for every other event, and for whatever is odd about this one: those are read the long way.
    pub(super) fn of<'a>(event: Option<&[u8]>, data: &'a [u8]) -> Option<Small<'a>> {
        event.is_none_or(|name| name.ends_with(b".delta")).then_some(())?;
        let small: Small<'a> = serde_json::from_slice(data).ok()?;
        small.logprobs.is_none_or(|list| list.get() == "[]").then_some(small)
    }
}
