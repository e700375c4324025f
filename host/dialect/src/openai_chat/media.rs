//! Images, sounds, films and files in the forms that contents of this format have for them.

use serde_json::{Map, Value, json};

use super::{OWN, take};
use crate::hub::{Media, MediaKind, Part, Rest, Source, Text};

/// The part as media, or the part again.
pub(super) fn part(mut part: Map<String, Value>) -> Result<Media, Map<String, Value>> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (member, kind) = match kind.as_str() {
        "image_url" | "input_image" => ("image_url", MediaKind::Image),
        "video_url" => ("video_url", MediaKind::Video),
        "audio_url" => ("audio_url", MediaKind::Audio),
        "input_audio" => ("input_audio", MediaKind::Audio),
        "document_url" => ("document_url", MediaKind::File),
        "file" | "input_file" => ("file", MediaKind::File),
        _ => return Err(part),
    };
    let Some(mut inner) = inner(&mut part, member) else { return Err(part) };
    let Some((source, mime)) = source(&mut inner, member) else {
        part.insert(member.to_owned(), Value::Object(inner));
        return Err(part);
    };
    part.shift_remove("type");
    let name = take::text(&mut inner, "filename").or_else(|| take::text(&mut part, "document_name"));
    let format = take::text(&mut inner, "format").map(|format| mime_of(&format, kind));
    let detail = take::text(&mut inner, "detail").or_else(|| take::text(&mut part, "detail"));
    let inner = take::left(inner);
    if !inner.is_empty() {
        part.insert(member.to_owned(), Value::Object(inner));
    }
    let mime = mime.or(format).or_else(|| name.as_deref().and_then(by_name));
    let mime = mime.or_else(|| if kind == MediaKind::Audio { by_content(&source) } else { None });
    Ok(Media { kind, source, mime, name, detail, rest: Rest::new(OWN, take::left(part)) })
}

/// What the part's own member holds; a bare address counts as `{"url": ...}`, and a file's members may stand in the part itself.
fn inner(part: &mut Map<String, Value>, member: &str) -> Option<Map<String, Value>> {
    match part.shift_remove(member) {
        Some(Value::Object(inner)) => Some(inner),
        Some(Value::String(text)) => {
            // Mistral takes sounds as bare base64 here, and as addresses.
            let bare = member == "input_audio" && !is_address(&text) && !text.starts_with("data:");
            Some(Map::from_iter([(if bare { "data" } else { "url" }.to_owned(), Value::String(text))]))
        }
        Some(other) => {
            part.insert(member.to_owned(), other);
            None
        }
        None => {
            const FLAT: [&str; 4] = ["file_id", "file_data", "file_url", "filename"];
            let flat = FLAT.iter().filter_map(|name| Some(((*name).to_owned(), part.shift_remove(*name)?)));
            Some(flat.collect::<Map<_, _>>()).filter(|flat| !flat.is_empty())
        }
    }
}

fn source(inner: &mut Map<String, Value>, member: &str) -> Option<(Source, Option<String>)> {
    if let Some(id) = take::text(inner, "file_id") {
        return Some((Source::Id(id), None));
    }
    if let Some(url) = take::text(inner, "url").or_else(|| take::text(inner, "file_url")) {
        return Some(from_url(url));
    }
    let data = take::text(inner, "file_data").or_else(|| take::text(inner, "data"))?;
    if data.starts_with("data:") || (member != "input_audio" && is_address(&data)) {
        return Some(from_url(data));
    }
    Some((Source::Inline(data), None))
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// A `data:` address is inline media; any other is an address.
fn from_url(url: String) -> (Source, Option<String>) {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((mime, data)) => {
            let mime = mime.split(';').next().filter(|mime| !mime.is_empty());
            (Source::Inline(data.to_owned()), mime.map(str::to_owned))
        }
        None => (Source::Url(url), None),
    }
}

fn mime_of(format: &str, kind: MediaKind) -> String {
    match (kind, format) {
        (_, format) if format.contains('/') => format.to_owned(),
        (MediaKind::Audio, "mp3") => "audio/mpeg".to_owned(),
        (MediaKind::Audio, format) => format!("audio/{format}"),
        (MediaKind::Image, format) => format!("image/{format}"),
        (MediaKind::Video, format) => format!("video/{format}"),
        (MediaKind::File, format) => format!("application/{format}"),
    }
}

