mod finish;
mod route;

use super::*;
use crate::search::Words;
use crate::*;
use serde_json::json;

struct Guard {
    words: Words,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    words: Vec<String>,
}

impl Plugin for Guard {
    type Settings = Settings;
    const SCHEMA: &'static str = r#"{"type":"object","required":["words"]}"#;
    fn configure(settings: Settings) -> Result<Self, Fault> {
        Ok(Guard { words: Words::new(settings.words)? })
    }
}

impl OnRequest for Guard {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        for piece in &call.texts() {
            if let Some(text) = self.words.masked(piece.text, "***") {
                call.set_text(piece.index, &text)?;
            }
        }
        if call.header("x-fail").is_some() {
            call.set_text(99, "")?;
        }
        Ok(RequestVerdict::Pass)
    }
}

impl OnDelta for Guard {
    fn on_delta(&self, _: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        Ok(self.words.mask_window(window, "***"))
    }
}

crate::plugin!(Guard: on_request, on_delta);

fn guard() -> Guard {
    configure(r#"{"words":["codename","비밀","🦊🦊"]}"#).unwrap()
}

fn chat() -> serde_json::Value {
    json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "rules" },
            { "role": "user", "content": [{ "type": "text", "text": "the Codename" }, { "type": "image_url" }] },
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
                { "id": "c1", "function": { "name": "find", "arguments": "{\"q\":\"codename\"}" } } ] },
            { "role": "tool", "tool_call_id": "c1", "content": "found\u{1e}it" },
        ],
    })
}

#[test]
fn texts_are_pieces_in_order() {
    let call = Call::of(FakeCall::chat(chat()).backend());
    let texts = call.texts();
    let seen: Vec<_> = texts.iter().map(|piece| (piece.index, piece.role, piece.kind, piece.text)).collect();
    assert_eq!(
        seen,
        [
            (0, Role::System, Kind::Text, "rules"),
            (1, Role::User, Kind::Text, "the Codename"),
            (2, Role::Assistant, Kind::Reasoning, "hm"),
            (3, Role::Assistant, Kind::ToolArguments, "{\"q\":\"codename\"}"),
            (4, Role::Tool, Kind::ToolResult, "found\u{fffd}it"),
        ]
    );
    assert_eq!(call.tool_name(3).as_deref(), Some("find"));
    assert_eq!(call.tool_name(4).as_deref(), Some("find"));
    assert_eq!(call.last_user_text().as_deref(), Some("the Codename"));
    assert_eq!(Texts::default().iter().count(), 0);
}

#[test]
fn edits_apply_where_the_hook_succeeds_and_vanish_where_it_fails() {
    let mut call = FakeCall::chat(chat());
    assert_eq!(call.on_request(&guard()), Ok(RequestVerdict::Pass));
    assert_eq!(call.request()["messages"][1]["content"][0]["text"], "the ***");
    assert_eq!(call.request()["messages"][2]["tool_calls"][0]["function"]["arguments"], "{\"q\":\"***\"}");

    let mut call = FakeCall::chat(chat()).header("X-Fail", "1");
    assert_eq!(call.on_request(&guard()), Err(Fault::Invalid("no piece 99".to_owned())));
    assert_eq!(call.request(), chat());
}

