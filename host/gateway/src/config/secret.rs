//! A text that must not be printed: provider keys, tokens, passwords.
//!
//! This is the type, how a written secret (`env:NAME`, `file:PATH`, a literal) becomes one, and how two are compared. It does not store
//! secrets and does not decide who may read them.

use std::fmt::{self, Write as _};
use std::path::Path;

use aws_lc_rs::{constant_time, digest};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use super::input::Input;

/// A secret file longer than this is not a secret but a wrong path.
const LONGEST_FILE: u64 = 64 * 1024;

/// A secret's text. `Debug`, `Display` and `Serialize` give `[secret]`; the memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: String) -> Self {
        Secret(SecretString::from(text))
    }

    /// The text itself, for the few places that cannot do without: who needs less of it has a method here.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Its SHA-256, which may be kept and compared.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.expose().as_bytes())
    }

    /// Whether it can travel as a key in a header: without blanks, line breaks and anything outside ASCII.
    pub fn fits_header(&self) -> bool {
        self.expose().bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// As a header's value that is never logged or compressed; `None` where no header can carry it.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether `presented` is this secret, in a time that depends on neither text.
    pub fn is(&self, presented: &[u8]) -> bool {
        // Digests, because comparing the texts would tell their lengths apart.
        constant_time::verify_slices_are_equal(&self.digest(), &sha256(presented)).is_ok()
    }
}

/// In a time that depends on neither text.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.is(other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

/// The SHA-256 digest under which client keys are kept and compared.
pub fn sha256(text: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // The digest of this algorithm always has 32 bytes, so the two lengths agree.
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, text).as_ref()) {
        *to = *from;
    }
    out
}

/// Two lower-case hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where a secret's text came from; decides warnings and default names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Environment(String),
    File,
    Literal,
}

/// Reads the secret that `written` stands for; relative paths are relative to `dir`. A file that is read is noted in `inputs`.
///
/// # Errors
/// Names the variable or the file, never a literal or a content.
pub(super) fn read(
    written: &str,
    dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    inputs: &mut Vec<Input>,
) -> Result<(Secret, Source), String> {
    if let Some(name) = written.strip_prefix("env:") {
        let name = name.trim();
        return match env(name) {
            None => Err(format!("environment variable {name} is not set")),
            Some(text) if text.trim().is_empty() => Err(format!("environment variable {name} is empty")),
            Some(text) => Ok((Secret::new(text.trim().to_owned()), Source::Environment(name.to_owned()))),
        };
    }
    if let Some(path) = written.strip_prefix("file:") {
        let path = dir.join(path.trim());
        let text = read_file(&path, inputs)
            .map_err(|error| format!("cannot read the secret file {}: {error}", path.display()))?;
        return Ok((Secret::new(text), Source::File));
    }
    if written.trim().is_empty() {
        return Err("the secret is empty".to_owned());
    }
    Ok((Secret::new(written.to_owned()), Source::Literal))
}

fn read_file(path: &Path, inputs: &mut Vec<Input>) -> Result<String, String> {
    let (input, content) = Input::read(path, LONGEST_FILE);
    inputs.push(input);
    let content = content.map_err(|error| error.to_string())?;
    let mut text = String::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.len() as u64 > LONGEST_FILE {
        return Err("longer than 64 KiB".to_owned());
    }
    let trimmed = text.trim_end_matches(['\r', '\n']);
    if trimmed.is_empty() {
        return Err("the file is empty".to_owned());
    }
    text.truncate(trimmed.len());
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_the_text() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:#?}", Some(&secret)).matches("hunter2").count(), 0);
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[secret]\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn comparison_is_of_the_whole_text() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(secret.is(b"hunter2"));
        assert!(!secret.is(b"hunter") && !secret.is(b"hunter22") && !secret.is(b""));
    }

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
