//! A request as it lies: what the road must know of it, and its texts.

use crate::failure::Failure;
use crate::peek::{self, Peek, StreamOptions};
use crate::text::TextMap;

/// As [`peek::peek`]; one choice is all that there is, and usage need not be asked for.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn peek(body: &[u8]) -> Result<Peek, Failure> {
    let mut peek = peek::peek(body)?;
    peek.n = 1;
    peek.stream_options = StreamOptions::Other;
    Ok(peek)
}

pub fn text_map(_bytes: &[u8]) -> TextMap {
    TextMap::default()
}

pub fn last_user_text(_bytes: &[u8]) -> Option<String> {
    None
}
