//! Lists of models in the form of each dialect. What goes in are OpenAI's objects, with whatever else a provider says of its models.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use sluice_dialect::Dialect;

use crate::exchange::Road;

/// The largest page that is asked for by size; Anthropic's own bound.
const LARGEST: usize = 1000;

/// A list in the making.
pub struct List {
    dialect: Dialect,
    /// How many the client wants; OpenAI's lists have no pages.
    most: usize,
    /// The client has had the list up to this name.
    after: Option<String>,
    /// Names passed over so far by a list that is told by number.
    skip: usize,
    seen: usize,
    first: Option<String>,
    last: Option<String>,
    count: usize,
    more: bool,
    /// The objects so far, with commas.
    text: String,
}

impl List {
    pub fn new(road: &Road) -> List {
        let query = road.query.as_deref().unwrap_or_default();
        let said = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        let number = |name| said(name).and_then(|(_, value)| value.parse::<usize>().ok());
        let size = match road.dialect {
            Dialect::Anthropic => number("limit"),
            Dialect::Gemini => number("pageSize"),
            Dialect::OpenaiChat | Dialect::OpenaiResponses => None,
        };
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let anthropic = road.dialect == Dialect::Anthropic;
        List {
            dialect: road.dialect,
            most: size.map_or(usize::MAX, |size| size.clamp(1, LARGEST)),
            after: said("after_id").filter(|_| anthropic).map(|(_, name)| decoded(name)),
            skip: number("pageToken").filter(|_| road.dialect == Dialect::Gemini).unwrap_or(0),
            seen: 0,
            first: None,
            last: None,
            count: 0,
            more: false,
            text: String::new(),
        }
    }

    /// Whether the next name belongs to the page; called once for each, in order.
    pub fn wants(&mut self, name: &str) -> bool {
        self.seen += 1;
        if let Some(after) = &self.after {
            if after == name {
                self.after = None;
            }
            return false;
        }
        self.more = self.count >= self.most;
        self.seen > self.skip && !self.more
    }

    /// Adds OpenAI's object of a model.
    pub fn add(&mut self, name: &str, object: String) {
        if self.count > 0 {
            self.text.push(',');
        }
        self.text.push_str(&one(self.dialect, name, object));
        self.first.get_or_insert_with(|| name.to_owned());
        self.last = Some(name.to_owned());
        self.count += 1;
    }

    pub fn finish(self) -> String {
        let text = self.text;
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses => format!("{{\"object\":\"list\",\"data\":[{text}]}}"),
            Dialect::Anthropic => {
                let ends = (Value::from(self.first), Value::from(self.last));
                format!(
                    "{{\"data\":[{text}],\"has_more\":{},\"first_id\":{},\"last_id\":{}}}",
                    self.more, ends.0, ends.1
                )
            }
            Dialect::Gemini if self.more => {
                format!("{{\"models\":[{text}],\"nextPageToken\":\"{}\"}}", self.skip + self.count)
            }
            Dialect::Gemini => format!("{{\"models\":[{text}]}}"),
        }
    }
}

/// One model in the form of the dialect.
pub fn one(dialect: Dialect, name: &str, object: String) -> String {
    if matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiResponses) {
        return object;
    }
    let known: Map<String, Value> = serde_json::from_str(&object).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| known.get(*name)?.as_str());
    let number = |names: &[&str]| names.iter().find_map(|name| known.get(*name)?.as_u64());
    let shown = text(&["display_name", "displayName"]).unwrap_or(name);
    if dialect == Dialect::Anthropic {
        let created =
            text(&["created_at"]).map(str::to_owned).unwrap_or_else(|| date(number(&["created"]).unwrap_or(0)));
        return json!({ "type": "model", "id": name, "display_name": shown, "created_at": created }).to_string();
    }
    let mut model = Map::new();
    model.insert("name".to_owned(), format!("models/{name}").into());
    model.insert("baseModelId".to_owned(), name.into());
    model.insert("version".to_owned(), text(&["version"]).unwrap_or("001").into());
    model.insert("displayName".to_owned(), shown.into());
    for (member, names) in [
        ("inputTokenLimit", ["inputTokenLimit", "context_window", "context_length"]),
        ("outputTokenLimit", ["outputTokenLimit", "max_output_tokens", "max_completion_tokens"]),
    ] {
        if let Some(limit) = number(&names) {
            model.insert(member.to_owned(), limit.into());
        }
    }
    let methods = known.get("supportedGenerationMethods").filter(|methods| methods.is_array()).cloned();
    let methods = methods.unwrap_or_else(|| json!(["generateContent", "countTokens"]));
    model.insert("supportedGenerationMethods".to_owned(), methods);
    Value::Object(model).to_string()
}

/// As Anthropic writes times, in UTC.
fn date(seconds: u64) -> String {
    // Beyond the year 9999 there is no such spelling.
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sluice_dialect::dialect::Said;

    use super::*;
    use crate::exchange::Operation;

    fn list(dialect: Dialect, query: Option<&str>) -> Value {
        let query = query.map(str::to_owned);
        let road = Road { operation: Operation::Models, provider: None, dialect, said: Said::default(), query };
        let mut list = List::new(&road);
        for name in ["a", "b/x", "c"] {
            if list.wants(name) {
                list.add(name, json!({ "id": name, "object": "model", "created": 5, "context_window": 7 }).to_string());
            }
        }
        serde_json::from_str(&list.finish()).unwrap()
    }

    #[test]
    fn every_dialect_has_its_form_and_its_pages() {
        let model = |name: &str| json!({ "type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:05Z" });
        let first = list(Dialect::Anthropic, Some("limit=2"));
        let expected =
            json!({ "data": [model("a"), model("b/x")], "has_more": true, "first_id": "a", "last_id": "b/x" });
        assert_eq!(first, expected);
        let second = list(Dialect::Anthropic, Some("limit=2&after_id=b%2Fx"));
        assert_eq!(second, json!({ "data": [model("c")], "has_more": false, "first_id": "c", "last_id": "c" }));
        let gemini = list(Dialect::Gemini, Some("pageSize=2"));
        assert_eq!(gemini["models"][1]["name"], "models/b/x");
        assert_eq!((&gemini["models"][0]["inputTokenLimit"], &gemini["nextPageToken"]), (&json!(7), &json!("2")));
        let rest = list(Dialect::Gemini, Some("pageSize=2&pageToken=2"));
        assert_eq!((rest["models"].as_array().unwrap().len(), rest.get("nextPageToken")), (1, None));
        let all = list(Dialect::OpenaiChat, Some("limit=1"));
        assert_eq!((all["object"].as_str(), all["data"].as_array().unwrap().len()), (Some("list"), 3));
    }
}
