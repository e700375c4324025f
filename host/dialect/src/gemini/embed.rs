//! Embeddings: OpenAI's requests for Gemini and Vertex, Gemini's for providers of OpenAI's dialect, and the replies to both.
//!
//! Numbers keep the spelling that the provider gave them, unless a client asked for base64 (little-endian 32-bit floats).

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::{error, part, usage};
use crate::failure::{Class, Failure};
use crate::hub::{Losses, Part};
use crate::json::{self, build as put};
use crate::usage::Usage;

/// How a provider takes texts to embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `batchEmbedContents` (Gemini): at most this many texts in a request; the API takes 100.
    Batch { most: usize },
    /// `embedContent` (Vertex's newer models): one.
    Single,
    /// `predict` (Vertex): at most this many; its newer models take one.
    Predict { most: usize },
}

impl Form {
    /// The operation, for [`super::operation`].
    pub fn operation(self) -> &'static str {
        match self {
            Form::Batch { .. } => "batchEmbedContents",
            Form::Single => "embedContent",
            Form::Predict { .. } => "predict",
        }
    }

    fn most(self) -> usize {
        match self {
            Form::Batch { most } | Form::Predict { most } => most.max(1),
            Form::Single => 1,
        }
    }
}

/// An OpenAI client's request, for a provider of this dialect.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// In this order; the replies to them make the one reply.
    pub bodies: Vec<Bytes>,
    /// What of the request cannot be said.
    pub losses: Losses,
    base64: bool,
}

/// The most texts that one request may hold; OpenAI's limit.
const MAX_TEXTS: usize = 2048;

/// Reads OpenAI's request. `model`: as the provider knows it.
///
/// # Errors
/// A 400 for what is no such request, and for texts given as token numbers, which only their tokenizer's model understands.
pub fn from_openai(body: &[u8], model: &str, form: Form) -> Result<Wanted, Failure> {
    let Some(Value::Object(mut members)) = json::tree(body) else {
        return Err(Failure::invalid("invalid_json", "The request body must be a JSON object."));
    };
    let texts = texts(members.remove("input"))?;
    let base64 = members.remove("encoding_format").is_some_and(|format| format == "base64");
    let dimensions = members.remove("dimensions").filter(Value::is_number);
    members.remove("model");
    let mut losses = Losses::default();
    for (name, _) in members.into_iter().filter(|(_, value)| !value.is_null()) {
        if name == "user" { losses.hint(name) } else { losses.lose(name) }
    }
    let bodies = texts.chunks(form.most()).map(|texts| body_of(texts, dimensions.as_ref(), model, form)).collect();
    Ok(Wanted { bodies, losses, base64 })
}

fn texts(input: Option<Value>) -> Result<Vec<String>, Failure> {
    let wrong = |message: &str| Failure::invalid("invalid_type", message).with_param("input");
    let list = match input {
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => return Err(wrong("`input` must be a text or a list of texts.")),
    };
    if list.len() > MAX_TEXTS {
        return Err(wrong("`input` has more than 2048 texts; send them in several requests."));
    }
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong("`input` holds token numbers, which this target cannot read. Send the texts.")
            .with_class(Class::Unsupported)),
    };
    list.into_iter().map(text).collect()
}

fn body_of(texts: &[String], dimensions: Option<&Value>, model: &str, form: Form) -> Bytes {
    let mut out = Vec::with_capacity(128 + texts.iter().map(|text| text.len() + 96).sum::<usize>());
    let content = |text: &str, out: &mut Vec<u8>| {
        put::key(out, "content");
        out.extend_from_slice(b"{\"parts\":[{");
        put::text(out, "text", text);
        out.extend_from_slice(b"}]}");
    };
    let size = |out: &mut Vec<u8>| {
        if let Some(dimensions) = dimensions {
            put::member(out, "outputDimensionality", dimensions);
        }
    };
    out.push(b'{');
    match form {
        Form::Batch { .. } => {
            out.extend_from_slice(b"\"requests\":[");
            let named = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
            for text in texts {
                put::comma(&mut out);
                out.push(b'{');
                put::text(&mut out, "model", &named);
                content(text, &mut out);
                size(&mut out);
                out.push(b'}');
            }
            out.push(b']');
        }
        Form::Single => {
            texts.iter().for_each(|text| content(text, &mut out));
            size(&mut out);
        }
        Form::Predict { .. } => {
            out.extend_from_slice(b"\"instances\":[");
            for text in texts {
                put::comma(&mut out);
                out.push(b'{');
                put::text(&mut out, "content", text);
                out.push(b'}');
            }
            out.push(b']');
            if dimensions.is_some() {
                out.extend_from_slice(b",\"parameters\":{");
                size(&mut out);
                out.push(b'}');
            }
        }
    }
    out.push(b'}');
    Bytes::from(out)
}

