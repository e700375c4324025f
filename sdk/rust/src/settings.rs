//! Settings from JSON to the author's type, with errors that say which field.

use crate::types::Fault;
use serde::de::DeserializeOwned;

/// Reads settings; no text at all stands for an empty object.
///
/// # Errors
/// `Fault::InvalidConfig` with the field's path, such as `settings.words[1]: invalid type: integer 3, expected a string`.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Fault> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        // These speak of the object that holds the field, and name the field themselves.
        let of_object =
            ["missing field", "unknown field", "duplicate field"].iter().any(|start| what.starts_with(start));
        Fault::InvalidConfig(format!("{}: {what}", path(json, error.line(), error.column(), of_object)))
    })
}

enum Step<'a> {
    Object(&'a str),
    Array(usize),
}

/// Where in `json` the reader stood, as `settings.a.b[2]`. Counts as serde_json does: lines from 1, columns in bytes.
fn path(json: &str, line: usize, column: usize, of_object: bool) -> String {
    let line_start: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (line_start + column).min(json.len());
    let read = json.as_bytes().get(..end).unwrap_or_default();
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = read.get(at) {
        match byte {
            b'{' => steps.push(Step::Object("")),
            b'[' => steps.push(Step::Array(0)),
            // The very last byte may be the end of the object that is wrong.
            b'}' | b']' if at + 1 < end => {
                steps.pop();
            }
            b',' => {
                if let Some(Step::Array(index)) = steps.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let close = string_end(read, at);
                let is_key = json.get(close..).is_some_and(|rest| rest.trim_start().starts_with(':'));
                if let (true, Some(Step::Object(key))) = (is_key, steps.last_mut()) {
                    *key = json.get(at + 1..close.saturating_sub(1)).unwrap_or("");
                }
                at = close;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    if of_object {
        steps.pop();
    }
    let mut out = String::from("settings");
    for step in steps {
        match step {
            Step::Object("") => {}
            Step::Object(key) => {
                out.push('.');
                out.push_str(key);
            }
            Step::Array(index) => out.push_str(&format!("[{index}]")),
        }
    }
    out
}

/// The place after the closing quote of the string that opens at `at`, or the end of the bytes.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut next = at + 1;
    while let Some(&byte) = bytes.get(next) {
        match byte {
            b'\\' => next += 2,
            b'"' => return next + 1,
            _ => next += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Rule {
        words: Vec<String>,
        #[serde(default)]
        limit: Option<u8>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        rules: Vec<Rule>,
        #[serde(default)]
        name: String,
    }

    fn error(json: &str) -> String {
        match parse::<Settings>(json) {
            Err(Fault::InvalidConfig(text)) => text,
            other => panic!("expected bad settings, got {other:?}"),
        }
    }

    #[test]
    fn an_error_names_its_field() {
        assert_eq!(error("{}"), "settings: missing field `rules`");
        assert_eq!(error(""), "settings: missing field `rules`");
        assert_eq!(error(r#"{"rules":3}"#), "settings.rules: invalid type: integer `3`, expected a sequence");
        assert_eq!(
            error(r#"{"name":"a\"b:","rules":[{"words":["x"]},{"words":["y", 7]}]}"#),
            "settings.rules[1].words[1]: invalid type: integer `7`, expected a string"
        );
        assert_eq!(
            error("{\"rules\":[\n  {\"words\":[],\n   \"limit\": 300}]}"),
            "settings.rules[0].limit: invalid value: integer `300`, expected u8"
        );
        assert!(error(r#"{"rules":[{"word":[]}]}"#).starts_with("settings.rules[0]: unknown field `word`, expected"));
        assert!(error(r#"{"rules":[{}]}"#).starts_with("settings.rules[0]: missing field `words`"));
    }

    #[test]
    fn good_settings_are_read() {
        let settings: Settings = parse(r#"{"rules":[{"words":["x"],"limit":3}]}"#).unwrap();
        assert_eq!(settings.rules[0].words, ["x"]);
        assert_eq!(settings.rules[0].limit, Some(3));
    }
}
