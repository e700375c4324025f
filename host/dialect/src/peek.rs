//! What the road must know of an `openai-chat` request before it goes on: the model, the stream flag and where they stand.
//!
//! One pass, which checks the whole grammar and notes the top-level members; no tree. It judges nothing else of the request: unknown fields,
//! messages and their content are the provider's business, or the text map's.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::ops::Range;

use bytes::Bytes;

use crate::dialect::{Api, Said};
use crate::failure::Failure;
use crate::json;
use crate::splice::splice;
use crate::text::walk;

/// More fallbacks than any call may try.
const MOST_FALLBACKS: usize = 16;

/// What [`peek`] saw. All ranges are of the body that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// `None` where the field is absent or null.
    pub model: Option<Model>,
    /// The `null` that stands for the model, where one is written.
    pub null_model: Option<Range<usize>>,
    pub stream: bool,
    /// How many choices were asked for: at least 1, also where `n` is absent or is not a number.
    pub n: u32,
    pub stream_options: StreamOptions,
    /// Just behind the opening brace: the place for a member that the body lacks.
    pub body_open: usize,
    /// No members: what is inserted needs no comma behind it.
    pub empty: bool,
    /// The targets that the client named to be tried after the model, in order.
    pub fallbacks: Vec<String>,
    /// Where they stand, with one comma; see [`Peek::settled`].
    pub fallbacks_at: Option<Range<usize>>,
}

impl Default for Peek {
    /// Of a request that says nothing.
    fn default() -> Self {
        Peek {
            model: None,
            null_model: None,
            stream: false,
            n: 1,
            stream_options: StreamOptions::Absent,
            body_open: 0,
            empty: true,
            fallbacks: Vec::new(),
            fallbacks_at: None,
        }
    }
}

/// The model that the client named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The string literal with its quotes; empty where the path says the name and the body none.
    pub literal: Range<usize>,
    pub name: String,
}

/// The request's `stream_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOptions {
    Absent,
    Null(Range<usize>),
    Object {
        value: Range<usize>,
        /// The value of `include_usage`: true, false or null.
        include_usage: Option<Range<usize>>,
        /// Whether it is true.
        asked: bool,
        /// No members.
        empty: bool,
    },
    /// Neither an object nor null, or with an `include_usage` of another type: nothing that Sluice could complete.
    Other,
}

impl Peek {
    /// With what the path says, which goes before the body: whoever is judged by the one must not be served by the other.
    #[must_use]
    pub fn said(mut self, said: &Said) -> Peek {
        if let Some(name) = &said.model {
            let literal = self.model.take().map(|model| model.literal).or(self.null_model.take()).unwrap_or(0..0);
            self.model = Some(Model { literal, name: name.clone() });
        }
        self.stream |= said.stream;
        self
    }

    /// Cuts what is Sluice's alone out of the body, so that nobody after sees it, and reads the rest anew: all ranges are of the body then.
    ///
    /// # Errors
    /// As [`peek`].
    pub fn settled(mut self, api: &dyn Api, body: &mut Bytes, said: &Said) -> Result<Peek, Failure> {
        let Some(range) = self.fallbacks_at.take() else { return Ok(self) };
        *body = splice(body, &[(range, b"")]);
        Ok(Peek { fallbacks: self.fallbacks, ..api.peek(body, said)? })
    }
}

/// Names of further targets, and where they stand in the body, ready to be cut out.
pub type Fallbacks = (Vec<String>, Range<usize>);

/// The fallbacks in a member of that name, with the range to cut. A value of any other kind than a list of texts is the provider's own.
///
/// # Errors
/// A 400 for more than [`MOST_FALLBACKS`], or an empty name.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn fallbacks(body: &[u8], member: &json::Member) -> Result<Option<Fallbacks>, Failure> {
    let Some(items) = json::array(body, member.value.start) else { return Ok(None) };
    let mut names = Vec::new();
    for item in items {
        let Some(name) = json::string(body, item) else { return Ok(None) };
        if name.trim().is_empty() || names.len() == MOST_FALLBACKS {
            let message = format!("`fallbacks` takes up to {MOST_FALLBACKS} names, as in `model`, none of them empty.");
            return Err(Failure::invalid("invalid_value", message).with_param("fallbacks"));
        }
        names.push(name.into_owned());
    }
    let behind = walk::blank(body, member.value.end);
    if body.get(behind) == Some(&b',') {
        return Ok(Some((names, member.key.start..behind + 1)));
    }
    let before = body.get(..member.key.start).unwrap_or_default().trim_ascii_end();
    let start = if before.ends_with(b",") { before.len() - 1 } else { member.key.start };
    Ok(Some((names, start..member.value.end)))
}

