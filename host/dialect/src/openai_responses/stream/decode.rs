//! Reading a provider's stream.
//!
//! Items are known by their `output_index` alone: some providers give an item another id in every event. Whatever an item's events left out
//! is taken from its `done` event, and whatever items had none from the final object, so that each text is told exactly once.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::{count, error, read_reply, take};
use super::small::Small;
use crate::Dialect;
use crate::dialect::Decode;
use crate::failure::Failure;
use crate::hub::{BlockKind, Delta, Finish, Opaque, Part, Rest, State};
use crate::json;

const OWN: Dialect = Dialect::OpenaiResponses;

/// How many items, and how many parts of an item, are told apart.
const MOST: u64 = 1024;

/// Reads the events.
#[derive(Default)]
pub struct Decoder {
    started: bool,
    ended: bool,
    items: BTreeMap<u64, Item>,
    /// The ids of items that were told whole, and how many those are.
    told: HashSet<String>,
    whole: usize,
    /// The number of the next block.
    next: u32,
    calls: usize,
    refused: bool,
}

#[derive(Default)]
struct Item {
    /// What its blocks keep of it, for the writer of this dialect.
    rest: Rest,
    blocks: BTreeMap<Slot, Block>,
    done: bool,
}

/// The place of a text in its item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Summary(u64),
    Content(u64),
    Arguments,
}

struct Block {
    number: u32,
    /// How much of its text was told, in bytes.
    told: usize,
    citations: usize,
    logprobs: bool,
    open: bool,
}

/// What a block of an item is.
#[derive(Clone, Copy)]
enum Says {
    Text,
    Refusal,
    Thought,
}

impl Decode for Decoder {
    fn event(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) {
        if self.ended || (self.started && self.delta(event, data, out)) {
            return;
        }
        let Some(Value::Object(mut map)) = json::tree(data) else {
            return self.fail(
                Failure::bad_gateway("invalid_event", "The provider's stream has an event that is not JSON."),
                out,
            );
        };
        let kind = take::string(&mut map, "type");
        let kind = kind.as_deref().or_else(|| std::str::from_utf8(event?).ok()).unwrap_or_default();
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                let response = take::object(&mut map, "response").unwrap_or_default();
                return self.start(&response, out);
            }
            "error" => return self.fail(error::from_event(data), out),
            "keepalive" => return out.push(Delta::Ping),
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                let response = take::object(&mut map, "response").unwrap_or_default();
                return self.finish(kind, response, out);
            }
            // Some servers send an error as chat does.
            "" if map.get("error").is_some_and(|error| !error.is_null()) => {
                return self.fail(error::from_event(data), out);
            }
            _ => {}
        }
        self.start(&Map::new(), out);
        let at = index(&map, "output_index").or_else(|| self.items.keys().next_back().copied()).unwrap_or(0);
        if at < MOST {
            self.step(kind, at, map, out);
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if !self.ended {
            let message = "The provider broke off before the reply was complete.";
            self.fail(Failure::bad_gateway("stream_truncated", message), out);
        }
    }
}

fn index(map: &Map<String, Value>, name: &str) -> Option<u64> {
    map.get(name)?.as_u64()
}