impl Wanted {
    /// OpenAI's reply from the provider's replies to all bodies, and what was counted, where the provider says it. `model`: named in it.
    ///
    /// # Errors
    /// A 502 for what is no reply with embeddings.
    pub fn reply(&self, replies: &[Bytes], model: &str) -> Result<(Bytes, Option<Usage>), Failure> {
        let mut out = Vec::with_capacity(256 + replies.iter().map(Bytes::len).sum::<usize>());
        out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
        let (mut index, mut counted) = (0_usize, None::<u64>);
        for reply in replies {
            checked(reply)?;
            let vectors = vectors(reply);
            if vectors.is_empty() {
                return Err(no_embeddings());
            }
            for range in vectors {
                put::comma(&mut out);
                out.extend_from_slice(b"{\"object\":\"embedding\"");
                put::number(&mut out, "index", index);
                put::key(&mut out, "embedding");
                let values = reply.get(range).unwrap_or_default();
                if self.base64 {
                    json::quote(&encoded(values).ok_or_else(no_embeddings)?, &mut out);
                } else {
                    out.extend_from_slice(values);
                }
                out.push(b'}');
                index += 1;
            }
            if let Some(tokens) = tokens(reply) {
                counted = Some(counted.unwrap_or(0).saturating_add(tokens));
            }
        }
        out.push(b']');
        put::text(&mut out, "model", model);
        put::key(&mut out, "usage");
        out.push(b'{');
        // Clients expect figures here, also of a model that reports none.
        put::number(&mut out, "prompt_tokens", counted.unwrap_or(0));
        put::number(&mut out, "total_tokens", counted.unwrap_or(0));
        out.extend_from_slice(b"}}");
        Ok((Bytes::from(out), counted.map(|input| Usage { input, ..Usage::default() })))
    }
}

fn no_embeddings() -> Failure {
    Failure::bad_gateway("invalid_reply", "The provider's reply has no embeddings.")
}

fn checked(reply: &[u8]) -> Result<(), Failure> {
    if let Err(syntax) = json::validate(reply) {
        let failure = Failure::bad_gateway("invalid_reply", "The provider's reply is not JSON.");
        return Err(failure.with_detail(syntax.to_string()));
    }
    error::inside(reply).map_or(Ok(()), Err)
}

/// Where the vectors stand: `embeddings[].values`, `embedding.values` or `predictions[].embeddings.values`.
fn vectors(reply: &[u8]) -> Vec<Range<usize>> {
    let values = |object: Range<usize>| {
        json::field(reply, object.start, "values").filter(|range| reply.get(range.start) == Some(&b'['))
    };
    let items = |name: &str| json::field(reply, 0, name).and_then(|list| json::array(reply, list.start));
    if let Some(list) = items("embeddings") {
        return list.filter_map(values).collect();
    }
    if let Some(list) = items("predictions") {
        return list.filter_map(|one| values(json::field(reply, one.start, "embeddings")?)).collect();
    }
    json::field(reply, 0, "embedding").and_then(values).into_iter().collect()
}

/// Tokens of the texts; of `predict`, what each prediction says.
fn tokens(reply: &[u8]) -> Option<u64> {
    if let Some(range) = json::field(reply, 0, "usageMetadata") {
        return usage::read(reply, range).map(|usage| usage.prompt());
    }
    let predictions = json::field(reply, 0, "predictions")?;
    let counts = json::array(reply, predictions.start)?.filter_map(|one| {
        let embeddings = json::field(reply, one.start, "embeddings")?;
        let statistics = json::field(reply, embeddings.start, "statistics")?;
        let count = json::field(reply, statistics.start, "token_count")?;
        // Written as `4`, or as `4.0` by older models.
        std::str::from_utf8(reply.get(count)?).ok()?.split('.').next()?.parse::<u64>().ok()
    });
    counts.fold(None, |sum, count| Some(sum.unwrap_or(0_u64).saturating_add(count)))
}

fn encoded(values: &[u8]) -> Option<String> {
    let floats: Vec<f32> = serde_json::from_slice(values).ok()?;
    let bytes: Vec<u8> = floats.into_iter().flat_map(f32::to_le_bytes).collect();
    Some(STANDARD.encode(bytes))
}

