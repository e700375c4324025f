//! Edits of the request by pointer, where they touch what the road itself goes by: the model and whether the reply is a stream.
//!
//! Where to splice is the document's work; here is only what must not come apart.

use sluice_dialect::document::{Document, EditError};
use sluice_sandbox::Fault;

/// Makes an edit at `pointer`. `Some` is the model that the request names from now on: `/model` is what `set_model` sets, so both must say
/// the same.
///
/// # Errors
/// The document is then as it was. Whether the reply is a stream is the client's choice: a provider that were told otherwise would answer in
/// a form that nobody waits for.
pub fn restructure(
    request: &mut Document,
    streaming: bool,
    pointer: &str,
    edit: impl FnOnce(&mut Document) -> Result<(), EditError>,
) -> Result<Option<String>, Fault> {
    let whole = pointer.is_empty();
    if pointer == "/stream" {
        return Err(Fault::Invalid("`/stream` cannot be changed: the client waits for the reply it asked for".into()));
    }
    let before = request.checkpoint();
    edit(request).map_err(|error| Fault::Invalid(error.0))?;
    if whole && request.get("/stream").is_some_and(|stream| stream == "true") != streaming {
        request.rollback(before);
        return Err(Fault::Invalid("the new document must have `stream` as the client's".into()));
    }
    if !whole && pointer != "/model" {
        return Ok(None);
    }
    let model = request.get("/model").and_then(|model| serde_json::from_str::<String>(model).ok());
    if model.is_none() && !whole {
        request.rollback(before);
        return Err(Fault::Invalid("`/model` must be a text, and stay".into()));
    }
    Ok(model)
}

/// # Errors
/// The text is empty, or longer than `max` bytes.
pub fn capped(what: &str, text: &str, max: usize) -> Result<(), Fault> {
    if text.is_empty() || text.len() > max {
        return Err(Fault::Invalid(format!("{what} must have 1 to {max} bytes, this has {}", text.len())));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use bytes::Bytes;
    use sluice_dialect::openai_chat::request::text_map;

    use super::*;

    const BODY: &str = r#"{"model":"a","messages":[]}"#;

    fn set(streaming: bool, pointer: &str, json: &str) -> (Result<Option<String>, Fault>, Bytes) {
        let mut request = Document::new(Bytes::from_static(BODY.as_bytes()), text_map, 1 << 16);
        let outcome = restructure(&mut request, streaming, pointer, |request| request.set(pointer, json));
        (outcome, request.commit())
    }

    #[test]
    fn the_model_set_by_pointer_is_the_model() {
        assert_eq!(set(false, "/model", r#""b""#).0, Ok(Some("b".to_owned())));
        assert_eq!(set(false, "", r#"{"model":"c"}"#).0, Ok(Some("c".to_owned())));
        assert_eq!(set(false, "", "{}").0, Ok(None));
        assert_eq!(set(false, "/temperature", "1").0, Ok(None));
    }

    #[test]
    fn what_would_come_apart_is_refused_and_leaves_the_request() {
        for (streaming, pointer, json) in [
            (false, "/stream", "true"),
            (true, "/stream", "true"),
            (false, "/model", "7"),
            (false, "", r#"{"stream":true}"#),
            (true, "", r#"{"model":"b"}"#),
            (false, "/no/such", "1"),
        ] {
            let (outcome, body) = set(streaming, pointer, json);
            assert!(matches!(outcome, Err(Fault::Invalid(_))), "{pointer} {json}");
            assert_eq!(body, BODY, "{pointer} {json}");
        }
        let mut request = Document::new(Bytes::from_static(BODY.as_bytes()), text_map, 1 << 16);
        assert!(restructure(&mut request, false, "/model", |request| request.remove("/model")).is_err());
        assert_eq!(request.commit(), BODY);
        assert_eq!(restructure(&mut request, true, "", |request| request.set("", r#"{"stream":true}"#)), Ok(None));
    }
}