impl Decoder {
    /// Takes the event if it is a plain delta; says whether it was.
    fn delta(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) -> bool {
        let Some(small) = Small::of(event, data).filter(|small| small.output_index < MOST) else { return false };
        let (content, summary) =
            (Slot::Content(small.content_index.min(MOST)), Slot::Summary(small.summary_index.min(MOST)));
        let (slot, says) = match &*small.kind {
            "response.output_text.delta" => (content, Says::Text),
            "response.reasoning_text.delta" => (content, Says::Thought),
            "response.reasoning_summary_text.delta" => (summary, Says::Thought),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(small.output_index, small.delta.into_owned(), out);
                return true;
            }
            _ => return false,
        };
        self.say(small.output_index, slot, says, Some(small.delta.into_owned()), out);
        true
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Delta>) {
        self.ended = true;
        out.push(Delta::Failed(Box::new(failure)));
    }

    fn start(&mut self, response: &Map<String, Value>, out: &mut Vec<Delta>) {
        if self.started {
            return;
        }
        self.started = true;
        let text = |name: &str| response.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, model) = (text("id"), text("model"));
        out.push(Delta::Start { id, model, created: read_reply::created(response), rest: Rest::default() });
    }

    /// An event of an item.
    fn step(&mut self, kind: &str, at: u64, mut map: Map<String, Value>, out: &mut Vec<Delta>) {
        let content = Slot::Content(index(&map, "content_index").unwrap_or(0).min(MOST));
        let summary = Slot::Summary(index(&map, "summary_index").unwrap_or(0).min(MOST));
        match kind {
            "response.output_item.added" => {
                let item = take::object(&mut map, "item").unwrap_or_default();
                self.added(at, item, out);
            }
            "response.output_item.done" => {
                let item = take::object(&mut map, "item").unwrap_or_default();
                self.done(at, item, out);
            }
            "response.content_part.added"
            | "response.reasoning_part.added"
            | "response.reasoning_summary_part.added" => {
                let part = take::object(&mut map, "part").unwrap_or_default();
                let slot = if kind == "response.reasoning_summary_part.added" { summary } else { content };
                self.part(at, slot, part, out);
            }
            "response.content_part.done" | "response.reasoning_part.done" | "response.reasoning_summary_part.done" => {
                let part = take::object(&mut map, "part").unwrap_or_default();
                let slot = if kind == "response.reasoning_summary_part.done" { summary } else { content };
                self.part(at, slot, part, out);
                // A thought stays open: its item may bring state.
                if kind == "response.content_part.done" {
                    self.close_text(at, slot, out);
                }
            }
            "response.output_text.delta" => {
                let logprobs = take::list(&mut map, "logprobs");
                self.say(at, content, Says::Text, take::string(&mut map, "delta"), out);
                self.logprobs(at, content, logprobs, out);
            }
            "response.output_text.annotation.added" => {
                self.say(at, content, Says::Text, None, out);
                if let Some(annotation) = take::any(&mut map, "annotation") {
                    self.cite(at, content, annotation, out);
                }
            }
            "response.output_text.done" => self.rest(at, content, Says::Text, take::string(&mut map, "text"), out),
            "response.refusal.delta" => self.say(at, content, Says::Refusal, take::string(&mut map, "delta"), out),
            "response.refusal.done" => self.rest(at, content, Says::Refusal, take::string(&mut map, "refusal"), out),
            "response.reasoning_text.delta" => {
                self.say(at, content, Says::Thought, take::string(&mut map, "delta"), out);
            }
            "response.reasoning_text.done" => {
                self.rest(at, content, Says::Thought, take::string(&mut map, "text"), out);
            }
            "response.reasoning_summary_text.delta" => {
                self.say(at, summary, Says::Thought, take::string(&mut map, "delta"), out);
            }
            "response.reasoning_summary_text.done" => {
                self.rest(at, summary, Says::Thought, take::string(&mut map, "text"), out);
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(at, take::string(&mut map, "delta").unwrap_or_default(), out);
            }
            "response.function_call_arguments.done" => {
                self.arguments_rest(at, map.shift_remove("arguments").map(take::source), out);
            }
            "response.custom_tool_call_input.done" => self.arguments_rest(at, take::string(&mut map, "input"), out),
            _ => {}
        }
    }

    /// A call begins at once; other items with their first part, or whole.
    fn added(&mut self, at: u64, item: Map<String, Value>, out: &mut Vec<Delta>) {
        // A server that numbers all items alike begins another one here.
        if self.items.get(&at).is_some_and(|known| !known.done) {
            return;
        }
        self.items.insert(at, Item { rest: read_reply::kept(&item), ..Item::default() });
        if is_call(&item) {
            self.call(at, item, out);
        }
    }

    fn call(&mut self, at: u64, item: Map<String, Value>, out: &mut Vec<Delta>) {
        let mut call = read_reply::call(item);
        if call.id.is_empty() {
            call.id = format!("call_{}", self.calls);
        }
        self.calls += 1;
        let kind = BlockKind::Call {
            id: call.id,
            name: call.name,
            custom: call.custom,
            namespace: call.namespace,
            rest: call.rest,
        };
        self.open(at, Slot::Arguments, kind, out);
        self.arguments(at, call.arguments, out);
    }

    fn open(&mut self, at: u64, slot: Slot, kind: BlockKind, out: &mut Vec<Delta>) -> u32 {
        let number = self.next;
        self.next += 1;
        let block = Block { number, told: 0, citations: 0, logprobs: false, open: true };
        self.items.entry(at).or_default().blocks.insert(slot, block);
        out.push(Delta::Open { choice: 0, block: number, kind });
        number
    }

    fn block(&mut self, at: u64, slot: Slot) -> Option<&mut Block> {
        self.items.get_mut(&at)?.blocks.get_mut(&slot)
    }

    /// Opens the block of the slot unless it is known, then adds text to it.
    fn say(&mut self, at: u64, slot: Slot, says: Says, text: Option<String>, out: &mut Vec<Delta>) {
        if self.items.get(&at).is_some_and(|item| item.done) {
            return;
        }
        if self.block(at, slot).is_none() {
            let rest = self.items.get(&at).map(|item| item.rest.clone()).unwrap_or_default();
            let kind = match says {
                Says::Text => BlockKind::Text { rest },
                Says::Refusal => {
                    self.refused = true;
                    BlockKind::Refusal
                }
                Says::Thought => {
                    // The state comes with the last thought of the item alone.
                    self.close(at, out);
                    BlockKind::Reasoning { summary: matches!(slot, Slot::Summary(_)), rest }
                }
            };
            self.open(at, slot, kind, out);
        }
        self.add(at, slot, text.unwrap_or_default(), out);
    }

    fn add(&mut self, at: u64, slot: Slot, text: String, out: &mut Vec<Delta>) {
        if let Some(block) = self.block(at, slot)
            && !text.is_empty()
        {
            block.told += text.len();
            out.push(Delta::Text { choice: 0, block: block.number, text });
        }
    }

    /// The whole text of a slot: what of it was not told yet.
    fn rest(&mut self, at: u64, slot: Slot, says: Says, whole: Option<String>, out: &mut Vec<Delta>) {
        let whole = whole.unwrap_or_default();
        // An empty thought is none.
        if whole.is_empty() && matches!(says, Says::Thought) {
            return;
        }
        let told = self.block(at, slot).map_or(0, |block| block.told);
        self.say(at, slot, says, whole.get(told..).map(str::to_owned), out);
    }

    fn arguments(&mut self, at: u64, text: String, out: &mut Vec<Delta>) {
        // A call without a beginning is begun by its `done` event.
        self.add(at, Slot::Arguments, text, out);
    }

    fn arguments_rest(&mut self, at: u64, whole: Option<String>, out: &mut Vec<Delta>) {
        let Some(told) = self.block(at, Slot::Arguments).map(|block| block.told) else { return };
        let left = whole.as_deref().and_then(|whole| whole.get(told..)).unwrap_or_default().to_owned();
        self.add(at, Slot::Arguments, left, out);
    }

    fn logprobs(&mut self, at: u64, slot: Slot, logprobs: Vec<Value>, out: &mut Vec<Delta>) {
        if let Some(block) = self.block(at, slot)
            && !logprobs.is_empty()
        {
            block.logprobs = true;
            out.push(Delta::Logprobs { choice: 0, logprobs: json!({"content": logprobs, "refusal": null}) });
        }
    }

    fn cite(&mut self, at: u64, slot: Slot, citation: Value, out: &mut Vec<Delta>) {
        if let Some(block) = self.block(at, slot) {
            block.citations += 1;
            out.push(Delta::Citation { choice: 0, block: block.number, dialect: OWN, citation });
        }
    }

    /// A part of an item, as it begins or as it ended.
    fn part(&mut self, at: u64, slot: Slot, mut part: Map<String, Value>, out: &mut Vec<Delta>) {
        let kind = take::string(&mut part, "type").unwrap_or_default();
        match kind.as_str() {
            "refusal" => self.rest(at, slot, Says::Refusal, take::string(&mut part, "refusal"), out),
            "reasoning_text" | "summary_text" => {
                self.rest(at, slot, Says::Thought, take::string(&mut part, "text"), out);
            }
            "output_text" | "text" | "" => {
                let text = take::string(&mut part, "text");
                if kind.is_empty() && text.is_none() {
                    return;
                }
                self.rest(at, slot, Says::Text, text, out);
                let known = self.block(at, slot).map_or(0, |block| block.citations);
                for citation in take::list(&mut part, "annotations").into_iter().skip(known) {
                    self.cite(at, slot, citation, out);
                }
                if self.block(at, slot).is_some_and(|block| !block.logprobs) {
                    let logprobs = take::list(&mut part, "logprobs");
                    self.logprobs(at, slot, logprobs, out);
                }
            }
            _ => {
                // Something new: whole, once it is.
                if self.items.get(&at).is_some_and(|item| !item.done) && self.block(at, slot).is_none() {
                    part.insert("type".to_owned(), Value::String(kind));
                    self.open(at, slot, BlockKind::Foreign(OWN, Value::Object(part)), out);
                }
            }
        }
    }

    fn close_text(&mut self, at: u64, slot: Slot, out: &mut Vec<Delta>) {
        if let Some(block) = self.block(at, slot)
            && std::mem::take(&mut block.open)
        {
            out.push(Delta::Close { choice: 0, block: block.number });
        }
    }

    /// Closes what is open of the item.
    fn close(&mut self, at: u64, out: &mut Vec<Delta>) {
        let blocks = self.items.get_mut(&at).into_iter().flat_map(|item| item.blocks.values_mut());
        let mut open: Vec<u32> =
            blocks.filter_map(|block| std::mem::take(&mut block.open).then_some(block.number)).collect();
        open.sort_unstable();
        out.extend(open.into_iter().map(|block| Delta::Close { choice: 0, block }));
    }

    /// A whole item: what was not told of it yet.
    fn done(&mut self, at: u64, mut item: Map<String, Value>, out: &mut Vec<Delta>) {
        let known = self.items.entry(at).or_insert_with(|| Item { rest: read_reply::kept(&item), ..Item::default() });
        if known.done {
            return;
        }
        self.whole += 1;
        if let Some(id) = item.get("id").and_then(Value::as_str).filter(|_| self.told.len() < MOST as usize) {
            self.told.insert(id.to_owned());
        }
        match item.get("type").and_then(Value::as_str) {
            Some("message") => {
                let parts = take::list(&mut item, "content");
                let slots = self.slots(at, Slot::Content, parts.len());
                for (slot, part) in slots.into_iter().zip(parts) {
                    if let Value::Object(part) = part {
                        self.part(at, slot, part, out);
                        self.close_text(at, slot, out);
                    }
                }
            }
            Some("reasoning") => self.thought(at, item, out),
            Some("function_call" | "custom_tool_call") => {
                if self.block(at, Slot::Arguments).is_none() {
                    self.call(at, item, out);
                } else {
                    let whole = ["arguments", "input"].iter().find_map(|name| item.shift_remove(*name));
                    self.arguments_rest(at, whole.map(take::source), out);
                }
            }
            // An item without a type says nothing.
            None => {}
            Some(_) => {
                let kind = match read_reply::whole(item) {
                    Part::Media(media) => BlockKind::Media(media),
                    Part::Foreign(dialect, value) => BlockKind::Foreign(dialect, value),
                    _ => return,
                };
                self.open(at, Slot::Content(0), kind, out);
            }
        }
        self.close(at, out);
        if let Some(item) = self.items.get_mut(&at) {
            item.done = true;
        }
    }

    /// The places of the parts of a whole item. Some servers count texts over all items, so a part is the one that came at its turn.
    fn slots(&self, at: u64, slot: fn(u64) -> Slot, count: usize) -> Vec<Slot> {
        let same = |known: &&Slot| {
            matches!((slot(0), **known), (Slot::Summary(_), Slot::Summary(_)) | (Slot::Content(_), Slot::Content(_)))
        };
        let known = self.items.get(&at).into_iter().flat_map(|item| item.blocks.keys()).filter(same).copied();
        known.chain((MOST + 1..).map(slot)).take(count.min(MOST as usize)).collect()
    }

    fn thought(&mut self, at: u64, mut item: Map<String, Value>, out: &mut Vec<Delta>) {
        let id = take::word(&mut item, "id");
        let state = take::word(&mut item, "encrypted_content");
        for (name, slot) in [("summary", Slot::Summary as fn(u64) -> Slot), ("content", Slot::Content)] {
            let parts = take::list(&mut item, name);
            let slots = self.slots(at, slot, parts.len());
            for (slot, part) in slots.into_iter().zip(parts) {
                if let Value::Object(mut part) = part {
                    self.rest(at, slot, Says::Thought, take::string(&mut part, "text"), out);
                }
            }
        }
        let Some(state) = state else { return };
        let opaque = Opaque::read(OWN, &state, |data| State::Encrypted { data: data.to_owned(), id });
        let blocks = self.items.get(&at).map(|item| &item.blocks);
        let last = blocks.and_then(|blocks| blocks.values().map(|block| block.number).max());
        let block = last.unwrap_or_else(|| {
            let rest = self.items.get(&at).map(|item| item.rest.clone()).unwrap_or_default();
            let kind = BlockKind::Reasoning { summary: false, rest };
            self.open(at, Slot::Summary(0), kind, out)
        });
        out.push(Delta::Opaque { choice: 0, block, opaque });
    }

    /// The end: items that had no events of their own, what was counted, and how it ended.
    fn finish(&mut self, kind: &str, mut response: Map<String, Value>, out: &mut Vec<Delta>) {
        self.start(&response, out);
        let usage = response.get("usage").and_then(count::read);
        let failed = response.get("status").and_then(Value::as_str) == Some("failed");
        if kind == "response.failed" || failed {
            out.extend(usage.map(Delta::Usage));
            return self.fail(error::from_response(&Value::Object(response)), out);
        }
        let items = take::list(&mut response, "output");
        let missing = self.whole < items.len();
        for (at, item) in (0..MOST).zip(items).filter(|_| missing) {
            let known = item.get("id").and_then(Value::as_str).is_some_and(|id| self.told.contains(id));
            if let (Value::Object(item), false) = (item, known) {
                self.done(at, item, out);
            }
        }
        let open: Vec<u64> = self.items.keys().copied().collect();
        for at in open {
            self.close(at, out);
        }
        let mut end = read_reply::end(&response);
        if kind == "response.incomplete" && end.is_none() {
            end = Some(Finish::Cut);
        }
        let finish = read_reply::settled(end, self.calls > 0, self.refused);
        out.push(Delta::Finish { choice: 0, finish, stop_sequence: None, rest: Rest::default() });
        out.extend(usage.map(Delta::Usage));
        out.push(Delta::Done);
        self.ended = true;
    }
}

fn is_call(item: &Map<String, Value>) -> bool {
    matches!(item.get("type").and_then(Value::as_str), Some("function_call" | "custom_tool_call"))
}
