//! The full look at an event, for hooks: every text, everything that repeats one, and the places to rewrite.

use std::ops::Range;

use super::glance::{is_finish, is_null, is_text};
use super::loose::{Loose, Source, is_event_fact};
use super::{Choice, Event, Mend, NotJson, Place, Repeat, Slot};
use crate::json;
use crate::openai_chat::parts;
use crate::text::{Kind, walk};

/// Finds what hooks read and what an edit has to touch. A member that stands twice counts twice, so that a client which takes the last one
/// reads nothing that no hook has seen.
pub fn analyse(data: &[u8]) -> Result<Event, NotJson> {
    json::validate(data).map_err(NotJson::Syntax)?;
    let start = walk::blank(data, 0);
    if data.get(start) != Some(&b'{') {
        return Err(NotJson::NotObject);
    }
    let mut scan = Scan { data, event: Event::default(), loose: Vec::new(), top: Vec::new() };
    walk::members(data, start, |key, at| match &*json::name(data, &key) {
        b"choices" => {
            let mut position = 0;
            walk::items(data, at, |object| {
                position += 1;
                scan.choice(object, position - 1)
            })
        }
        b"usage" => {
            let value = json::value(data, at)?;
            scan.event.usage |= !is_null(data, &value);
            Some(value.end)
        }
        b"error" => {
            let value = json::value(data, at)?;
            scan.event.error |= !is_null(data, &value);
            scan.top_member(b"error", at)
        }
        fact if is_event_fact(fact) => walk::pass(data, at),
        other => scan.top_member(other, at),
    });
    scan.settle_top();
    Ok(scan.event)
}

/// How many texts of a choice are looked at for one that says the same. A copy past them is a text of its own, which is as safe.
pub(super) const COMPARED: usize = 8;

/// How many members of a delta are looked at for one that a message repeats. Past them the message is taken for unread, which is as safe.
const MEMBERS_COMPARED: usize = 64;

/// What has to wait until all members of a choice were seen.
#[derive(Default)]
struct Later {
    index: Option<u32>,
    delta: Option<usize>,
    role: bool,
    message: Option<Range<usize>>,
    text: Option<Range<usize>>,
    logprobs: Option<Range<usize>>,
    finish: Option<Range<usize>>,
}

pub(super) struct Scan<'a> {
    pub(super) data: &'a [u8],
    pub(super) event: Event,
    /// Undescribed strings of the choice in hand, and of the event around the choices.
    pub(super) loose: Vec<Loose>,
    pub(super) top: Vec<Loose>,
}