/// Reads the request.
///
/// Escapes in member names are decoded; members further down do not count.
///
/// # Errors
/// A 400 for a body that is not UTF-8, not JSON (the message has line and column) or not an object; for a `model` that is not a string or a
/// `stream` that is not a bool; and where a field read here stands twice, since parsers disagree on which one counts.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn peek(body: &[u8]) -> Result<Peek, Failure> {
    let mut fields = Fields::default();
    let mut empty = true;
    let mut refusal = None;
    json::validate_members(body, |member| {
        empty = false;
        if let Err(fault) = fields.note(body, &member) {
            refusal.get_or_insert(fault);
        }
    })
    .map_err(|error| not_json(body, error))?;
    if let Some(fault) = refusal {
        return Err(fault.into());
    }
    let Some(body_open) =
        body.iter().position(|byte| !byte.is_ascii_whitespace()).filter(|at| body.get(*at) == Some(&b'{'))
    else {
        return Err(Failure::invalid("invalid_type", "The request body must be a JSON object."));
    };
    let (model, null_model) = model(body, fields.model)?;
    let named = fields.fallbacks.map(|member| self::fallbacks(body, &member)).transpose()?.flatten();
    let (fallbacks, fallbacks_at) = named.map_or_else(Default::default, |(names, range)| (names, Some(range)));
    Ok(Peek {
        fallbacks,
        fallbacks_at,
        model,
        null_model,
        stream: stream(body, fields.stream)?,
        n: fields.n.map_or(1, |value| choices(body, &value)),
        stream_options: stream_options(body, fields.stream_options)?,
        body_open: body_open + 1,
        empty,
    })
}

