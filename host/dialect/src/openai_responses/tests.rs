//! Recorded requests, replies and streams: read, written and read again.

use serde_json::Value;

use super::Api;
use crate::Dialect;
use crate::dialect::{Api as _, Said};
use crate::hub::{
    Asked, Assembler, Call, Chat, Choice, Delta, Opaque, Part, Reasoning, Reply, Rest, State, Target, Text, tell,
};

/// A recorded exchange: name, request, status, reply.
struct Case {
    name: String,
    request: Option<Vec<u8>>,
    status: u64,
    body: Vec<u8>,
    stream: bool,
}

fn cases() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/responses");
    let mut cases = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        cases.extend(text.lines().map(|line| {
            let mut case: Value = serde_json::from_str(line).unwrap();
            let body = match case["response"]["body"].take() {
                Value::String(text) => text.into_bytes(),
                other => other.to_string().into_bytes(),
            };
            Case {
                name: case["name"].as_str().unwrap().to_owned(),
                request: Some(case["request"].take())
                    .filter(|request| request.is_object())
                    .map(|request| request.to_string().into_bytes()),
                status: case["response"]["status"].as_u64().unwrap(),
                body,
                stream: case["operation"] == "responses-stream",
            }
        }));
    }
    cases
}

/// Streams as lists of (event, data); the reader of frames has its own tests.
fn events(body: &[u8]) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let frames = text.split("\n\n").filter_map(|frame| {
        let line = |name: &str| {
            let value = frame.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.strip_prefix(' ').unwrap_or(value).as_bytes().to_vec())
        };
        let data = line("data:").filter(|data| data != b"[DONE]")?;
        Some((line("event:"), data))
    });
    frames.collect()
}

fn decoded(body: &[u8]) -> Vec<Delta> {
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    for (event, data) in events(body) {
        decoder.event(event.as_deref(), &data, &mut out);
    }
    decoder.end(&mut out);
    out
}

fn assembled(deltas: Vec<Delta>) -> Reply {
    let mut assembler = Assembler::new(usize::MAX);
    for delta in deltas {
        assembler.push(delta).unwrap();
    }
    assembler.finish()
}

/// Without what a writer is free to change: items' ids, whether a thought is a summary, who a state was made by, and the tier.
fn plain(mut reply: Reply) -> Reply {
    reply.service_tier = None;
    for part in reply.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::Text(Text { rest, .. }) | Part::Call(Call { rest, .. }) | Part::Reasoning(Reasoning { rest, .. }) =
            part
        {
            *rest = Rest::default();
        }
        if let Part::Reasoning(thought) = part {
            thought.summary = true;
            if let Some(opaque) = &mut thought.opaque {
                opaque.provider = None;
                if let State::Encrypted { id, .. } = &mut opaque.state {
                    *id = None;
                }
            }
        }
    }
    reply
}

fn asked() -> Asked {
    Asked { id: "abc-1".into(), created: 7, model: "asked".into(), provider: "p".into(), ..Asked::default() }
}

fn is_response(case: &Case) -> bool {
    case.status == 200 && Api.check_reply(&case.body).is_ok()
}

fn last_object(body: &[u8]) -> Option<Vec<u8>> {
    let (_, data) = events(body).pop()?;
    let mut event: Value = serde_json::from_slice(&data).ok()?;
    let object = event["response"].take();
    (object["output"].as_array().is_some_and(|list| !list.is_empty())).then(|| object.to_string().into_bytes())
}

#[test]
fn recorded_replies_are_read_written_and_read_again() {
    let mut count = 0;
    for case in cases().iter().filter(|case| !case.stream && is_response(case)) {
        let reply = Api.read_reply(&case.body).unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        let (body, losses) = Api.write_reply(&reply, &asked());
        assert!(losses.is_empty(), "{}: {losses:?}", case.name);
        let again = Api.read_reply(&body).unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        assert_eq!(plain(again), plain(reply), "{}", case.name);
        count += 1;
    }
    assert!(count >= 150, "{count}");
}

