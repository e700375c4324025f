//! A document that hooks read and edit: the original bytes, their text map, and a journal of edits.
//!
//! Nothing is parsed until somebody reads, and an untouched document commits to the very same bytes. Text edits are a journal of (piece, new
//! text) over the base bytes; structural edits fold the journal into new base bytes. Every read sees every earlier edit. It knows no
//! dialect: the scan comes from outside. It does not judge whether an edit makes sense to a provider, only that the result is JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::json;
use crate::text::{self, Copy, Kind, Mend, Piece, TextMap};

mod merge;
mod splice;

pub(crate) use merge::carried;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

/// Why an edit cannot be made; the document is as it was. For the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditError(pub String);

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EditError {}

/// Finds the texts of a document.
pub type ScanFn = fn(&[u8]) -> TextMap;

/// Another form in which pointers speak of a document: it is made when somebody asks, and an edit of it comes back into the document's own.
#[derive(Clone, Copy)]
pub struct Form {
    /// The bytes in that form; `None` where they cannot be said in it.
    pub canonical: fn(&[u8]) -> Option<Bytes>,
    /// The original bytes with what the edited form says; `None` where they cannot say it.
    pub restore: fn(original: &[u8], edited: &[u8]) -> Option<Bytes>,
}

/// New texts by piece index, each as a JSON string literal.
type Journal = BTreeMap<usize, Bytes>;

#[derive(Clone)]
pub struct Document {
    base: Bytes,
    scan: ScanFn,
    max: usize,
    map: OnceLock<TextMap>,
    journal: Journal,
    /// By how many bytes the journal and what repeats it lengthen the base; emptied copies are not counted.
    grown: isize,
    /// The base differs from the original bytes.
    folded: bool,
    /// Base and journal as one, for reads of an edited document.
    spliced: OnceLock<Bytes>,
    form: Option<Form>,
    /// What is current, in that form.
    shown: OnceLock<Option<Bytes>>,
}

/// A state to return to. Cheap while nothing was edited.
#[derive(Clone)]
pub struct Checkpoint {
    base: Bytes,
    journal: Journal,
    grown: isize,
    folded: bool,
}

impl Document {
    /// `base` must be valid JSON; `max` is the largest size in bytes that edits may grow it to.
    pub fn new(base: Bytes, scan: ScanFn, max: usize) -> Document {
        Document {
            base,
            scan,
            max,
            map: OnceLock::new(),
            journal: Journal::new(),
            grown: 0,
            folded: false,
            spliced: OnceLock::new(),
            form: None,
            shown: OnceLock::new(),
        }
    }

    /// A document whose pointers speak another form than its bytes: [`Document::get`], [`Document::set`], [`Document::insert`] and
    /// [`Document::remove`] go by that form; pieces and what is committed are of the bytes.
    pub fn translated(base: Bytes, scan: ScanFn, form: Form, max: usize) -> Document {
        Document { form: Some(form), ..Document::new(base, scan, max) }
    }

    /// The pieces; their ranges lie in the bytes before unfolded edits, so only this type may use them. Structural edits renumber them.
    pub fn pieces(&self) -> &[Piece] {
        &self.map().pieces
    }

    /// All texts, joined as by [`text::joined`].
    pub fn joined(&self) -> String {
        if self.journal.is_empty() {
            return text::joined(&self.base, self.map());
        }
        let mut out = String::with_capacity(self.base.len());
        for (index, piece) in self.pieces().iter().enumerate() {
            if index > 0 {
                out.push(text::SEPARATOR);
            }
            let start = out.len();
            match self.journal.get(&index) {
                Some(literal) => json::append_string(literal, 0..literal.len(), &mut out),
                None => json::append_string(&self.base, piece.literal.clone(), &mut out),
            };
            text::hide_separators(&mut out, start);
        }
        out
    }