/// A Gemini client's `embedContent` or `batchEmbedContents` as OpenAI's request, and what of it cannot be said.
///
/// # Errors
/// A 400 for what is no such request, for contents that are not texts, and for texts of one request that want different sizes.
pub fn to_openai(body: &[u8], model: &str) -> Result<(Bytes, Losses), Failure> {
    let Some(Value::Object(members)) = json::tree(body) else {
        return Err(Failure::invalid("invalid_json", "The request body must be a JSON object."));
    };
    let mut body = Fields::new(members);
    let requests = if body.has("requests") {
        body.list("requests").into_iter().map(Fields::of).collect()
    } else {
        vec![std::mem::replace(&mut body, Fields::new(Map::new()))]
    };
    let mut losses = Losses::default();
    let mut texts = Vec::with_capacity(requests.len());
    let mut size = None;
    for (at, mut request) in requests.into_iter().enumerate() {
        request.take("model");
        let wanted = request.number("outputDimensionality");
        if at > 0 && wanted != size {
            let message = "All requests of a batch must want the same `outputDimensionality` for this target.";
            return Err(Failure::invalid("unsupported_parameter", message).with_class(Class::Unsupported));
        }
        size = wanted;
        texts.push(text_of(request.take("content"))?);
        request.left().into_iter().for_each(|(name, _)| losses.lose(name));
    }
    if texts.is_empty() {
        return Err(Failure::invalid("invalid_type", "The request holds no content to embed."));
    }
    let mut out = Vec::with_capacity(96 + texts.iter().map(|text| text.len() + 8).sum::<usize>());
    out.push(b'{');
    put::text(&mut out, "model", model);
    put::key(&mut out, "input");
    out.push(b'[');
    for text in &texts {
        put::comma(&mut out);
        json::quote(text, &mut out);
    }
    out.push(b']');
    if let Some(size) = size {
        put::number(&mut out, "dimensions", size);
    }
    put::text(&mut out, "encoding_format", "float");
    out.push(b'}');
    Ok((Bytes::from(out), losses))
}

/// One vector is made of a content, however many parts it has.
fn text_of(content: Option<Value>) -> Result<String, Failure> {
    let parts = match content {
        Some(Value::Object(members)) => Fields::new(members).list("parts"),
        Some(Value::Array(list)) => list,
        Some(text @ Value::String(_)) => vec![text],
        _ => {
            return Err(
                Failure::invalid("invalid_type", "`content` must be an object with `parts`.").with_param("content")
            );
        }
    };
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        match part::read(part, &mut part::Ids::default()) {
            Some(Part::Text(text)) => texts.push(text.text),
            None => {}
            Some(_) => {
                let message = "The content holds something that is not text, which this target cannot embed.";
                return Err(Failure::invalid("unsupported_content", message).with_class(Class::Unsupported));
            }
        }
    }
    Ok(texts.join("\n"))
}

/// OpenAI's reply as the reply to `batchEmbedContents` (`batch`) or `embedContent`, and what was counted.
///
/// # Errors
/// A 502 for what is no reply with embeddings.
pub fn from_openai_reply(reply: &[u8], batch: bool) -> Result<(Bytes, Option<Usage>), Failure> {
    checked(reply)?;
    let data =
        json::field(reply, 0, "data").and_then(|data| json::array(reply, data.start)).ok_or_else(no_embeddings)?;
    let mut vectors = Vec::new();
    for (position, item) in data.enumerate() {
        let index = json::field(reply, item.start, "index")
            .and_then(|range| std::str::from_utf8(reply.get(range)?).ok()?.parse::<usize>().ok());
        let value = json::field(reply, item.start, "embedding").ok_or_else(no_embeddings)?;
        vectors.push((index.unwrap_or(position), value));
    }
    vectors.sort_by_key(|(index, _)| *index);
    if vectors.is_empty() {
        return Err(no_embeddings());
    }
    let mut out = Vec::with_capacity(reply.len() + 128);
    out.extend_from_slice(if batch { b"{\"embeddings\":[" } else { b"{\"embedding\":" });
    let most = if batch { usize::MAX } else { 1 };
    for (_, value) in vectors.into_iter().take(most) {
        put::comma(&mut out);
        out.extend_from_slice(b"{\"values\":");
        decoded(reply, value, &mut out).ok_or_else(no_embeddings)?;
        out.push(b'}');
    }
    if batch {
        out.push(b']');
    }
    let counted = json::field(reply, 0, "usage").and_then(|range| Usage::from_openai(reply, range));
    if let Some(counted) = counted {
        put::key(&mut out, "usageMetadata");
        out.push(b'{');
        put::number(&mut out, "promptTokenCount", counted.prompt());
        put::number(&mut out, "totalTokenCount", counted.prompt());
        out.push(b'}');
    }
    out.push(b'}');
    Ok((Bytes::from(out), counted))
}

/// A list of numbers as it is; base64 (which some providers send unasked) as the numbers that it holds.
fn decoded(reply: &[u8], value: Range<usize>, out: &mut Vec<u8>) -> Option<()> {
    if reply.get(value.start) == Some(&b'[') {
        out.extend_from_slice(reply.get(value)?);
        return Some(());
    }
    let bytes = STANDARD.decode(json::string(reply, value)?.as_bytes()).ok()?;
    out.push(b'[');
    for four in bytes.chunks_exact(4) {
        put::comma(out);
        let value = f32::from_le_bytes(four.try_into().ok()?);
        put::value(out, &Value::from(value));
    }
    out.push(b']');
    Some(())
}
