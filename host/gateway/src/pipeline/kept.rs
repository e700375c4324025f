//! What `on-finish` will want of a call, gathered while the call is served; nothing where no plugin has that hook.
//!
//! The reply is kept as the client was sent it, up to a cap. It is made readable (a stream's events put together) only when the hook runs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_dialect::Dialect;
use sluice_dialect::json::quote;

use crate::config::ProviderLimits;
use crate::hooks::finish::{Finished, Finisher};
use crate::hooks::view::{CallState, Ended, ReplyView, Seed};
use crate::observe::record::{Outcome, Record};
use crate::plugins::chain::Chain;

/// Choices of which the finish reason is noted where the reply itself is too long to keep.
const MAX_REASONS: u32 = 16;

/// What an assembled stream may need beside its events' bytes: the assembler counts a little for each value.
const ASSEMBLED: usize = 8;

/// What the client was sent.
#[derive(Debug)]
enum Sent {
    Nothing,
    Whole(Bytes),
    /// A stream's events, and their bytes.
    Events(Vec<Bytes>, usize),
    /// Too long to keep: the finish reasons by choice.
    TooLong(BTreeMap<u32, String>),
}

/// A call on its way to its end.
pub struct Kept {
    chain: Arc<Chain>,
    finisher: Rc<Finisher>,
    /// Makes the view anew where a client left while a hook had it.
    seed: Seed,
    sent: Sent,
    /// The plugin that answered.
    by: Option<Arc<str>>,
    times: Option<(Instant, Instant)>,
    max: usize,
}

impl Kept {
    pub fn new(chain: Arc<Chain>, finisher: Rc<Finisher>, seed: Seed) -> Kept {
        let max = ProviderLimits::default().hold_size;
        Kept { chain, finisher, seed, sent: Sent::Nothing, by: None, times: None, max }
    }

    /// A provider has begun to reply. `max`: how many bytes of the reply are kept.
    pub fn began(&mut self, sent: Instant, head: Instant, max: usize) {
        self.times = Some((sent, head));
        self.max = max;
    }

    /// The plugin `by` has answered.
    pub fn answered(&mut self, by: &Arc<str>) {
        self.by = Some(Arc::clone(by));
    }

    /// The client gets this reply, as a whole or, by a stream that says the same, in events.
    pub fn whole(&mut self, body: &Bytes) {
        self.sent = if body.len() <= self.max {
            Sent::Whole(body.clone())
        } else {
            let mut reasons = BTreeMap::new();
            note(self.seed.dialect, body, &mut reasons);
            Sent::TooLong(reasons)
        };
    }

    /// The client gets these events of a stream, after those before them.
    pub fn events(&mut self, frames: &[Bytes]) {
        if let Sent::Nothing = self.sent {
            self.sent = Sent::Events(Vec::new(), 0);
        }
        if let Sent::Events(kept, size) = &mut self.sent {
            *size += frames.iter().map(Bytes::len).sum::<usize>();
            kept.extend_from_slice(frames);
            if *size <= self.max {
                return;
            }
            let mut reasons = BTreeMap::new();
            for frame in kept.drain(..) {
                note_frame(self.seed.dialect, frame, &mut reasons);
            }
            self.sent = Sent::TooLong(reasons);
        } else if let Sent::TooLong(reasons) = &mut self.sent {
            for frame in frames {
                note_frame(self.seed.dialect, frame.clone(), reasons);
            }
        }
    }

    /// The call is over: hands it to the thread's finisher. `state` is the view that the call's hooks had, if it is there.
    pub fn finish(self: Box<Self>, state: Option<Box<CallState>>, record: &Record, outcome: Outcome) {
        let Kept { chain, finisher, seed, sent, by, times, max } = *self;
        let target = match by {
            Some(by) => by.to_string(),
            None => format!("{}/{}", record.last.provider, record.last.model),
        };
        let (first_byte, total) = times.map(|(sent, head)| (head - sent, sent.elapsed())).unwrap_or_default();
        let size = seed.body.len() + sent.size();
        let (tags, attempt) = (record.tags.clone(), record.attempts.max(1));
        let dialect = seed.dialect;
        let ended = Ended { outcome, usage: record.usage };
        let view = move || {
            let mut state = state.unwrap_or_else(|| Box::new(CallState::new(seed)));
            state.tags = tags;
            state.attempt = attempt;
            state.reply = sent.into_view(dialect, target, first_byte, total, max);
            state.ended = Some(ended);
            state
        };
        finisher.push(Finished { chain, view: Box::new(view), size });
    }
}

