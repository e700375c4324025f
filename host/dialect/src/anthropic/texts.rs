//! Where the texts of content blocks are: the same in requests and replies.
//!
//! Names, identifiers, signatures and encoded media are not texts. A block of an unknown type and an unknown member are looked through for
//! strings, so that what is new is not a way around a guard; a type only names the kind of a text and never hides one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::json;
use crate::text::{self, Kind, Piece, Role, TextMap, Visit, walk};

/// Members whose strings name, number, sign or encode something and are not language.
fn is_machine(key: &[u8]) -> bool {
    matches!(
        key,
        b"type"
            | b"id"
            | b"role"
            | b"name"
            | b"tool_use_id"
            | b"tool_name"
            | b"server_name"
            | b"signature"
            | b"media_type"
            | b"file_id"
            | b"cache_control"
            | b"caller"
            | b"model"
            | b"encrypted_content"
            | b"encrypted_index"
            | b"encrypted_stdout"
            | b"error_code"
            | b"page_age"
            | b"retrieved_at"
    )
}

/// Whether the string literal is long and begins like base64: media, ciphertext.
fn is_encoded(bytes: &[u8], literal: &Range<usize>) -> bool {
    const HEAD: usize = 256;
    let inner = bytes.get(literal.start + 1..literal.end.saturating_sub(1)).unwrap_or_default();
    let encoded = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    inner.len() > HEAD && inner.iter().take(HEAD).all(encoded)
}

/// Finds the texts of contents.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    pub(super) map: TextMap,
    /// The id of a call to the literal of the tool's name.
    tools: HashMap<Cow<'a, str>, Range<usize>>,
}

/// What a block says of all of its texts.
#[derive(Default)]
struct Head {
    kind: Option<Range<usize>>,
    id: Option<Range<usize>>,
    call: Option<Range<usize>>,
    name: Option<Range<usize>>,
    input: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, map: TextMap::default(), tools: HashMap::new() }
    }

    pub(super) fn done(self) -> TextMap {
        self.map
    }

    /// A `content`: a string, a list of blocks and strings, or one block.
    pub(super) fn content(&mut self, value: Range<usize>, role: Role, kind: Kind) {
        match self.bytes.get(value.start) {
            Some(b'"') => {
                self.map.push(self.bytes, role, kind, 0, value);
            }
            Some(b'[') => {
                let bytes = self.bytes;
                walk::items(bytes, value.start, |at| match bytes.get(at) {
                    Some(b'{') => self.block(at, role),
                    _ => {
                        let value = json::value(bytes, at)?;
                        let end = value.end;
                        self.loose(value, role, kind);
                        Some(end)
                    }
                });
            }
            Some(b'{') => {
                self.block(value.start, role);
            }
            _ => {}
        }
    }

    /// Every string inside the value but those of machine members; a value that is a string counts itself.
    pub(super) fn loose(&mut self, value: Range<usize>, role: Role, kind: Kind) {
        let bytes = self.bytes;
        let visit = |key: &str, at: usize| match key {
            "data" if json::value(bytes, at).is_some_and(|value| is_encoded(bytes, &value)) => Visit::Skip,
            key if is_machine(key.as_bytes()) => Visit::Skip,
            _ => Visit::Take,
        };
        let map = &mut self.map;
        text::strings(bytes, value, true, visit, |literal| {
            map.push(bytes, role, kind, 0, literal);
        });
    }

    /// Members come in any order and may come twice: what the block is and whose it is is known at the end only.
    fn block(&mut self, at: usize, role: Role) -> Option<usize> {
        let bytes = self.bytes;
        let first = self.map.pieces.len();
        let mut head = Head::default();
        let end = walk::members(bytes, at, |key, at| {
            let value = json::value(bytes, at)?;
            let end = value.end;
            self.member(&json::name(bytes, &key), value, role, &mut head);
            Some(end)
        });
        self.settle(first, &head, role);
        end
    }

    fn member(&mut self, key: &[u8], value: Range<usize>, role: Role, head: &mut Head) {
        let bytes = self.bytes;
        match key {
            b"type" => head.kind = Some(value),
            b"id" => head.id = Some(value),
            b"tool_use_id" => head.call = Some(value),
            b"name" => head.name = Some(value).filter(|value| bytes.get(value.start) == Some(&b'"')),
            b"text" => {
                if !self.map.push(bytes, role, Kind::Text, 0, value.clone()) {
                    self.loose(value, role, Kind::Text);
                }
            }
            b"thinking" => self.loose(value, role, Kind::Reasoning),
            b"input" => {
                head.input = true;
                self.map.push_all(bytes, role, Kind::ToolArguments, value);
            }
            b"source" => self.source(value, role),
            b"data" if is_encoded(bytes, &value) => {}
            key if is_machine(key) => {}
            _ => self.loose(value, role, Kind::Other),
        }
    }

    /// Where a document or an image comes from. A document given as text is text, whatever its first letters look like.
    fn source(&mut self, value: Range<usize>, role: Role) {
        let bytes = self.bytes;
        let written = json::object(bytes, value.start).into_iter().flatten().any(|member| {
            member.is(bytes, "type") && bytes.get(member.value.clone()) == Some(b"\"text\"")
                || member.is(bytes, "media_type")
                    && bytes.get(member.value.clone()).is_some_and(|mime| mime.starts_with(b"\"text/"))
        });
        if !written {
            return self.loose(value, role, Kind::Other);
        }
        for member in json::object(bytes, value.start).into_iter().flatten() {
            if member.is(bytes, "data") {
                self.map.push(bytes, role, Kind::Other, 0, member.value);
            } else if !is_machine(&json::name(bytes, &member.key)) {
                self.loose(member.value, role, Kind::Other);
            }
        }
    }

    fn settle(&mut self, first: usize, head: &Head, role: Role) {
        let bytes = self.bytes;
        let kind = head.kind.clone().and_then(|literal| json::string(bytes, literal)).unwrap_or_default();
        let pieces = self.map.pieces.get_mut(first..).unwrap_or_default();
        if head.input || kind.ends_with("tool_use") {
            let Some(name) = &head.name else { return };
            let mut any = false;
            for piece in pieces.iter_mut().filter(|piece| piece.kind == Kind::ToolArguments) {
                piece.tool_name = Some(name.clone());
                any = true;
            }
            if !any {
                // A call without texts is still a call: whoever judges tools by name must meet it.
                let (kind, literal, tool_name) = (Kind::ToolArguments, name.clone(), Some(name.clone()));
                self.map.pieces.push(Piece { role, kind, choice: 0, literal, tool_name });
            }
            if let Some(id) = head.id.clone().and_then(|id| json::string(bytes, id)) {
                self.tools.insert(id, name.clone());
            }
        } else if kind.ends_with("tool_result") {
            let id = head.call.clone().and_then(|id| json::string(bytes, id));
            let tool = id.and_then(|id| self.tools.get(&id).cloned());
            for piece in pieces {
                piece.role = Role::Tool;
                piece.kind = Kind::ToolResult;
                piece.tool_name.clone_from(&tool);
            }
        } else if !matches!(&*kind, "" | "text" | "thinking") {
            pieces.iter_mut().for_each(|piece| piece.kind = Kind::Other);
        }
    }
}