#[test]
fn a_stream_reads_as_the_whole_text_does_wherever_it_is_split() {
    let text = "x codename CODENAME, 비밀 비🦊🦊 code";
    let whole = stream(&guard(), &[text]);
    assert_eq!(whole.text, "x *** ***, *** 비*** code");
    for (at, _) in text.char_indices() {
        let (a, b) = text.split_at(at);
        assert_eq!(stream(&guard(), &[a, b]).text, whole.text, "split at {at}");
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    let one_by_one = stream(&guard(), &letters);
    assert_eq!((one_by_one.text, one_by_one.end), (whole.text, End::Done));
}

#[test]
fn held_text_is_released_no_sooner_than_it_is_decided() {
    let outcome = stream(&guard(), &["a cod", "e", "x codename"]);
    assert_eq!(outcome.released, ["a ", "", "codex ***", ""]);
}

#[test]
fn the_fake_refuses_what_the_gateway_refuses() {
    let fake =
        FakeCall::chat(chat()).header("Authorization", "Bearer x").header("X-Team", "a").caller("team", "search");
    let mut call = Call::of(fake.backend());
    assert_eq!(call.header("authorization"), None);
    assert_eq!(call.header("x-team").as_deref(), Some("a"));
    assert_eq!(call.caller("team").as_deref(), Some("search"));
    assert!(call.set_reply_header("content-type", "x").is_err());
    assert!(call.set_reply_header("x-a", "line\nbreak").is_err());
    call.set_reply_header("X-A", "1").unwrap();
    assert!(call.set("/absent/field", &1).is_err());
    assert!(call.remove("/absent").is_err());
    assert!(call.insert("/model", &1).is_err());
    call.insert("/messages/-", &json!({ "role": "user", "content": "more" })).unwrap();
    assert_eq!(call.last_user_text().as_deref(), Some("more"));
    call.set("/temperature", &0.5).unwrap();
    assert_eq!(call.get::<f64>("/temperature"), Ok(Some(0.5)));
    assert!(call.get::<String>("/temperature").is_err());
    assert_eq!(call.get::<String>("/nothing"), Ok(None));
    call.set_model("other").unwrap();
    assert_eq!(call.model(), "other");
    assert!(call.remember_bytes("k", &[0; 70_000]).is_err());
    call.remember("n", &vec![1, 2]).unwrap();
    assert_eq!(call.recall::<Vec<u8>>("n"), Ok(Some(vec![1, 2])));
    for n in 0..64 {
        call.tag(&n.to_string(), "v").unwrap();
    }
    assert!(call.tag("one more", "v").is_err());
    assert_eq!(call.tagged("3").as_deref(), Some("v"));
    assert_eq!(fake.reply_headers()["x-a"], "1");
}

struct Odd;

impl Plugin for Odd {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Odd)
    }
}

impl OnRequest for Odd {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        // What the gateway refuses.
        assert!(call.set("/stream", &true).is_err() && call.remove("/stream").is_err());
        assert!(call.set_reply_header("x-sluice-plugins", "forged").is_err());
        log(Level::Warn, "odd");
        count("odd", 2);
        Ok(Denial::new("x", "x").status(99).into())
    }
}

impl OnResponse for Odd {
    fn on_response(&self, call: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        assert!(call.set_text(0, "late").is_err());
        reply.set_text(0, "changed")?;
        assert_eq!(reply.tokens("output"), Some(7));
        assert_eq!(reply.finish_reason(0).as_deref(), Some("stop"));
        Ok(ResponseVerdict::Pass)
    }
}

#[test]
fn a_denial_out_of_range_is_a_fault_and_replies_can_be_edited() {
    let odd: Odd = configure("").unwrap();
    let mut call = FakeCall::asking("x").replied_text("hello");
    assert!(matches!(call.on_request(&odd), Err(Fault::Invalid(text)) if text.contains("status 99")));
    assert_eq!(logs(), [(Level::Warn, "odd".to_owned())]);
    assert_eq!(counts()["odd"], 2);
    assert_eq!(call.on_response(&odd), Ok(ResponseVerdict::Pass));
    assert_eq!(call.reply_text(), "changed");
}

#[test]
fn settings_are_checked_as_the_gateway_checks_them() {
    assert!(matches!(configure::<Guard>("{}"), Err(Fault::InvalidConfig(t)) if t.contains("missing field `words`")));
    assert!(
        matches!(configure::<Guard>(r#"{"words":[1]}"#), Err(Fault::InvalidConfig(t)) if t.starts_with("settings.words[0]"))
    );
    assert!(matches!(configure::<Odd>(r#"{"a":1}"#), Err(Fault::InvalidConfig(t)) if t.contains("unknown field `a`")));
}

#[test]
fn a_manifest_is_json() {
    let package = Package { name: "a\"b", version: "1.2.3", description: "d" };
    let value: serde_json::Value = serde_json::from_str(&manifest::<Guard>(package)).unwrap();
    assert_eq!(value["name"], "a\"b");
    assert_eq!(value["settings"]["required"][0], "words");
}
