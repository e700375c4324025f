//! A request in one pass, without a tree: which of the things that models may lack it holds, and about how long its prompt is.
//!
//! The pass walks values with the names that lead to them; a name of one dialect that means nothing in another costs nothing there. It
//! estimates a token for every four bytes of ASCII and every three of other text, and a fixed number for each picture or document.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sluice_dialect::Dialect;

use super::Needs;

/// What a picture, a document or a recording counts for, whatever its size.
const MEDIA: u64 = 1_600;
/// Encoded media are at least this long; shorter texts of that kind are words.
const ENCODED: usize = 256;
/// Deeper nesting is not looked into; serde's own limit is 128.
const DEEPEST: u8 = 100;

#[derive(Default)]
struct Found {
    needs: Needs,
    /// Bytes.
    ascii: u64,
    other: u64,
    media: u64,
    gemini: bool,
}

/// What the names above a value make of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The request itself.
    Top,
    /// `response_format`, `text.format`, `output_config.format` and their like.
    Format,
    /// `reasoning`, `thinking`, `thinkingConfig`.
    Reasoning,
    /// `generationConfig`, `text`, `output_config`: settings of a kind, whose own texts no model reads.
    Settings,
    /// Descriptions of tools.
    Tools,
    /// Names and settings of the call.
    Frame,
    Content,
}

pub(super) fn scan(dialect: Dialect, body: &[u8]) -> Needs {
    let mut found = Found { gemini: dialect == Dialect::Gemini, ..Found::default() };
    let mut source = serde_json::Deserializer::from_slice(body);
    // A body that breaks off has been refused before; what was seen of it counts.
    let _ = Walk { found: &mut found, place: Place::Top, name: "", depth: 0 }.deserialize(&mut source);
    let Found { ascii, other, media, mut needs, .. } = found;
    needs.tokens = (ascii / 4 + other / 3 + media * MEDIA).max(1);
    needs
}

struct Walk<'a> {
    found: &'a mut Found,
    place: Place,
    /// Of the member that the value is of, or that the list is of.
    name: &'a str,
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.found.number(self.place, "", 0);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found.number(self.place, self.name, value);
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.found.number(self.place, "", 0);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        // Some clients write whole numbers with a point.
        self.found.number(self.place, self.name, value.max(0.0) as u64);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found.text(self.place, self.name, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Walk { found, place, name, depth } = self;
        while depth < DEEPEST
            && items.next_element_seed(Walk { found: &mut *found, place, name, depth: depth + 1 })?.is_some()
        {
            if place == Place::Tools && depth == 1 {
                found.needs.tools = true;
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Walk { found, place, depth, .. } = self;
        while let Some(Key(name)) = members.next_key()? {
            if depth >= DEEPEST {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = found.member(place, &name);
            members.next_value_seed(Walk { found: &mut *found, place, name: &name, depth: depth + 1 })?;
        }
        Ok(())
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Name).map(Key)
    }
}

impl Found {
    /// Where the value of a member stands; notes what its mere name says.
    fn member(&mut self, place: Place, name: &str) -> Place {
        if place == Place::Content || place == Place::Tools {
            self.ascii += name.len() as u64 + 2;
        }
        match (place, name) {
            (Place::Top, "tools" | "functions") => Place::Tools,
            (Place::Top, "response_format" | "output_format") => Place::Format,
            (Place::Top, "text" | "output_config" | "generationConfig" | "generation_config") => Place::Settings,
            (Place::Settings, "format") => Place::Format,
            (Place::Top, "reasoning" | "thinking") | (Place::Settings, "thinkingConfig" | "thinking_config") => {
                Place::Reasoning
            }
            (Place::Settings, "responseSchema" | "response_schema" | "responseJsonSchema" | "response_json_schema") => {
                self.needs.json_schema = true;
                Place::Content
            }
            // What the schema of an answer or of a tool says is read.
            (Place::Format, "schema" | "json_schema") => Place::Content,
            (Place::Top, "messages" | "input" | "contents" | "system" | "instructions" | "prompt")
            | (Place::Top, "systemInstruction" | "system_instruction") => Place::Content,
            (Place::Top, _) => Place::Frame,
            (place, "cache_control") if place != Place::Tools => Place::Frame,
            (place, _) => place,
        }
    }

    fn number(&mut self, place: Place, name: &str, value: u64) {
        if matches!(place, Place::Content | Place::Tools) {
            self.ascii += 4;
            return;
        }
        if matches!(name, "max_tokens" | "max_completion_tokens" | "max_output_tokens" | "maxOutputTokens") {
            self.needs.max_output = Some(value);
        }
        // A budget of nothing is none.
        if matches!(name, "thinkingBudget" | "thinking_budget") && value > 0 {
            self.needs.reasoning = true;
        }
    }

    fn text(&mut self, place: Place, name: &str, text: &str) {
        match (place, name) {
            (Place::Format, "type") => self.needs.json_schema |= text == "json_schema",
            (Place::Reasoning, "type") => self.needs.reasoning |= matches!(text, "enabled" | "adaptive"),
            (Place::Reasoning, "effort" | "thinkingLevel" | "thinking_level") => self.needs.reasoning |= text != "none",
            (Place::Frame, "reasoning_effort") => self.needs.reasoning |= text != "none",
            (Place::Top | Place::Frame | Place::Format | Place::Reasoning | Place::Settings, _) => {}
            (Place::Content, "type") => self.kind(text),
            (Place::Content, "mimeType" | "mime_type" | "media_type") => self.media_type(text),
            (Place::Content | Place::Tools, "role") => {}
            (Place::Content | Place::Tools, _) => self.words(name, text),
        }
    }

    /// The kind of a part of a message.
    fn kind(&mut self, kind: &str) {
        match kind {
            "image_url" | "input_image" | "image" => self.needs.images = true,
            "input_audio" => self.needs.audio = true,
            _ => {}
        }
    }

    fn media_type(&mut self, kind: &str) {
        if kind.starts_with("image/") {
            self.needs.images = true;
        } else if kind.starts_with("audio/") && self.gemini {
            self.needs.audio = true;
        }
    }

    fn words(&mut self, name: &str, text: &str) {
        let encoded = matches!(name, "data" | "file_data") || text.starts_with("data:");
        let media = encoded || matches!(name, "url" | "image_url" | "file_url" | "fileUri" | "file_uri");
        if (encoded && text.len() > ENCODED) || (media && text.starts_with("http")) {
            self.media += 1;
            return;
        }
        let other = text.bytes().filter(|byte| !byte.is_ascii()).count();
        self.ascii += (text.len() - other) as u64;
        self.other += other as u64;
    }
}
