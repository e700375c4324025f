//! Rust sources as the house rules look at them: with comments and texts blanked, and without test code. Not a parser: it knows just
//! enough of the language not to be fooled by words in strings, comments and tests.

use std::path::Path;

use crate::python_client::root;

#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Comments, strings and characters are blank; lines are where they were.
    pub(crate) stripped: String,
    /// That, without test modules; empty for a test file.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let stripped = strip(text);
        let mut source = Source { path: path.to_owned(), text: text.to_owned(), code: String::new(), stripped };
        if !source.is_test() {
            source.code = without_tests(&source.stripped);
        }
        source
    }

    /// Compiled for tests only, by its name or place.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let tests = self.path.starts_with("tests/") || self.path.contains("/tests/");
        tests || name == "tests.rs" || name.ends_with("_tests.rs")
    }

    /// Whether the code of `line` (from 1) stands under an `#[expect(... reason = ...)]`: on it, or on the function around it.
    pub(crate) fn excused(&self, line: usize) -> bool {
        let before: Vec<&str> = self.text.lines().take(line).collect();
        let Some(expect) = before.iter().rposition(|line| line.contains("#[expect(clippy::")) else { return false };
        let attribute = before[expect..].join("\n");
        let Some(end) = attribute.find(")]") else { return false };
        let reasoned = attribute[..end].contains("reason = \"");
        // A later function ends what the attribute covers.
        let functions = before[expect..].iter().filter(|line| line.contains("fn ") && line.contains('(')).count();
        reasoned && functions <= 1
    }
}

/// All sources of the repository.
pub(crate) fn sources() -> Vec<Source> {
    let root = root();
    let mut out = Vec::new();
    for folder in ["host", "sdk", "plugins", "tests"] {
        collect(&root, &root.join(folder), &mut out);
    }
    out
}

fn collect(root: &Path, folder: &Path, out: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                collect(root, &path, out);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // A file may be renamed away by an editor while the tests run.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            out.push(Source::new(&name, &text));
        }
    }
}

/// Blanks comments, strings and characters; keeps every line end.
fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = token(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, string or character that begins at `at`; `at` where none does.
fn token(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => at + chars[at..].iter().take_while(|c| **c != '\n').count(),
        '/' if next(1) == '*' => block_comment(chars, at),
        '"' => quoted(chars, at + 1),
        'r' if !word_before || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) == '"' { raw(chars, at + 2 + hashes, hashes) } else { at }
        }
        // A lifetime has no closing quote behind one character.
        '\'' if next(1) == '\\' => at + 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn quoted(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw(chars: &[char], from: usize, hashes: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        let closes = chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// Blanks each item under `#[cfg(test)]` to its closing brace, or to its semicolon.
fn without_tests(stripped: &str) -> String {
    let mut out = stripped.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let mut depth = 0i32;
        let mut end = out.len();
        // Brackets of further attributes come before the item's own brace or semicolon.
        for (at, c) in out[start..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                end = start + at + 1;
                break;
            }
        }
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

#[test]
fn texts_comments_and_tests_are_not_code() {
    let text = r##"//! hidden1
use a; // hidden2
/* hidden3 /* hidden4 */ hidden5 */ fn b<'a>(x: &'a str) -> char { y("hidden6 \" hidden7", r#"hidden8 " hidden9"#); '"' }
const C: char = '\''; const D: &[u8] = br"hidden10";
#[cfg(test)]
#[allow(clippy::x)]
mod tests { fn hidden11() { "}" } }
#[cfg(test)]
mod hidden12;
fn shown() {}
"##;
    let source = Source::new("host/a/src/b.rs", text);
    assert!(!source.code.contains("hidden"), "{}", source.code);
    for word in ["use a;", "fn b<'a>(x: &'a str)", "const D", "fn shown"] {
        assert!(source.code.contains(word), "{word}: {}", source.code);
    }
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert!(source.stripped.contains("hidden11"));
    assert!(Source::new("host/a/src/x_tests.rs", text).code.is_empty());
}