/// The edit that names another model: in place of the client's, or as a new first member.
pub fn name_model(peek: &Peek, name: &str) -> (Range<usize>, Vec<u8>) {
    let mut text = Vec::with_capacity(name.len() + 12);
    let literal = peek.model.as_ref().map(|model| &model.literal).filter(|literal| !literal.is_empty());
    if let Some(range) = literal.or(peek.null_model.as_ref()) {
        json::quote(name, &mut text);
        return (range.clone(), text);
    }
    text.extend_from_slice(br#""model":"#);
    json::quote(name, &mut text);
    insertion(peek.body_open, text, peek.empty)
}

/// The edit that makes the provider report usage in a stream; `None` where the client asked already, where the call is no stream, and where
/// the client's `stream_options` are of a type that only the provider can judge.
pub fn ask_usage(peek: &Peek) -> Option<(Range<usize>, Vec<u8>)> {
    if !peek.stream {
        return None;
    }
    match &peek.stream_options {
        StreamOptions::Other | StreamOptions::Object { asked: true, .. } => None,
        StreamOptions::Absent => {
            Some(insertion(peek.body_open, br#""stream_options":{"include_usage":true}"#.to_vec(), peek.empty))
        }
        StreamOptions::Null(range) => Some((range.clone(), br#"{"include_usage":true}"#.to_vec())),
        StreamOptions::Object { include_usage: Some(range), .. } => Some((range.clone(), b"true".to_vec())),
        StreamOptions::Object { value, empty, .. } => {
            Some(insertion(value.start + 1, br#""include_usage":true"#.to_vec(), *empty))
        }
    }
}

fn insertion(at: usize, mut member: Vec<u8>, alone: bool) -> (Range<usize>, Vec<u8>) {
    if !alone {
        member.push(b',');
    }
    (at..at, member)
}

/// What is wrong with a field that is read here.
#[derive(Clone, Copy)]
enum Fault {
    Twice(&'static str),
    Type(&'static str, &'static str),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        match fault {
            Fault::Twice(name) => {
                Failure::invalid("duplicate_field", format!("The request body has `{name}` twice; send it once."))
                    .with_param(name)
            }
            Fault::Type(name, expected) => {
                Failure::invalid("invalid_type", format!("`{name}` must be {expected}.")).with_param(name)
            }
        }
    }
}

#[derive(Default)]
struct Fields {
    model: Option<Range<usize>>,
    stream: Option<Range<usize>>,
    n: Option<Range<usize>>,
    stream_options: Option<Range<usize>>,
    fallbacks: Option<json::Member>,
}

impl Fields {
    fn note(&mut self, body: &[u8], member: &json::Member) -> Result<(), Fault> {
        if member.is(body, "fallbacks") {
            return self.fallbacks.replace(member.clone()).map_or(Ok(()), |_| Err(Fault::Twice("fallbacks")));
        }
        for (field, name) in [
            (&mut self.model, "model"),
            (&mut self.stream, "stream"),
            (&mut self.n, "n"),
            (&mut self.stream_options, "stream_options"),
        ] {
            if member.is(body, name) {
                return match field.replace(member.value.clone()) {
                    Some(_) => Err(Fault::Twice(name)),
                    None => Ok(()),
                };
            }
        }
        Ok(())
    }
}

fn model(body: &[u8], value: Option<Range<usize>>) -> Result<(Option<Model>, Option<Range<usize>>), Fault> {
    let Some(literal) = value else { return Ok((None, None)) };
    if is(body, &literal, "null") {
        return Ok((None, Some(literal)));
    }
    match json::string(body, literal.clone()) {
        Some(name) => Ok((Some(Model { literal, name: name.into_owned() }), None)),
        None => Err(Fault::Type("model", "a string")),
    }
}

fn stream(body: &[u8], value: Option<Range<usize>>) -> Result<bool, Fault> {
    match value {
        Some(value) if is(body, &value, "true") => Ok(true),
        Some(value) if !is(body, &value, "false") && !is(body, &value, "null") => {
            Err(Fault::Type("stream", "true or false"))
        }
        _ => Ok(false),
    }
}

/// Some clients write whole numbers as `2.0`. What is no number is left for the provider to refuse.
fn choices(body: &[u8], value: &Range<usize>) -> u32 {
    let number = body.get(value.clone()).and_then(|text| std::str::from_utf8(text).ok()?.parse::<f64>().ok());
    number.map_or(1, |number| number.clamp(1.0, f64::from(u32::MAX)) as u32)
}

fn stream_options(body: &[u8], value: Option<Range<usize>>) -> Result<StreamOptions, Fault> {
    let Some(value) = value else { return Ok(StreamOptions::Absent) };
    if is(body, &value, "null") {
        return Ok(StreamOptions::Null(value));
    }
    let Some(members) = json::object(body, value.start) else { return Ok(StreamOptions::Other) };
    let mut include_usage = None;
    let mut empty = true;
    for member in members {
        empty = false;
        if member.is(body, "include_usage") && include_usage.replace(member.value).is_some() {
            return Err(Fault::Twice("stream_options.include_usage"));
        }
    }
    let asked = include_usage.as_ref().is_some_and(|value| is(body, value, "true"));
    match &include_usage {
        Some(value) if !asked && !is(body, value, "false") && !is(body, value, "null") => Ok(StreamOptions::Other),
        _ => Ok(StreamOptions::Object { value, include_usage, asked, empty }),
    }
}

fn is(body: &[u8], value: &Range<usize>, word: &str) -> bool {
    body.get(value.clone()) == Some(word.as_bytes())
}

fn not_json(body: &[u8], error: json::SyntaxError) -> Failure {
    if body.is_empty() {
        return Failure::invalid("invalid_json", "The request body is empty; it must be a JSON object.");
    }
    Failure::invalid("invalid_json", format!("The request body is not valid JSON: {error}."))
}
