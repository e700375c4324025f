//! Where the words of a reply can stand: every string of a reply's JSON that is not the name of something, read the way a client could,
//! from whole replies and from streams, copies and token lists included. It shares no code with the gateway, whose masks it judges.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_tests::http::Reply;
use sluice_tests::sse;

use crate::plugins_support::is_stream;

/// Members whose strings name or number something: no model wrote them.
const NAMES: [&str; 29] = [
    "id",
    "object",
    "model",
    "role",
    "type",
    "name",
    "finish_reason",
    "native_finish_reason",
    "stop_reason",
    "matched_stop",
    "system_fingerprint",
    "provider",
    "service_tier",
    "usage",
    "tool_call_id",
    "call_id",
    "format",
    "signature",
    "encrypted_content",
    "data",
    "error",
    "created",
    "metadata",
    "x_groq",
    "copilot_usage",
    "channel",
    "obfuscation",
    "padding",
    "p",
];

/// Texts by where they stand; parts of a stream at one place are joined.
pub(crate) type Texts = BTreeMap<String, String>;

struct Reader {
    texts: Texts,
    /// Join what further events say at the same place.
    join: bool,
    /// Tells apart what must not be joined.
    event: usize,
}

impl Reader {
    fn add(&mut self, place: &str, text: &str) {
        let joined = place.contains(".delta.") || place.contains("logprobs") || place.contains("token_ids");
        let place = if self.join && !joined { format!("{place}#{}", self.event) } else { place.to_owned() };
        self.texts.entry(place).or_default().push_str(text);
    }

    fn read(&mut self, place: &str, value: &Value) {
        match value {
            Value::String(text) => self.add(place, text),
            Value::Array(items) => {
                let bytes: Option<Vec<u8>> =
                    items.iter().map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
                if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                    // Token lists spell their tokens in bytes, too.
                    self.add(place, &String::from_utf8_lossy(&bytes));
                }
                for (position, item) in items.iter().enumerate() {
                    let number = item["index"].as_u64().unwrap_or(position as u64);
                    // The tokens of a list spell the text one after the other.
                    let place = if place.contains("logprobs") { place.to_owned() } else { format!("{place}.{number}") };
                    self.read(&place, item);
                }
            }
            Value::Object(members) => {
                for (key, value) in members.iter().filter(|(key, _)| !NAMES.contains(&key.as_str())) {
                    self.read(&format!("{place}.{key}"), value);
                }
            }
            _ => {}
        }
    }
}

/// All texts of a body, whole or streamed.
pub(crate) fn texts(body: &[u8], stream: bool) -> Texts {
    let mut reader = Reader { texts: Texts::new(), join: stream, event: 0 };
    let documents = if stream { sse::data(body) } else { vec![body.to_vec()] };
    for document in documents {
        if let Ok(value) = serde_json::from_slice::<Value>(&document) {
            reader.read("", &value);
        }
        reader.event += 1;
    }
    // Arguments are JSON in a string: what they say is read, too.
    let inner: Vec<(String, Value)> = reader
        .texts
        .iter()
        .filter(|(place, _)| place.contains("arguments"))
        .filter_map(|(place, text)| Some((format!("{place}>"), serde_json::from_str(text).ok()?)))
        .collect();
    for (place, value) in inner {
        reader.read(&place, &value);
    }
    reader.texts
}

/// Where the client of `reply` can read one of `words`: place and word.
pub(crate) fn leaks(reply: &Reply, words: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (place, text) in texts(&reply.body, is_stream(reply)) {
        let text = text.to_lowercase();
        found.extend(words.iter().filter(|word| text.contains(*word)).map(|word| (place.clone(), word.clone())));
    }
    found
}

/// Up to `count` words of what the model wrote, in lower case: the longest ones that are letters only.
pub(crate) fn words(texts: &Texts, count: usize) -> Vec<String> {
    let wrote = |place: &str| {
        let member = place.split(['#', '>']).next().unwrap_or_default();
        ["content", "text", "reasoning", "reasoning_content", "thinking", "refusal", "arguments", "transcript"]
            .iter()
            .any(|name| member.ends_with(&format!(".{name}")))
            && place.contains("choices")
    };
    let mut all: Vec<String> = texts
        .iter()
        .filter(|(place, _)| wrote(place))
        .flat_map(|(_, text)| text.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase).collect::<Vec<_>>())
        .filter(|word| word.chars().count() >= 4)
        .collect();
    all.sort_by(|a, b| b.chars().count().cmp(&a.chars().count()).then_with(|| a.cmp(b)));
    all.dedup();
    all.truncate(count);
    all
}

#[test]
fn the_reader_finds_words_wherever_they_are_spelt() {
    let whole = br#"{"choices":[{"message":{"content":"Sec\u0072et","tool_calls":[{"function":{"arguments":"{\"a\":\"s\\u0065cret\"}"}}]},
        "logprobs":{"content":[{"token":"Sec","bytes":[83,101,99]},{"token":"ret","bytes":[114,101,116]}]}}]}"#;
    let found = texts(whole, false);
    let hits: Vec<&str> = found
        .iter()
        .filter(|(_, text)| text.to_lowercase().contains("secret"))
        .map(|(place, _)| place.as_str())
        .collect();
    assert_eq!(hits.len(), 4, "{found:?}");
    let stream = b"data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"sec\"}}]}\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"-\"}}]}\n\n\
        data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"ret\"}}]}\n\n";
    assert_eq!(texts(stream, true)[".choices.1.delta.content"], "secret");
    assert_eq!(words(&texts(stream, true), 5), ["secret"]);
}
