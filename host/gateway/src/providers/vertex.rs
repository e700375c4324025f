//! Anthropic's models on Vertex: the same requests with the model in the address and the version in the body.

use bytes::Bytes;
use sluice_dialect::json;
use sluice_dialect::splice::splice;

const VERSION: &[u8] = br#""anthropic_version":"vertex-2023-10-16""#;

/// The body of a Messages request as Vertex wants it, or, with `vertex` false, as Anthropic itself does, which refuses the member. Nothing
/// else of it changes. What is no object stays as it is, for the provider to refuse.
pub fn body(bytes: &Bytes, vertex: bool) -> Bytes {
    let Some(members) = json::object(bytes, bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0))
    else {
        return bytes.clone();
    };
    let members: Vec<json::Member> = members.collect();
    let at = |name: &str| members.iter().position(|member| member.is(bytes, name));
    let (version, model) = (at("anthropic_version"), at("model"));
    // From the beginning of a member to that of the next, or from the end of the one before to its own end.
    let whole = |at: usize| {
        let own = members.get(at)?;
        let next = members.get(at + 1).map(|next| own.key.start..next.key.start);
        let before = || at.checked_sub(1).and_then(|at| members.get(at)).map(|before| before.value.end..own.value.end);
        Some(next.or_else(before).unwrap_or(own.key.start..own.value.end))
    };
    let edit = match (vertex, version, model) {
        (true, None, Some(model)) => {
            members.get(model).map(|model| (model.key.start..model.value.end, VERSION.to_vec()))
        }
        (true, None, None) => members.first().map(|first| (first.key.start..first.key.start, [VERSION, b","].concat())),
        (true, Some(_), Some(model)) => whole(model).map(|range| (range, Vec::new())),
        (false, Some(version), _) => whole(version).map(|range| (range, Vec::new())),
        (true, Some(_), None) | (false, None, _) => None,
    };
    match edit {
        Some((range, text)) => splice(bytes, &[(range, text.as_slice())]),
        None => bytes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_gives_way_to_the_version_and_back() {
        let vertex = |text: &'static str| String::from_utf8_lossy(&body(&Bytes::from(text), true)).into_owned();
        let anthropic = |text: &'static str| String::from_utf8_lossy(&body(&Bytes::from(text), false)).into_owned();
        let version = r#""anthropic_version":"vertex-2023-10-16""#;
        assert_eq!(vertex(r#" {"a": 1, "model" : "m", "b":2}"#), format!(r#" {{"a": 1, {version}, "b":2}}"#));
        assert_eq!(vertex(r#"{"b":2}"#), format!(r#"{{{version},"b":2}}"#));
        assert_eq!(vertex(r#"{"anthropic_version":"v","model":"m"}"#), r#"{"anthropic_version":"v"}"#);
        assert_eq!(vertex(r#"{"model":"m", "anthropic_version":"v"}"#), r#"{"anthropic_version":"v"}"#);
        assert_eq!(anthropic(r#"{"a":1,"anthropic_version":"v"}"#), r#"{"a":1}"#);
        assert_eq!(anthropic(r#"{"anthropic_version":"v"}"#), "{}");
        assert_eq!(anthropic(r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(anthropic("[1]"), "[1]");
    }
}