/// OpenAI itself rounds log probabilities in the last object and not in the deltas, and encrypts anew for each event.
fn rounded(mut reply: Reply) -> Reply {
    for part in reply.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        match part {
            Part::Foreign(_, item) => *item = item["type"].take(),
            Part::Reasoning(Reasoning {
                opaque: Some(Opaque { state: State::Encrypted { data, .. }, .. }), ..
            }) => data.clear(),
            _ => {}
        }
    }
    for logprobs in reply.choices.iter_mut().filter_map(|choice| choice.logprobs.as_mut()) {
        for token in logprobs["content"].as_array_mut().unwrap() {
            let value = token["logprob"].as_f64().unwrap();
            token["logprob"] = Value::from((value * 1e4).round() / 1e4);
        }
    }
    reply
}

#[test]
fn recorded_streams_tell_what_their_last_object_says() {
    let mut count = 0;
    for case in cases().iter().filter(|case| case.stream && case.status == 200) {
        let Some(object) = last_object(&case.body) else { continue };
        let whole = rounded(plain(Api.read_reply(&object).unwrap()));
        let told = rounded(plain(assembled(decoded(&case.body))));
        assert_eq!(told.choices, whole.choices, "{}", case.name);
        assert_eq!((told.usage, told.model), (whole.usage, whole.model), "{}", case.name);
        count += 1;
    }
    assert!(count >= 80, "{count}");
}

#[test]
fn recorded_streams_are_decoded_encoded_and_decoded_again() {
    let mut count = 0;
    for case in cases().iter().filter(|case| case.stream && case.status == 200) {
        let deltas = decoded(&case.body);
        if deltas.iter().any(|delta| matches!(delta, Delta::Failed(_))) {
            continue;
        }
        let mut encoder = Api.encoder(&asked());
        let mut out = Vec::new();
        deltas.iter().for_each(|delta| encoder.delta(delta, &mut out));
        assert!(encoder.losses().is_empty(), "{}: {:?}", case.name, encoder.losses());
        let first = plain(assembled(deltas.clone()));
        assert_eq!(plain(assembled(decoded(&out))), first, "{}", case.name);
        // The last object has all of it, and is what a whole reply says.
        let object = last_object(&out).map(|object| plain(Api.read_reply(&object).unwrap()));
        if let Some(object) = object {
            assert_eq!(object, first, "{}", case.name);
        }
        count += 1;
    }
    assert!(count >= 90, "{count}");
}

#[test]
fn recorded_requests_are_read_written_and_read_again() {
    let mut count = 0;
    for case in cases() {
        let Some(request) = &case.request else { continue };
        let chat =
            Api.read_request(request, &Said::default()).unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        let target = Target { provider: "p", model: &chat.model, ..Target::default() };
        let (body, losses) =
            Api.write_request(&chat, &target).unwrap_or_else(|failure| panic!("{}: {failure:?}", case.name));
        let real: Vec<_> = losses.iter().filter(|loss| !loss.hint && loss.what != "max_tokens").collect();
        assert!(real.is_empty(), "{}: {real:?}", case.name);
        let again = Api.read_request(&body, &Said::default()).unwrap();
        assert_eq!(comparable(again), comparable(chat), "{}", case.name);
        count += 1;
    }
    assert!(count >= 240, "{count}");
}

/// Without what the writer rightly adds or drops: the store flag, tokens below the least, thoughts that no state proves.
fn comparable(mut chat: Chat) -> Chat {
    let members = chat.rest.of(Dialect::OpenaiResponses).filter(|(name, _)| *name != "store");
    let members = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    chat.rest = crate::hub::Rest::new(Dialect::OpenaiResponses, members);
    chat.params.max_tokens = None;
    chat.turns.retain(|turn| !turn.parts.is_empty());
    for turn in &mut chat.turns {
        for part in &mut turn.parts {
            // A result for nobody gets an id, for the schema wants one.
            if let Part::Result(result) = part
                && result.id == "call"
            {
                result.id.clear();
            }
            if let Part::Media(crate::hub::Media { kind: crate::hub::MediaKind::Image, detail, .. }) = part {
                detail.get_or_insert_with(|| "auto".into());
            }
        }
        turn.parts.retain(|part| !matches!(part, Part::Reasoning(thought) if thought.opaque.is_none()));
    }
    for tool in &mut chat.tools {
        if let crate::hub::ToolKind::Function { schema, strict } = &mut tool.kind {
            strict.get_or_insert(false);
            if schema.is_null() {
                *schema = serde_json::json!({"type": "object", "properties": {}});
            }
        }
    }
    chat
}

