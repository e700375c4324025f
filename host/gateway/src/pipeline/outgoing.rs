//! The request of an attempt: the client's own bytes where the target speaks the client's dialect, else their translation.

use bytes::Bytes;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::{self, Asked, Chat, Losses, Policy, Target};
use sluice_dialect::openai_responses;
use sluice_dialect::peek::{self, Peek};
use sluice_dialect::splice::splice;

use super::call::Call;
use crate::observe::record::Record;
use crate::providers::Provider;

/// What goes out.
pub struct Outgoing {
    pub body: Bytes,
    /// The provider's.
    pub dialect: Dialect,
    /// See [`super::attempt::Answered::asked`].
    pub asked: Option<Box<Asked>>,
    /// Usage was asked for on the client's behalf.
    pub withhold_usage: bool,
}

/// The request for that provider. `model`: its name there; `None` leaves what the body says.
pub fn write(call: &mut Call, provider: &Provider, model: Option<&str>) -> Result<Outgoing, Failure> {
    let client = call.dialect;
    let dialect = provider.nearest(client);
    let edited = call.settle.state.as_ref().filter(|state| state.request.edited()).map(|state| state.request.commit());
    let bytes = edited.clone().unwrap_or_else(|| call.body.clone());
    // Reasoning state of another provider, which a client of this dialect carries, must not reach this one.
    if dialect == client && !hub::is_wrapped(&bytes) {
        return native(call, provider, edited, bytes, model);
    }
    let mut chat = read(call, &bytes)?;
    let name = model.map(str::to_owned).or_else(|| call.model()).unwrap_or_default();
    chat.model.clone_from(&name);
    let target = provider.target(dialect, &name);
    translate(call, chat, dialect, &target)
}

/// The request as the demo provider reads it: chat, whatever the client speaks.
pub fn for_echo(call: &mut Call, model: &str) -> Result<Outgoing, Failure> {
    let bytes = call.settle.state.as_ref().map_or_else(|| call.body.clone(), |state| state.request.commit());
    if call.dialect == Dialect::OpenaiChat {
        return Ok(Outgoing { body: bytes, dialect: Dialect::OpenaiChat, asked: None, withhold_usage: false });
    }
    let chat = read(call, &bytes)?;
    let target = Target { provider: "echo", model, canonical: true, ..Target::default() };
    translate(call, chat, Dialect::OpenaiChat, &target)
}

fn read(call: &Call, bytes: &[u8]) -> Result<Chat, Failure> {
    let mut chat = call.dialect.api().read_request(bytes, &call.said)?;
    chat.stream = call.streamed();
    Ok(chat)
}

/// The client's own bytes with the hooks' edits, the target's model name and the request for usage spliced in.
fn native(
    call: &Call,
    provider: &Provider,
    edited: Option<Bytes>,
    bytes: Bytes,
    model: Option<&str>,
) -> Result<Outgoing, Failure> {
    let again;
    let peek: &Peek = if edited.is_some() {
        again = call.dialect.api().peek(&bytes, &call.said).map_err(|failure| {
            Failure::new(Blame::Plugin, 500, "server_error", "plugin_error", "A policy made the request invalid.")
                .with_detail(failure.message)
        })?;
        &again
    } else {
        &call.peek
    };
    let asked = writes_replies(call).then(|| read(call, &bytes)).transpose()?.map(|chat| asked(call, provider, &chat));
    let in_body = call.dialect != Dialect::Gemini;
    // What the path says of the model, the body need not say, or say otherwise.
    let named = peek.model.as_ref().filter(|_| call.said.model.is_none()).map(|model| model.name.as_str());
    let rename = model.filter(|model| in_body && named != Some(*model)).map(|model| peek::name_model(peek, model));
    let meters = call.dialect == Dialect::OpenaiChat && provider.config.meter;
    let usage = if meters { peek::ask_usage(peek) } else { None };
    let mut edits: Vec<_> = rename.iter().chain(&usage).map(|(range, text)| (range.clone(), text.as_slice())).collect();
    edits.sort_by_key(|(range, _)| range.start);
    let body = if edits.is_empty() { bytes } else { splice(&bytes, &edits) };
    Ok(Outgoing { body, dialect: call.dialect, asked: asked.map(Box::new), withhold_usage: usage.is_some() })
}

/// Whether replies of the client's own dialect may have to be written anew: blocks of a stream that plugins read one by one or whole, and a
/// list of what comes as events.
fn writes_replies(call: &Call) -> bool {
    let array = call.dialect == Dialect::Gemini && !call.said.sse;
    call.dialect != Dialect::OpenaiChat && call.streamed() && (array || call.chain.has_reply_hooks())
}

fn asked(call: &Call, provider: &Provider, chat: &Chat) -> Asked {
    Asked { provider: provider.name.to_string(), ..about(call, chat) }
}

/// What every reply to this call must know, whoever gives it.
pub fn about(call: &Call, chat: &Chat) -> Asked {
    let responses = call.dialect == Dialect::OpenaiResponses;
    Asked {
        id: call.settle.record.id.clone(),
        created: crate::app::unix_seconds(),
        model: call.model().unwrap_or_default(),
        provider: String::new(),
        stream_usage: chat.stream_usage,
        sse: call.said.sse || call.dialect != Dialect::Gemini,
        called: Asked::tools(chat),
        echo: if responses { openai_responses::echo(chat) } else { serde_json::Map::new() },
    }
}

/// As [`about`], read from the request as it stands.
///
/// # Errors
/// A request that cannot be read as its dialect.
pub fn about_request(call: &Call) -> Result<Asked, Failure> {
    let bytes = call.settle.state.as_ref().map_or_else(|| call.body.clone(), |state| state.request.commit());
    read(call, &bytes).map(|chat| about(call, &chat))
}

fn translate(call: &mut Call, mut chat: Chat, dialect: Dialect, target: &Target<'_>) -> Result<Outgoing, Failure> {
    if call.dialect == Dialect::OpenaiResponses
        && dialect != call.dialect
        && let Some(refusal) = openai_responses::refuse_stored(&chat)
    {
        return Err(refusal);
    }
    let asked = Asked { provider: target.provider.to_owned(), ..about(call, &chat) };
    // A stream's usage is always asked for; whether the client sees it is for the writer of its stream to say.
    chat.stream_usage = chat.stream;
    let (body, losses) = dialect.api().write_request(&chat, target)?;
    note(&mut call.settle.record, &losses, target)?;
    Ok(Outgoing { body, dialect, asked: Some(Box::new(asked)), withhold_usage: false })
}

/// Notes what the target cannot be told, or refuses the call for it.
fn note(record: &mut Record, losses: &Losses, target: &Target<'_>) -> Result<(), Failure> {
    if target.policy == Policy::Reject
        && let Some(refusal) = losses.refusal(&format!("{}/{}", target.provider, target.model))
    {
        return Err(refusal);
    }
    record.tell_losses = target.policy == Policy::Warn;
    record.lose(losses);
    Ok(())
}
