//! The model in a multipart form, where OpenAI's uploads of audio and pictures name it. Nothing else of the form is read.

use std::ops::Range;

use memchr::memmem;

/// How much of a form's start is searched for each part's head; heads are short.
const HEAD: usize = 1024;

/// The value of the field `model`, and where it stands. `None` where there is no such field or it is not plain text; a form that has it
/// twice has none, since readers disagree on which one counts.
pub(super) fn model(body: &[u8], content_type: &str) -> Option<(Range<usize>, String)> {
    let boundary = boundary(content_type)?;
    let mark = [b"--", boundary.as_bytes()].concat();
    let mut found = None;
    for at in memmem::find_iter(body, &mark) {
        let start = at + mark.len();
        let part = body.get(start..)?;
        let head_end = memmem::find(part.get(..part.len().min(HEAD)).unwrap_or_default(), b"\r\n\r\n");
        let Some(head_end) = head_end else { continue };
        let head = String::from_utf8_lossy(part.get(..head_end).unwrap_or_default()).to_ascii_lowercase();
        if !head.contains("name=\"model\"") && !head.contains("name=model") {
            continue;
        }
        let from = start + head_end + 4;
        let rest = body.get(from..)?;
        let end = memmem::find(rest, &[b"\r\n", mark.as_slice()].concat())?;
        let value = std::str::from_utf8(rest.get(..end)?).ok()?;
        if found.is_some() || value.len() > 512 || value.chars().any(char::is_control) {
            return None;
        }
        found = Some((from..from + end, value.to_owned()));
    }
    found
}

fn boundary(content_type: &str) -> Option<&str> {
    let kind = content_type.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let at = content_type.to_ascii_lowercase().find("boundary=")? + "boundary=".len();
    let value = content_type.get(at..)?.split(';').next()?.trim().trim_matches('"');
    (!value.is_empty() && value.len() <= 200).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=x9";

    #[test]
    fn the_model_is_found_among_files_and_only_once() {
        let part = |name: &str, value: &str| {
            format!("--x9\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = part("file", "name=\"model\"\r\n\r\nnot this");
        let whole = format!("{file}{}{}--x9--\r\n", part("model", "openai/whisper-1"), part("language", "en"));
        let (range, name) = model(whole.as_bytes(), KIND).unwrap();
        assert_eq!((name.as_str(), whole.get(range)), ("openai/whisper-1", Some("openai/whisper-1")));
        let twice = format!("{}{}--x9--\r\n", part("model", "a"), part("model", "b"));
        assert!(model(twice.as_bytes(), KIND).is_none());
        assert!(model(file.as_bytes(), KIND).is_none() && model(whole.as_bytes(), "application/json").is_none());
        assert!(model(b"--x9", KIND).is_none() && model(b"", "multipart/form-data").is_none());
    }
}
