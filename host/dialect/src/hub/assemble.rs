//! Gathering a stream into the whole reply that it tells.

use std::collections::BTreeMap;

use super::{BlockKind, Call, Choice, Delta, Finish, Part, Reasoning, Reply, Rest, Text};
use crate::failure::{Blame, Failure};

/// What each block and each delta without text count towards the cap.
const NODE: usize = 64;

/// Takes deltas, gives the reply.
#[derive(Debug)]
pub struct Assembler {
    max: usize,
    held: usize,
    reply: Reply,
    choices: BTreeMap<u32, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    parts: BTreeMap<u32, Part>,
    finish: Option<Finish>,
    stop_sequence: Option<String>,
    logprobs: Option<serde_json::Value>,
    rest: Rest,
}

impl Assembler {
    /// `max`: how much may be held, in bytes of text and a little for what is around it.
    pub fn new(max: usize) -> Assembler {
        Assembler { max, held: 0, reply: Reply::default(), choices: BTreeMap::new() }
    }

    /// Takes the next step.
    ///
    /// # Errors
    /// A provider's failure inside the stream, and a reply over the cap.
    pub fn push(&mut self, delta: Delta) -> Result<(), Failure> {
        self.held += match &delta {
            Delta::Text { text, .. } => text.len(),
            Delta::Foreign(_, value) => NODE + value.to_string().len(),
            _ => NODE,
        };
        if self.held > self.max {
            let message = "The reply is too long to be held for a plugin that reads whole replies.";
            return Err(Failure::new(Blame::Gateway, 502, "server_error", "reply_too_large", message)
                .with_detail(format!("more than {} bytes held", self.max)));
        }
        match delta {
            Delta::Start { id, model, created, rest } => {
                self.reply.id = id;
                self.reply.model = model;
                self.reply.created = created;
                self.reply.rest = rest;
            }
            Delta::Open { choice, block, kind } => {
                self.choice(choice).parts.insert(block, begin(kind));
            }
            Delta::Text { choice, block, text } => {
                if let Some(part) = self.choice(choice).parts.get_mut(&block) {
                    grow(part, &text);
                }
            }
            Delta::Opaque { choice, block, opaque } => match self.choice(choice).parts.get_mut(&block) {
                Some(Part::Reasoning(reasoning)) => reasoning.opaque = Some(opaque),
                Some(Part::Text(text)) => text.opaque = Some(opaque),
                Some(Part::Call(call)) => call.opaque = Some(opaque),
                _ => {}
            },
            Delta::Citation { choice, block, dialect, citation } => {
                if let Some(Part::Text(text)) = self.choice(choice).parts.get_mut(&block) {
                    text.citations.get_or_insert_with(|| (dialect, Vec::new())).1.push(citation);
                }
            }
            Delta::Logprobs { choice, logprobs } => add_logprobs(&mut self.choice(choice).logprobs, logprobs),
            Delta::Finish { choice, finish, stop_sequence, rest } => {
                let choice = self.choice(choice);
                choice.finish = Some(finish);
                choice.stop_sequence = stop_sequence;
                choice.rest = rest;
            }
            Delta::Usage(usage) => self.reply.usage = Some(usage),
            Delta::Failed(failure) => return Err(*failure),
            Delta::Foreign(..) | Delta::Close { .. } | Delta::Ping | Delta::Done => {}
        }
        Ok(())
    }

    /// The reply as far as it was told. A choice without a reason was cut.
    pub fn finish(self) -> Reply {
        let Assembler { mut reply, choices, .. } = self;
        reply.choices = choices
            .into_iter()
            .map(|(index, gathered)| Choice {
                index,
                parts: gathered.parts.into_values().collect(),
                finish: gathered.finish.unwrap_or(Finish::Cut),
                stop_sequence: gathered.stop_sequence,
                logprobs: gathered.logprobs,
                rest: gathered.rest,
            })
            .collect();
        reply
    }

    fn choice(&mut self, index: u32) -> &mut Gathered {
        self.choices.entry(index).or_default()
    }
}

fn begin(kind: BlockKind) -> Part {
    match kind {
        BlockKind::Text { rest } => Part::Text(Text { rest, ..Text::default() }),
        BlockKind::Reasoning { summary, rest } => Part::Reasoning(Reasoning { summary, rest, ..Reasoning::default() }),
        BlockKind::Refusal => Part::Refusal(String::new()),
        BlockKind::Call { id, name, custom, namespace, rest } => {
            Part::Call(Call { id, name, custom, namespace, rest, ..Call::default() })
        }
        BlockKind::Media(media) => Part::Media(media),
        BlockKind::Foreign(dialect, value) => Part::Foreign(dialect, value),
    }
}

fn grow(part: &mut Part, text: &str) {
    match part {
        Part::Text(whole) => whole.text.push_str(text),
        Part::Reasoning(reasoning) => reasoning.text.push_str(text),
        Part::Refusal(whole) => whole.push_str(text),
        Part::Call(call) => call.arguments.push_str(text),
        Part::Media(_) | Part::Result(_) | Part::Foreign(..) => {}
    }
}

/// The lists of both are joined.
fn add_logprobs(whole: &mut Option<serde_json::Value>, more: serde_json::Value) {
    use serde_json::Value;
    let (Some(Value::Object(whole)), Value::Object(more)) = (whole.as_mut(), &more) else {
        *whole = Some(more);
        return;
    };
    for (name, value) in more {
        match (whole.get_mut(name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
            _ => {
                whole.insert(name.clone(), value.clone());
            }
        }
    }
}
