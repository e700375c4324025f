//! Parts, written: for requests and for replies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::part;
use crate::Dialect;
use crate::hub::{Losses, Media, MediaKind, Opaque, Rest, Source, State, ToolResult};
use crate::json::{self, build as put};

/// Begins a part.
pub(super) fn open(out: &mut Vec<u8>) {
    put::comma(out);
    out.push(b'{');
}

/// Ends a part: its signature and what only Gemini says of it. `name`: the member whose inner rest is written already.
pub(super) fn close(signature: Option<&str>, rest: &Rest, name: &str, out: &mut Vec<u8>) {
    put::maybe_text(out, "thoughtSignature", signature);
    put::members(out, rest.of(Dialect::Gemini).filter(|(key, _)| *key != name));
    out.push(b'}');
}

/// What opaque state is in Gemini's place for it.
pub(super) fn signature(opaque: &Opaque) -> &str {
    match &opaque.state {
        State::Signature(data) | State::Encrypted { data, .. } => data,
    }
}

pub(super) fn text(text: &str, thought: bool, signature: Option<&str>, rest: &Rest, out: &mut Vec<u8>) {
    open(out);
    put::text(out, "text", text);
    if thought {
        put::raw(out, "thought", "true");
    }
    close(signature, rest, "", out);
}

/// A call; `arguments` is JSON source, or not.
pub(super) fn call(id: &str, name: &str, arguments: &str, signature: Option<&str>, rest: &Rest, out: &mut Vec<u8>) {
    open(out);
    put::key(out, "functionCall");
    out.push(b'{');
    if !id.is_empty() {
        put::text(out, "id", id);
    }
    put::text(out, "name", name);
    put::key(out, "args");
    args(arguments, out);
    if let Some(inner) = part::inner(rest, "functionCall") {
        put::members(out, inner);
    }
    out.push(b'}');
    close(signature, rest, "functionCall", out);
}

/// Arguments must be an object here; any other text, a truncated one too, is kept whole inside one.
fn args(arguments: &str, out: &mut Vec<u8>) {
    let plain = arguments.trim();
    if plain.is_empty() {
        out.extend_from_slice(b"{}");
    } else if let Some(object) = json::object_source(plain) {
        // Line breaks between members would end the event that the call stands in; inside strings there are none.
        out.extend(object.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    } else {
        out.push(b'{');
        put::text(out, "arguments", arguments);
        out.push(b'}');
    }
}

/// A result: an object as it is, any other text under the name that tells whether it is an error. `media` is written inside.
pub(super) fn result(
    result: &ToolResult,
    name: &str,
    texts: &[&str],
    media: &[&Media],
    losses: &mut Losses,
    out: &mut Vec<u8>,
) {
    open(out);
    put::key(out, "functionResponse");
    out.push(b'{');
    put::text(out, "id", &result.id);
    put::text(out, "name", name);
    put::key(out, "response");
    response(texts, result.error, out);
    if !media.is_empty() {
        put::key(out, "parts");
        out.push(b'[');
        for one in media {
            self::media(one, losses, out);
        }
        out.push(b']');
    }
    if let Some(inner) = part::inner(&result.rest, "functionResponse") {
        put::members(out, inner);
    }
    out.push(b'}');
    close(None, &result.rest, "functionResponse", out);
}

fn response(texts: &[&str], error: bool, out: &mut Vec<u8>) {
    let whole = match texts {
        [one] => std::borrow::Cow::from(*one),
        several => std::borrow::Cow::from(several.join("\n")),
    };
    let plain = whole.trim();
    // An error that is an object without that name would look like a success.
    let says = |object: &[u8]| !error || json::field(object, 0, "error").is_some();
    if let Some(object) = json::object_source(plain).filter(|object| says(object)) {
        out.extend_from_slice(&object);
        return;
    }
    out.push(b'{');
    put::text(out, if error { "error" } else { "result" }, &whole);
    out.push(b'}');
}

/// Whether a source can be said here: a file that another provider stores cannot.
pub(super) fn can_say(media: &Media) -> bool {
    !matches!(&media.source, Source::Id(id) if !part::is_stored(id))
}

pub(super) fn media(media: &Media, losses: &mut Losses, out: &mut Vec<u8>) {
    open(out);
    let mime = media.mime.as_deref();
    let name = match &media.source {
        Source::Inline(data) => inline(mime.or_else(|| by_head(media)), data, out),
        Source::Text(text) => inline(mime.or(Some("text/plain")), &STANDARD.encode(text), out),
        Source::Url(url) => match data_url(url) {
            Some((mime, data)) => inline(Some(mime), data, out),
            None => file(mime.or_else(|| by_ending(url)).or_else(|| by_kind(media.kind)), url, out),
        },
        Source::Id(uri) => file(mime, uri, out),
    };
    if let Some(inner) = part::inner(&media.rest, name) {
        put::members(out, inner);
    }
    out.push(b'}');
    if media.name.is_some() && media.rest.foreign_to(Dialect::Gemini).next().is_some() {
        losses.hint("filename");
    }
    if media.detail.is_some() {
        losses.hint("detail");
    }
    losses.beside(&media.rest, Dialect::Gemini);
    close(None, &media.rest, name, out);
}

fn inline(mime: Option<&str>, data: &str, out: &mut Vec<u8>) -> &'static str {
    put::key(out, "inlineData");
    out.push(b'{');
    put::maybe_text(out, "mimeType", mime);
    put::text(out, "data", data);
    "inlineData"
}