impl Sent {
    fn size(&self) -> usize {
        match self {
            Sent::Nothing | Sent::TooLong(_) => 0,
            Sent::Whole(body) => body.len(),
            Sent::Events(_, size) => *size,
        }
    }

    fn into_view(
        self,
        dialect: Dialect,
        target: String,
        first_byte: Duration,
        total: Duration,
        max: usize,
    ) -> Option<ReplyView> {
        let (body, gone) = match self {
            Sent::Nothing => return None,
            Sent::Whole(body) => (body, false),
            Sent::Events(frames, _) => (dialect.assemble(frames, max.saturating_mul(ASSEMBLED))?, false),
            Sent::TooLong(reasons) => {
                let document = Dialect::OpenaiChat.reply_document(reasons_alone(&reasons), usize::MAX);
                return Some(ReplyView { document, gone: true, target, first_byte, total });
            }
        };
        let document = dialect.reply_document(body, usize::MAX);
        Some(ReplyView { document, gone, target, first_byte, total })
    }
}

/// A reply of which nothing but the finish reasons is known.
fn reasons_alone(reasons: &BTreeMap<u32, String>) -> Bytes {
    let mut out = b"{\"choices\":[".to_vec();
    for (at, (index, reason)) in reasons.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        out.extend_from_slice(format!("{comma}{{\"index\":{index},\"finish_reason\":").as_bytes());
        quote(reason, &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Bytes::from(out)
}

fn note_frame(dialect: Dialect, frame: Bytes, reasons: &mut BTreeMap<u32, String>) {
    for (choice, reason) in dialect.frame_reasons(&frame) {
        reasons.insert(choice, reason);
    }
}

fn note(dialect: Dialect, body: &Bytes, reasons: &mut BTreeMap<u32, String>) {
    let document = dialect.reply_document(body.clone(), usize::MAX);
    for choice in 0..MAX_REASONS {
        if let Some(reason) = document.finish_reason(choice) {
            reasons.insert(choice, reason);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use prometheus::IntCounter;
    use serde_json::{Value, json};

    use super::*;

    fn kept(max: usize) -> Kept {
        let finisher = Finisher::new(IntCounter::new("dropped", "Dropped.").unwrap());
        let mut kept = Kept::new(Arc::new(Chain::default()), finisher, Seed::sample());
        kept.began(Instant::now(), Instant::now(), max);
        kept
    }

    fn event(text: &str, finish: Option<&str>) -> Bytes {
        let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": finish});
        Bytes::from(format!("data: {}\n\n", json!({"id": "c", "choices": [choice]})))
    }

    fn seen(kept: Kept) -> Option<(Value, bool)> {
        let view = kept.sent.into_view(Dialect::OpenaiChat, "p/m".into(), Duration::ZERO, Duration::ZERO, kept.max)?;
        Some((serde_json::from_str(view.document.get("").unwrap()).unwrap(), view.gone))
    }

    #[test]
    fn a_stream_is_put_together() {
        let mut kept = kept(10_000);
        kept.events(&[event("Hel", None), Bytes::from_static(b": ping\n\n")]);
        kept.events(&[event("lo", None), event("", Some("stop")), Bytes::from_static(b"data: [DONE]\n\n")]);
        let (reply, gone) = seen(kept).unwrap();
        assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
        assert_eq!(reply["choices"][0]["finish_reason"], "stop");
        assert!(!gone);
    }

    #[test]
    fn past_the_cap_only_finish_reasons_stay() {
        let long = "x".repeat(300);
        let mut streamed = kept(500);
        streamed.events(&[event(&long, None)]);
        streamed.events(&[event(&long, None)]);
        assert_eq!(streamed.sent.size(), 0);
        streamed.events(&[event("", Some("length"))]);
        let mut whole = kept(500);
        let choice = json!({"index": 0, "message": {"content": "y".repeat(900)}, "finish_reason": "length"});
        whole.whole(&Bytes::from(json!({ "choices": [choice] }).to_string()));
        for kept in [streamed, whole] {
            let (reply, gone) = seen(kept).unwrap();
            assert_eq!(reply, json!({"choices": [{"index": 0, "finish_reason": "length"}]}));
            assert!(gone);
        }
    }

    #[test]
    fn without_a_reply_there_is_none() {
        assert!(seen(kept(100)).is_none());
        let mut only_comments = kept(100);
        only_comments.events(&[Bytes::from_static(b": ping\n\n")]);
        assert!(seen(only_comments).is_none());
    }
}