    /// The text of a piece.
    pub fn text(&self, index: usize) -> Option<Cow<'_, str>> {
        let piece = self.pieces().get(index)?;
        match self.journal.get(&index) {
            Some(literal) => json::string(literal, 0..literal.len()),
            None => json::string(&self.base, piece.literal.clone()),
        }
    }

    /// The tool of a piece of tool arguments or of a tool's result.
    pub fn tool_name(&self, index: usize) -> Option<Cow<'_, str>> {
        json::string(&self.base, self.pieces().get(index)?.tool_name.clone()?)
    }

    /// The JSON at an RFC 6901 pointer.
    pub fn get(&self, pointer: &str) -> Option<&str> {
        let bytes = self.pointed()?;
        std::str::from_utf8(bytes.get(json::pointer(bytes, pointer)?)?).ok()
    }

    /// What pointers speak of.
    fn pointed(&self) -> Option<&Bytes> {
        match self.form {
            None => Some(self.current()),
            Some(form) => self.shown.get_or_init(|| (form.canonical)(self.current())).as_ref(),
        }
    }

    /// Replaces the text of a piece; every place that repeats it follows or is emptied. The text it already has is no edit.
    pub fn set_text(&mut self, index: usize, text: &str) -> Result<(), EditError> {
        let Some(piece) = self.pieces().get(index) else {
            return Err(EditError(format!("there is no piece {index}, only {}", self.pieces().len())));
        };
        if self.text(index).is_some_and(|now| now == text) {
            return Ok(());
        }
        let original = piece.literal.clone();
        let mut literal = Vec::new();
        if json::string(&self.base, original.clone()).is_none_or(|original| original != text) {
            json::quote(text, &mut literal);
        }
        let old = self.journal.get(&index).map_or(original.len(), Bytes::len);
        let new = if literal.is_empty() { original.len() } else { literal.len() };
        let copies = &self.map().copies;
        let places = 1 + copies.iter().filter(|copy| copy.how == Mend::Repeat(index)).count();
        let grown =
            self.grown.saturating_add(difference(new, old).saturating_mul(isize::try_from(places).unwrap_or(1)));
        let size = self.base.len().saturating_add_signed(grown);
        if size > self.max && new > old {
            return Err(self.too_large(size));
        }
        if literal.is_empty() {
            self.journal.remove(&index);
        } else {
            self.journal.insert(index, Bytes::from(literal));
        }
        self.grown = grown;
        self.spliced.take();
        self.shown.take();
        Ok(())
    }

    /// Puts a JSON value where the pointer says: over the one there, or as a new member of an object that exists.
    pub fn set(&mut self, pointer: &str, value: &str) -> Result<(), EditError> {
        let value = splice::checked(value)?;
        self.rewrite(|bytes| splice::set(bytes, pointer, value))
    }

    /// Puts a JSON value into an array before the index that ends the pointer; `-` appends.
    pub fn insert(&mut self, pointer: &str, value: &str) -> Result<(), EditError> {
        let value = splice::checked(value)?;
        self.rewrite(|bytes| splice::insert(bytes, pointer, value))
    }

    /// Takes out a member or an element.
    pub fn remove(&mut self, pointer: &str) -> Result<(), EditError> {
        self.rewrite(|bytes| splice::remove(bytes, pointer))
    }

    /// Remembers the state, for [`Document::rollback`].
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { base: self.base.clone(), journal: self.journal.clone(), grown: self.grown, folded: self.folded }
    }

    /// Forgets every edit since that checkpoint of this document.
    pub fn rollback(&mut self, to: Checkpoint) {
        let same_base = self.base.as_ptr() == to.base.as_ptr() && self.base.len() == to.base.len();
        if !same_base {
            self.map.take();
        }
        self.spliced.take();
        self.shown.take();
        self.base = to.base;
        self.journal = to.journal;
        self.grown = to.grown;
        self.folded = to.folded;
    }

    /// Whether anything differs from the original bytes.
    pub fn edited(&self) -> bool {
        self.folded || !self.journal.is_empty()
    }

    /// The document with its edits. Everything not edited keeps its bytes; without an edit these are the original `Bytes`, not a copy.
    pub fn commit(&self) -> Bytes {
        self.current().clone()
    }

    fn map(&self) -> &TextMap {
        self.map.get_or_init(|| (self.scan)(&self.base))
    }

    fn current(&self) -> &Bytes {
        if self.journal.is_empty() {
            return &self.base;
        }
        self.spliced.get_or_init(|| splice::apply(&self.base, &self.replacements()))
    }

    /// What the journal and the copies that follow it replace, by place and without overlaps.
    fn replacements(&self) -> Vec<(Range<usize>, &[u8])> {
        let map = self.map();
        let mut edited = Vec::with_capacity(self.journal.len());
        let mut stale = HashSet::new();
        for (index, new) in &self.journal {
            if let Some(piece) = map.pieces.get(*index) {
                edited.push((piece.literal.clone(), &new[..]));
                stale.insert((piece.choice, piece.kind));
                stale.insert((piece.choice, Kind::Other));
            }
        }
        edited.extend(map.copies.iter().filter_map(|copy| Some((copy.range.clone(), self.mended(copy, &stale)?))));
        edited.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
        let mut end = 0;
        edited.retain(|(range, _)| {
            let free = range.start >= end;
            end = if free { range.end } else { end };
            free
        });
        edited
    }

    /// What a copy becomes, if an edited piece of its choice and kind makes it stale.
    fn mended(&self, copy: &Copy, stale: &HashSet<(u32, Kind)>) -> Option<&[u8]> {
        match copy.how {
            Mend::Repeat(source) => self.journal.get(&source).map(|literal| &literal[..]),
            Mend::Null => stale.contains(&(copy.choice, copy.kind)).then_some(b"null"),
            Mend::Empty => stale.contains(&(copy.choice, copy.kind)).then_some(b"\"\""),
        }
    }

    fn rewrite(&mut self, edit: impl FnOnce(&Bytes) -> Result<Vec<u8>, EditError>) -> Result<(), EditError> {
        let Some(pointed) = self.pointed() else {
            return Err(EditError("the document cannot be shown in the canonical form".to_owned()));
        };
        let edited = edit(pointed)?;
        let new = match self.form {
            None => Bytes::from(edited),
            Some(form) => (form.restore)(self.current(), &edited)
                .ok_or_else(|| EditError("the client's format cannot say this: nothing was changed".to_owned()))?,
        };
        if new.len() > self.max && new.len() > self.base.len() {
            return Err(self.too_large(new.len()));
        }
        self.base = new;
        self.journal.clear();
        self.grown = 0;
        self.folded = true;
        self.map.take();
        self.spliced.take();
        self.shown.take();
        Ok(())
    }

    fn too_large(&self, size: usize) -> EditError {
        EditError(format!("the document would grow to {size} bytes; at most {} are allowed", self.max))
    }
}

fn difference(new: usize, old: usize) -> isize {
    isize::try_from(new).unwrap_or(isize::MAX).saturating_sub_unsigned(old)
}
