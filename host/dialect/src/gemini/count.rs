//! Counting tokens: `countTokens` as a client asks it, and the reply.

use bytes::Bytes;
use serde_json::Value;

use super::fields::Fields;
use super::read_request;
use crate::dialect::Said;
use crate::failure::Failure;
use crate::hub::Chat;
use crate::json;

/// The conversation whose tokens are asked for: given as contents alone, or as a whole request inside.
///
/// # Errors
/// As for a request.
pub fn read_count(body: &[u8], said: &Said) -> Result<Chat, Failure> {
    let Value::Object(members) = json::tree(body).ok_or_else(|| read_request::not_json(body))? else {
        return Err(Failure::invalid("invalid_type", "The request body must be a JSON object."));
    };
    let mut body = Fields::new(members);
    match body.fields("generateContentRequest") {
        Some(inner) => read_request::read_members(inner, said),
        None => read_request::read_members(body, said),
    }
}

/// The reply to a count.
pub fn write_count(tokens: u64) -> Bytes {
    Bytes::from(format!("{{\"totalTokens\":{tokens}}}"))
}

/// What a provider counted; `None` where its reply is no count.
pub fn read_counted(body: &[u8]) -> Option<u64> {
    let range = json::field(body, 0, "totalTokens")?;
    std::str::from_utf8(body.get(range)?).ok()?.trim_matches('"').parse().ok()
}