fn file(mime: Option<&str>, uri: &str, out: &mut Vec<u8>) -> &'static str {
    put::key(out, "fileData");
    out.push(b'{');
    put::maybe_text(out, "mimeType", mime);
    put::text(out, "fileUri", uri);
    "fileData"
}

/// `data:image/png;base64,...`
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let mime = head.strip_suffix(";base64")?;
    Some((mime.split(';').next().filter(|mime| !mime.is_empty()).unwrap_or("text/plain"), data))
}

/// Inline data without a type is refused: its first bytes tell it, else what the client called it.
fn by_head(media: &Media) -> Option<&'static str> {
    const HEADS: [(&str, &str); 7] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("JVBERi0", "application/pdf"),
        ("SUQz", "audio/mpeg"),
        ("//", "audio/mpeg"),
        ("T2dnUw", "audio/ogg"),
    ];
    let Source::Inline(data) = &media.source else { return None };
    // The head of RIFF begins both sounds and pictures.
    if data.starts_with("UklGR") {
        return Some(if media.kind == MediaKind::Audio { "audio/wav" } else { "image/webp" });
    }
    let known = HEADS.iter().find(|(head, _)| data.starts_with(head)).map(|(_, mime)| *mime);
    known.or_else(|| by_kind(media.kind))
}

/// The commonest type of a kind; the models look at the data.
fn by_kind(kind: MediaKind) -> Option<&'static str> {
    match kind {
        MediaKind::Image => Some("image/jpeg"),
        MediaKind::Audio => Some("audio/mpeg"),
        MediaKind::Video => Some("video/mp4"),
        MediaKind::File => None,
    }
}

/// The type that a URL's ending names: Vertex wants one, and a client's URL says none.
fn by_ending(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
    const ENDINGS: [(&str, &str); 16] = [
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("heic", "image/heic"),
        ("pdf", "application/pdf"),
        ("txt", "text/plain"),
        ("html", "text/html"),
        ("csv", "text/csv"),
        ("mp3", "audio/mpeg"),
        ("wav", "audio/wav"),
        ("ogg", "audio/ogg"),
        ("mp4", "video/mp4"),
        ("mov", "video/quicktime"),
        ("webm", "video/webm"),
    ];
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, mime)| *mime)
}

/// A part that only Gemini has.
pub(super) fn foreign(value: &Value, out: &mut Vec<u8>) {
    put::comma(out);
    put::value(out, value);
}