/// The type that a sound's first bytes tell.
fn by_content(source: &Source) -> Option<String> {
    // Base64 of what the formats begin with: a frame of MP3 or its tags, RIFF, Ogg, FLAC.
    const BEGINNINGS: [(&str, &str); 5] = [
        ("//", "audio/mpeg"),
        ("SUQz", "audio/mpeg"),
        ("UklGR", "audio/wav"),
        ("T2dnUw", "audio/ogg"),
        ("ZkxhQw", "audio/flac"),
    ];
    let Source::Inline(data) = source else { return None };
    BEGINNINGS.iter().find(|(beginning, _)| data.starts_with(beginning)).map(|(_, mime)| (*mime).to_owned())
}

/// The type that a file's name tells.
fn by_name(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let mime = match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "json" => "application/json",
        _ => return None,
    };
    Some(mime.to_owned())
}

/// An answer that was spoken: what it says is its text, and the sound stands beside.
pub(super) fn spoken(mut audio: Map<String, Value>, out: &mut Vec<Part>) {
    let data = take::text(&mut audio, "data").unwrap_or_default();
    if let Some(transcript) = take::text(&mut audio, "transcript").filter(|text| !text.is_empty()) {
        out.push(Part::Text(Text::of(transcript)));
    }
    if !data.is_empty() {
        let rest = Rest::new(OWN, take::left(audio));
        let source = Source::Inline(data);
        out.push(Part::Media(Media { kind: MediaKind::Audio, source, mime: None, name: None, detail: None, rest }));
    }
}

/// The part that says it in this format; `None` where the format has none for it.
pub(super) fn write(media: &Media) -> Option<Value> {
    let mime = |or: &str| media.mime.as_deref().unwrap_or(or).to_owned();
    let mut part = match (media.kind, &media.source) {
        (MediaKind::Image | MediaKind::Video | MediaKind::Audio, Source::Url(url)) => {
            let member = match media.kind {
                MediaKind::Image => "image_url",
                MediaKind::Video => "video_url",
                _ => "audio_url",
            };
            json!({"type": member, member: {"url": url}})
        }
        (MediaKind::Image, Source::Inline(data)) => {
            json!({"type": "image_url", "image_url": {"url": format!("data:{};base64,{data}", mime("image/png"))}})
        }
        (MediaKind::Video, Source::Inline(data)) => {
            json!({"type": "video_url", "video_url": {"url": format!("data:{};base64,{data}", mime("video/mp4"))}})
        }
        (MediaKind::Audio, Source::Inline(data)) => {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": sound(media.mime.as_deref())}})
        }
        (MediaKind::File, Source::Inline(data)) => {
            let mime = mime("application/pdf");
            let name = media.name.clone().unwrap_or_else(|| file_name(&mime));
            json!({"type": "file", "file": {"filename": name, "file_data": format!("data:{mime};base64,{data}")}})
        }
        (MediaKind::File, Source::Url(url)) => match &media.name {
            Some(name) => json!({"type": "file", "file": {"filename": name, "file_data": url}}),
            None => json!({"type": "file", "file": {"file_data": url}}),
        },
        (MediaKind::File, Source::Id(id)) => json!({"type": "file", "file": {"file_id": id}}),
        (_, Source::Text(text)) => json!({"type": "text", "text": text}),
        (_, Source::Id(_)) => return None,
    };
    if let (Some(detail), Some(Value::Object(image))) = (&media.detail, part.get_mut("image_url")) {
        image.insert("detail".to_owned(), Value::String(detail.clone()));
    }
    if let Value::Object(part) = &mut part {
        for (name, value) in media.rest.of(OWN) {
            match (part.get_mut(name), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more.clone()),
                _ => {
                    part.insert(name.clone(), value.clone());
                }
            }
        }
    }
    Some(part)
}

/// `wav` and `mp3` are all that OpenAI knows; other words are for those who know more.
fn sound(mime: Option<&str>) -> &str {
    match mime.map_or("wav", |mime| mime.strip_prefix("audio/").unwrap_or(mime)) {
        "mpeg" | "mp3" => "mp3",
        "x-wav" | "wave" | "vnd.wave" | "wav" => "wav",
        other => other,
    }
}

/// A name for a file that has none: the format wants one.
fn file_name(mime: &str) -> String {
    let extension = match mime {
        "application/pdf" => "pdf",
        "text/html" => "html",
        "text/markdown" => "md",
        "text/csv" => "csv",
        "application/json" => "json",
        _ => "txt",
    };
    format!("file.{extension}")
}
