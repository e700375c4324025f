//! Another dialect's state, in a client's reply.

use super::*;

fn seal() -> Opaque {
    Opaque { dialect: Dialect::Gemini, provider: None, state: State::Signature("c2VhbA==".to_owned()) }
}

fn kinds(content: &Value) -> Vec<&str> {
    content.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect()
}

fn text(block: u32, opaque: bool, deltas: &mut Vec<Delta>) {
    deltas.push(Delta::Open { choice: 0, block, kind: BlockKind::Text { rest: Rest::default() } });
    deltas.push(Delta::Text { choice: 0, block, text: "Done.".to_owned() });
    if opaque {
        deltas.push(Delta::Opaque { choice: 0, block, opaque: seal() });
    }
    deltas.push(Delta::Close { choice: 0, block });
}

/// The types of the blocks that a client is told, and how many losses.
fn told(deltas: &[Delta]) -> (Vec<String>, usize) {
    let mut encoder = Api.encoder(&Asked::default());
    let mut out = Vec::new();
    deltas.iter().chain([&Delta::Done]).for_each(|delta| encoder.delta(delta, &mut out));
    let out = String::from_utf8(out).unwrap();
    let events = out.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|data| serde_json::from_str(data).unwrap()).collect();
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let ends: Vec<&Value> = of("content_block_stop").map(|event| &event["index"]).collect();
    let begins: Vec<&Value> = of("content_block_start").map(|event| &event["index"]).collect();
    assert_eq!(begins, ends, "one block at a time");
    let kinds = of("content_block_start").map(|event| event["content_block"]["type"].as_str().unwrap().to_owned());
    (kinds.collect(), encoder.losses().iter().count())
}

#[test]
fn the_state_of_the_last_text_is_not_the_last_block() {
    let mut deltas = Vec::new();
    text(0, true, &mut deltas);
    assert_eq!(told(&deltas), (vec!["text".to_owned()], 1));
    text(1, false, &mut deltas);
    let all = ["text", "redacted_thinking", "text"].map(str::to_owned).to_vec();
    assert_eq!(told(&deltas), (all, 0), "a state that stands between two texts");
}

#[test]
fn whole_replies_have_the_same_blocks() {
    let part = |opaque| Part::Text(Text { text: "Done.".to_owned(), citations: None, opaque, rest: Rest::default() });
    let unowned = Part::Reasoning(Reasoning { opaque: Some(seal()), ..Reasoning::default() });
    for (parts, want, lost) in [
        (vec![part(Some(seal()))], vec!["text"], 1),
        (vec![part(None), unowned.clone()], vec!["text"], 1),
        (vec![part(Some(seal())), part(None)], vec!["text", "redacted_thinking", "text"], 0),
        (vec![unowned.clone()], vec!["redacted_thinking"], 0),
    ] {
        let reply = Reply { choices: vec![Choice { parts, ..Choice::default() }], ..Reply::default() };
        let (body, losses) = Api.write_reply(&reply, &Asked::default());
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((kinds(&body["content"]), losses.iter().count()), (want, lost), "{body}");
    }
}
