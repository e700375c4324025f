//! A whole reply told as a stream: for a plugin's answer and for a reply that was held.

use super::{BlockKind, Choice, Delta, Part, Reply};

/// The steps of the reply, choice by choice, with [`Delta::Done`] at the end.
pub fn tell(reply: &Reply) -> Vec<Delta> {
    let mut out = vec![Delta::Start {
        id: reply.id.clone(),
        model: reply.model.clone(),
        created: reply.created,
        rest: reply.rest.clone(),
    }];
    for choice in &reply.choices {
        for (block, part) in (0..).zip(&choice.parts) {
            tell_part(choice.index, block, part, &mut out);
            if let (Part::Text(_), Some(logprobs)) = (part, &choice.logprobs) {
                let told =
                    out.iter().any(|delta| matches!(delta, Delta::Logprobs { choice: of, .. } if *of == choice.index));
                if !told {
                    out.push(Delta::Logprobs { choice: choice.index, logprobs: logprobs.clone() });
                }
            }
            out.push(Delta::Close { choice: choice.index, block });
        }
    }
    for Choice { index, finish, stop_sequence, rest, .. } in &reply.choices {
        let (finish, stop_sequence, rest) = (finish.clone(), stop_sequence.clone(), rest.clone());
        out.push(Delta::Finish { choice: *index, finish, stop_sequence, rest });
    }
    out.extend(reply.usage.map(Delta::Usage));
    out.push(Delta::Done);
    out
}

fn tell_part(choice: u32, block: u32, part: &Part, out: &mut Vec<Delta>) {
    let kind = match part {
        Part::Text(text) => BlockKind::Text { rest: text.rest.clone() },
        Part::Reasoning(thought) => BlockKind::Reasoning { summary: thought.summary, rest: thought.rest.clone() },
        Part::Refusal(_) => BlockKind::Refusal,
        Part::Call(call) => BlockKind::Call {
            id: call.id.clone(),
            name: call.name.clone(),
            custom: call.custom,
            namespace: call.namespace.clone(),
            rest: call.rest.clone(),
        },
        Part::Media(media) => BlockKind::Media(media.clone()),
        Part::Foreign(dialect, value) => BlockKind::Foreign(*dialect, value.clone()),
        // A model never writes one.
        Part::Result(_) => BlockKind::Text { rest: super::Rest::default() },
    };
    out.push(Delta::Open { choice, block, kind });
    let (text, opaque) = match part {
        Part::Text(text) => (text.text.as_str(), &text.opaque),
        Part::Reasoning(thought) => (thought.text.as_str(), &thought.opaque),
        Part::Refusal(text) => (text.as_str(), &None),
        Part::Call(call) => (call.arguments.as_str(), &call.opaque),
        Part::Media(_) | Part::Foreign(..) | Part::Result(_) => ("", &None),
    };
    if !text.is_empty() {
        out.push(Delta::Text { choice, block, text: text.to_owned() });
    }
    if let Part::Text(text) = part
        && let Some((dialect, citations)) = &text.citations
    {
        let cite = |citation: &serde_json::Value| Delta::Citation {
            choice,
            block,
            dialect: *dialect,
            citation: citation.clone(),
        };
        out.extend(citations.iter().map(cite));
    }
    out.extend(opaque.clone().map(|opaque| Delta::Opaque { choice, block, opaque }));
}