#[test]
fn a_thought_keeps_foreign_state() {
    let thought = crate::hub::Reasoning {
        text: "Hm.".into(),
        opaque: Some(Opaque::signature(Dialect::Anthropic, "c2ln")),
        ..Default::default()
    };
    let choice = Choice { parts: vec![Part::Reasoning(thought)], ..Choice::default() };
    let reply = Reply { choices: vec![choice], ..Reply::default() };
    let (body, _) = Api.write_reply(&reply, &asked());
    let read = Api.read_reply(&body).unwrap();
    let Part::Reasoning(thought) = &read.choices[0].parts[0] else { panic!() };
    assert_eq!(thought.opaque, Some(Opaque::signature(Dialect::Anthropic, "c2ln").made_by("p")));
    let _ = tell(&read);
}

/// Every byte that matters flipped, cut and doubled: whatever comes out, nothing panics.
#[test]
fn broken_documents_are_survived() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let cases = cases();
    for _ in 0..1500 {
        let case = &cases[next(cases.len())];
        let mut bytes = if next(3) == 0 { case.request.clone().unwrap_or_default() } else { case.body.clone() };
        bytes.truncate(20_000);
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 if !bytes.is_empty() => bytes[at] = b"{}[]\",:0n\\"[next(10)],
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..(at + next(30)).min(bytes.len()))),
                _ => bytes.splice(at..at, b"null".iter().copied()).for_each(drop),
            }
        }
        survive(&bytes);
    }
}

fn survive(bytes: &[u8]) {
    let _ = Api.peek(bytes, &Said::default());
    let _ = Api.request_texts(bytes);
    let _ = Api.reply_texts(bytes);
    let _ = Api.last_user_text(bytes);
    let _ = Api.check_reply(bytes);
    let _ = Api.read_error(400, None, bytes);
    if let Ok(chat) = Api.read_request(bytes, &Said::default()) {
        let _ = Api.write_request(&chat, &Target::default());
        let _ = super::echo(&chat);
    }
    if let Ok(reply) = Api.read_reply(bytes) {
        let _ = Api.write_reply(&reply, &asked());
    }
    let mut encoder = Api.encoder(&asked());
    let mut out = Vec::new();
    decoded(bytes).iter().for_each(|delta| encoder.delta(delta, &mut out));
    for (event, data) in events(bytes) {
        let _ = Api.glance(event.as_deref(), &data);
        let _ = Api.stream_failure(event.as_deref(), &data);
    }
}

/// A word that is masked in every piece is nowhere in the recorded reply, whatever the provider adds to it.
#[test]
fn no_text_of_a_recorded_reply_is_out_of_a_plugins_sight() {
    for case in cases().iter().filter(|case| !case.stream && is_response(case)) {
        let reply = Api.read_reply(&case.body).unwrap();
        let texts = reply.choices.iter().flat_map(|choice| &choice.parts).filter_map(|part| match part {
            Part::Text(text) => Some(text.text.clone()),
            Part::Reasoning(thought) => Some(thought.text.clone()),
            Part::Call(call) => Some(call.arguments.clone()),
            Part::Refusal(text) => Some(text.clone()),
            _ => None,
        });
        let map = Api.reply_texts(&case.body);
        let shown = crate::text::joined(&case.body, &map);
        for text in texts.filter(|text| !text.is_empty()) {
            assert!(shown.contains(&text), "{}: {text}", case.name);
        }
    }
}

/// As above, of requests: what the hub knows of a request a plugin sees as well.
#[test]
fn no_text_of_a_recorded_request_is_out_of_a_plugins_sight() {
    for case in cases() {
        let Some(request) = &case.request else { continue };
        let shown = crate::text::joined(request, &Api.request_texts(request));
        let chat = Api.read_request(request, &Said::default()).unwrap();
        for part in chat.turns.iter().flat_map(|turn| &turn.parts) {
            let text = match part {
                Part::Text(text) => &text.text,
                Part::Reasoning(thought) => &thought.text,
                Part::Call(call) => &call.arguments,
                _ => continue,
            };
            assert!(shown.contains(text.as_str()), "{}: {text}", case.name);
        }
        if let Some(text) = Api.last_user_text(request) {
            assert!(text.split('\n').all(|line| shown.contains(line)), "{}", case.name);
        }
    }
}