impl Scan<'_> {
    fn choice(&mut self, object: usize, position: u32) -> Option<usize> {
        let data = self.data;
        let (first, first_repeat) = (self.event.slots.len(), self.event.repeats.len());
        let mut later = Later::default();
        let end = walk::members(data, object, |key, at| {
            let key = json::name(data, &key);
            if &*key == b"delta" && data.get(at) == Some(&b'{') {
                later.delta = Some(at);
                return self.delta(at, &mut later.role);
            }
            let value = json::value(data, at)?;
            let end = value.end;
            if !is_null(data, &value) {
                match &*key {
                    b"index" => later.index = number(data, &value),
                    b"message" => later.message = Some(value),
                    b"text" if data.get(at) == Some(&b'"') => later.text = Some(value),
                    b"logprobs" => later.logprobs = Some(value),
                    b"finish_reason" => later.finish = Some(value).filter(|value| is_finish(data, value)),
                    b"token_ids" => self.repeat(None, value, Mend::Null, false),
                    other if parts::is_choice_fact(other) => {}
                    _ => self.collect(Source::of(Kind::Other), value),
                }
            }
            Some(end)
        })?;
        self.beside_delta(&mut later, first);
        self.settle(first);
        let index = later.index.unwrap_or(position);
        self.event.slots.iter_mut().skip(first).for_each(|slot| slot.choice = index);
        self.event.repeats.iter_mut().skip(first_repeat).for_each(|repeat| repeat.choice = index);
        self.event.choices.push(Choice { index, object: object..end, finish: later.finish, role: later.role });
        Some(end)
    }

    /// What stands beside `delta` is a copy of it. Where there is no delta, `message` is read in its place, and `text` where nothing says the
    /// same.
    fn beside_delta(&mut self, later: &mut Later, first: usize) {
        let data = self.data;
        if let Some(message) = later.message.take() {
            match later.delta {
                Some(delta) => self.message(message, delta),
                None => {
                    self.delta(message.start, &mut later.role);
                }
            }
        }
        if let Some(text) = later.text.take().filter(|text| is_text(data, text)) {
            match self.twin(&text, first, Kind::Text) {
                Some(slot) => self.repeat(Some(Kind::Text), text, Mend::Follow(slot), false),
                None => self.slot(Kind::Text, Place::ChoiceText, text),
            }
        }
        if let Some(logprobs) = later.logprobs.take() {
            let brings_text = self.event.slots.iter().skip(first).any(Slot::has_text);
            let unread = !brings_text && lists_tokens(data, logprobs.start);
            self.repeat(None, logprobs, Mend::Null, unread);
        }
    }

    /// A message beside a delta: what it says besides its role must stand in the delta too, or be the text so far.
    fn message(&mut self, range: Range<usize>, delta: usize) {
        let data = self.data;
        let (mut unread, mut says) = (data.get(range.start) != Some(&b'{'), None);
        walk::members(data, range.start, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            let key = json::name(data, &key);
            let bytes = data.get(value.clone()).unwrap_or_default();
            let twin = || {
                json::object(data, delta)
                    .into_iter()
                    .flatten()
                    .take(MEMBERS_COMPARED)
                    .any(|member| *json::name(data, &member.key) == *key && data.get(member.value) == Some(bytes))
            };
            let known = &*key == b"role" || matches!(bytes, b"null" | b"\"\"" | b"[]" | b"{}") || twin();
            if !known && &*key == b"content" && bytes.first() == Some(&b'"') && says.is_none() {
                says = Some(value);
            } else {
                unread |= !known;
            }
            Some(end)
        });
        self.event.repeats.push(Repeat {
            choice: 0,
            kind: None,
            range,
            mend: Mend::Message,
            unread,
            says,
            outside: false,
        });
    }

    fn delta(&mut self, at: usize, role: &mut bool) -> Option<usize> {
        let data = self.data;
        let first = self.event.slots.len();
        let mut details = Vec::new();
        let end = walk::members(data, at, |key, at| match (&*json::name(data, &key), data.get(at)?) {
            (b"content", b'"') => self.member("content", Kind::Text, at, first),
            (b"content", b'[') => walk::items(data, at, |part| self.part(part)),
            (b"content", b'{') => self.strings(Source { all: true, ..Source::of(Kind::Text) }, at),
            (b"refusal", b'"') => self.member("refusal", Kind::Refusal, at, first),
            (b"reasoning_content", b'"') => self.member("reasoning_content", Kind::Reasoning, at, first),
            (b"reasoning", b'"') => self.member("reasoning", Kind::Reasoning, at, first),
            (b"reasoning_text", b'"') => self.member("reasoning_text", Kind::Reasoning, at, first),
            (b"thinking", b'"') => self.member("thinking", Kind::Reasoning, at, first),
            (b"tool_calls", b'[') => {
                let mut position = 0;
                walk::items(data, at, |call| {
                    position += 1;
                    self.tool_call(call, position - 1)
                })
            }
            (b"function_call", b'{') => self.function(at, Place::FunctionCall, b"arguments", None),
            (b"audio", b'{') => self.audio(at),
            (b"reasoning_details", b'[') => {
                details.push(at);
                walk::pass(data, at)
            }
            (other, byte) => {
                *role |= other == b"role" && *byte == b'"';
                self.delta_member(other, at)
            }
        });
        for details in details {
            self.details(details, first);
        }
        end
    }

    fn member(&mut self, name: &'static str, kind: Kind, at: usize, first: usize) -> Option<usize> {
        let literal = json::value(self.data, at)?;
        let end = literal.end;
        if literal.len() > 2 {
            let twin = if kind == Kind::Reasoning { self.twin(&literal, first, kind) } else { None };
            match twin {
                Some(slot) => self.repeat(Some(kind), literal, Mend::Follow(slot), false),
                None => self.slot(kind, Place::Member(name), literal),
            }
        }
        Some(end)
    }

    /// An item of a `content` list.
    fn part(&mut self, at: usize) -> Option<usize> {
        let data = self.data;
        if data.get(at) != Some(&b'{') {
            return self.strings(Source::of(Kind::Text), at);
        }
        walk::members(data, at, |key, inside| {
            let name = json::name(data, &key);
            if &*name == b"thinking" && data.get(inside) == Some(&b'[') {
                return walk::items(data, inside, |inner| self.part_of_thinking(inner));
            }
            let value = json::value(data, inside)?;
            let end = value.end;
            match &*name {
                b"text" if is_text(data, &value) => self.slot(Kind::Text, Place::Part, value),
                b"refusal" if is_text(data, &value) => self.slot(Kind::Refusal, Place::Member("refusal"), value),
                b"thinking" if is_text(data, &value) => self.slot(Kind::Reasoning, Place::Thinking, value),
                b"image_url" => self.event.content = true,
                other if self.may_say(other, &value) => self.collect(Source::of(parts::part_kind(data, at)), value),
                _ => {}
            }
            Some(end)
        })
    }

    fn part_of_thinking(&mut self, at: usize) -> Option<usize> {
        let data = self.data;
        if data.get(at) != Some(&b'{') {
            return self.strings(Source::of(Kind::Reasoning), at);
        }
        walk::members(data, at, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            let key = json::name(data, &key);
            if &*key == b"text" && is_text(data, &value) {
                self.slot(Kind::Reasoning, Place::Thinking, value);
            } else if self.may_say(&key, &value) {
                self.collect(Source::of(Kind::Reasoning), value);
            }
            Some(end)
        })
    }

    fn tool_call(&mut self, at: usize, position: u32) -> Option<usize> {
        let data = self.data;
        let (mut index, mut id) = (None, None);
        let mut bodies = [None, None];
        let end = walk::members(data, at, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            match &*json::name(data, &key) {
                b"index" => index = number(data, &value),
                b"id" => id = Some(value).filter(|id| is_text(data, id)),
                b"function" => bodies[0] = Some(at),
                b"custom" => bodies[1] = Some(at),
                _ => {}
            }
            Some(end)
        });
        for (custom, body) in [false, true].into_iter().zip(bodies) {
            if let Some(body) = body {
                let place = Place::Tool { index: index.unwrap_or(position), indexed: index.is_some(), custom };
                self.function(body, place, if custom { b"input" } else { b"arguments" }, id.clone());
            }
        }
        end
    }

    /// A tool's name and arguments. Empty arguments are noted too: they must not leave where their call may not. Strings of arguments that
    /// are no string but an object are not appended to each other by any client, so each is undescribed.
    fn function(&mut self, at: usize, place: Place, text: &[u8], id: Option<Range<usize>>) -> Option<usize> {
        let data = self.data;
        let mut called = None;
        let mut literal = None;
        let mut others = Vec::new();
        let end = walk::members(data, at, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            let key = json::name(data, &key);
            if &*key == b"name" && is_text(data, &value) {
                called = Some(value);
            } else if &*key == text && data.get(at) == Some(&b'"') {
                if let Some(earlier) = literal.replace(value).filter(|earlier| is_text(data, earlier)) {
                    self.slot(Kind::ToolArguments, place, earlier);
                }
            } else if matches!(&*key, b"arguments" | b"input") {
                others.push(value);
            }
            Some(end)
        });
        for value in others {
            self.collect(Source { all: true, name: called.clone(), ..Source::of(Kind::ToolArguments) }, value);
        }
        self.event.content |= called.is_some() || literal.as_ref().is_some_and(|literal| is_text(data, literal));
        if called.is_some() || literal.is_some() {
            self.event.slots.push(Slot { choice: 0, kind: Kind::ToolArguments, place, literal, name: called, id });
        }
        end
    }

    fn audio(&mut self, at: usize) -> Option<usize> {
        let data = self.data;
        walk::members(data, at, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            match &*json::name(data, &key) {
                b"transcript" if is_text(data, &value) => self.slot(Kind::Text, Place::Transcript, value),
                b"data" if is_text(data, &value) => {
                    self.event.content = true;
                    self.repeat(Some(Kind::Text), value, Mend::Empty, false);
                }
                _ => {}
            }
            Some(end)
        })
    }

    /// Texts of `reasoning_details`: copies where a reasoning text stands beside them and says the same, else texts of their own.
    fn details(&mut self, at: usize, first: usize) {
        let data = self.data;
        let mut literals: Vec<(&'static str, Range<usize>)> = Vec::new();
        walk::items(data, at, |item| {
            if data.get(item) != Some(&b'{') {
                return self.strings(Source::of(Kind::Reasoning), item);
            }
            walk::members(data, item, |key, at| {
                let value = json::value(data, at)?;
                let end = value.end;
                let key = json::name(data, &key);
                self.event.content |= &*key == b"data" && is_text(data, &value);
                match &*key {
                    b"text" if is_text(data, &value) => literals.push(("text", value)),
                    b"summary" if is_text(data, &value) => literals.push(("summary", value)),
                    other if self.may_say(other, &value) => self.collect(Source::of(Kind::Reasoning), value),
                    _ => {}
                }
                Some(end)
            })
        });
        let repeats_joined = literals.len() > 1 && self.repeats_joined(&literals, first);
        for (name, literal) in literals {
            match self.twin(&literal, first, Kind::Reasoning) {
                Some(slot) => self.repeat(Some(Kind::Reasoning), literal, Mend::Follow(slot), false),
                None if repeats_joined => self.repeat(Some(Kind::Reasoning), literal, Mend::Empty, false),
                None => self.slot(Kind::Reasoning, Place::Detail(name), literal),
            }
        }
    }

    /// Whether the details, one after the other, are exactly one of the reasoning texts since `first`.
    fn repeats_joined(&self, literals: &[(&'static str, Range<usize>)], first: usize) -> bool {
        let mut joined = String::new();
        let read = literals.iter().all(|(_, literal)| json::append_string(self.data, literal.clone(), &mut joined));
        read && self.event.slots.iter().skip(first).take(COMPARED).any(|slot| {
            let text = slot.literal.clone().and_then(|literal| json::string(self.data, literal));
            slot.kind == Kind::Reasoning && text.is_some_and(|text| text == joined)
        })
    }

    /// The slot since `first` of that kind which says exactly the same.
    fn twin(&self, literal: &Range<usize>, first: usize, kind: Kind) -> Option<usize> {
        let same = |slot: &Slot| {
            let Some(other) = slot.literal.clone().filter(|_| slot.kind == kind) else { return false };
            self.data.get(other.clone()) == self.data.get(literal.clone())
                || json::string(self.data, other) == json::string(self.data, literal.clone())
        };
        self.event.slots.iter().skip(first).take(COMPARED).position(same).map(|position| first + position)
    }

    /// The choice is filled in when its index is known.
    fn slot(&mut self, kind: Kind, place: Place, literal: Range<usize>) {
        self.event.content = true;
        self.event.slots.push(Slot { choice: 0, kind, place, literal: Some(literal), name: None, id: None });
    }

    fn repeat(&mut self, kind: Option<Kind>, range: Range<usize>, mend: Mend, unread: bool) {
        self.event.repeats.push(Repeat { choice: 0, kind, range, mend, unread, says: None, outside: false });
    }
}

fn number(data: &[u8], range: &Range<usize>) -> Option<u32> {
    std::str::from_utf8(data.get(range.clone())?).ok()?.parse().ok()
}

/// Whether token probabilities are there, in whatever list a provider keeps them.
fn lists_tokens(data: &[u8], logprobs: usize) -> bool {
    json::object(data, logprobs)
        .into_iter()
        .flatten()
        .any(|member| json::array(data, member.value.start).into_iter().flatten().next().is_some())
}
