//! What is caught and what is not, whole and at every split of a stream.

use super::DenyWords;
use crate::{fold, json};
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice::testing::{End, FakeCall, Outcome, Stream, configure};
use sluice::{Denial, Fault, Hook, Kind, Plugin, RequestVerdict, ResponseVerdict};

fn plugin(settings: &Value) -> DenyWords {
    configure(&settings.to_string()).unwrap()
}

fn masks(words: &[&str]) -> DenyWords {
    plugin(&json!({ "words": words, "action": "mask" }))
}

/// The text as the client would read it in a whole reply.
fn whole(plugin: &DenyWords, text: &str) -> String {
    let mut call = FakeCall::asking("x").replied_text(text);
    assert_eq!(call.on_response(plugin), Ok(ResponseVerdict::Pass));
    call.reply_text()
}

fn pieces<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut cuts: Vec<usize> =
        cuts.iter().map(|cut| cut % (text.len() + 1)).filter(|cut| text.is_char_boundary(*cut)).collect();
    cuts.sort_unstable();
    let mut at = 0;
    let mut out = Vec::new();
    for cut in cuts.into_iter().chain([text.len()]) {
        out.push(&text[at..cut]);
        at = cut;
    }
    out
}

fn letters(text: &str) -> Vec<&str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()
}

/// The text streamed one character at a time, and at every single split, must read as `expected`.
fn streams_as(plugin: &DenyWords, kind: &Stream, text: &str, expected: &str) {
    let outcome = kind.run(plugin, &letters(text));
    assert_eq!((outcome.text.as_str(), &outcome.end), (expected, &End::Done), "one by one: {text:?}");
    for (at, _) in text.char_indices() {
        let (a, b) = text.split_at(at);
        assert_eq!(kind.run(plugin, &[a, b]).text, expected, "split at {at}: {text:?}");
    }
}

#[test]
fn words_are_masked_in_every_script_whole_and_streamed() {
    let cases = [
        ("codename", "the CodeName is", "the *** is"),
        ("straße", "STRASSE 5", "*** 5"),
        ("ΟΔΟΣ", "η οδος", "η ***"),
        ("비밀", "그 비밀은", "그 ***은"),
        // Decomposed Hangul.
        ("비밀", "그 \u{1107}\u{1175}\u{1106}\u{1175}\u{11af}은", "그 ***은"),
        ("机密", "这是机密。", "这是***。"),
        ("ガス", "これはｶﾞｽです", "これは***です"),
        ("🦊🦊", "a 🦊🦊🦊 b", "a *** b"),
        ("❤️", "a ❤ b", "a *** b"),
        ("café", "le cafe\u{301} noir", "le *** noir"),
        ("cafe\u{301}", "le CAFÉ noir", "le *** noir"),
        ("naïve plan", "NAI\u{308}VE PLAN!", "***!"),
        ("secret", "s\u{200b}e\u{ad}c\u{2060}ret", "***"),
        ("secret", "ｓｅｃｒｅｔ", "***"),
        ("secret", "𝐬𝐞𝐜𝐫𝐞𝐭!", "***!"),
        ("office", "the oﬃce", "the ***"),
        ("\u{1e69}", "x s\u{323}\u{307} s\u{307}\u{323}", "x *** ***"),
    ];
    for (word, text, expected) in cases {
        let plugin = masks(&[word]);
        assert_eq!(whole(&plugin, text), expected, "{word} in {text}");
        streams_as(&plugin, &Stream::new(), text, expected);
    }
}

#[test]
fn what_is_another_word_is_not_masked() {
    let cases = [
        // An accent makes another letter, a final consonant another syllable.
        ("cafe", "le café, le cafe\u{301}"),
        ("가", "각 갂 \u{1100}\u{1161}\u{11a8}"),
        ("secret", "s-e-c-r-e-t s3cret sеcret"),
        ("n", "ñ n\u{303}"),
    ];
    for (word, text) in cases {
        let plugin = masks(&[word]);
        assert_eq!(whole(&plugin, text), text, "{word} in {text}");
        streams_as(&plugin, &Stream::new(), text, text);
    }
}

#[test]
fn case_and_whole_words_are_as_set() {
    let exact = plugin(&json!({ "words": ["Ada", "Éa"], "action": "mask", "case_sensitive": true }));
    assert_eq!(whole(&exact, "Ada ada ADA Éa éa"), "*** ada ADA *** éa");
    let alone =
        plugin(&json!({ "words": ["cat", "new", "new york", "비밀", "密"], "action": "mask", "whole_words": true }));
    for (text, expected) in [
        ("cat, concat cats cat_ cat", "***, concat cats cat_ ***"),
        ("new yorkshire", "*** yorkshire"),
        ("new york", "***"),
        ("비밀은 秘密だ", "***은 秘***だ"),
        ("cat은 écat caté", "***은 écat caté"),
    ] {
        assert_eq!(whole(&alone, text), expected);
        streams_as(&alone, &Stream::new(), text, expected);
    }
}

#[test]
fn a_mask_of_one_character_keeps_the_length() {
    let plugin = plugin(&json!({ "words": ["비밀", "abc"], "action": "mask", "mask": "█" }));
    assert_eq!(whole(&plugin, "abc 비밀 \u{1107}\u{1175}\u{1106}\u{1175}\u{11af}"), "███ ██ ██");
    streams_as(&plugin, &Stream::new(), "xabcx e\u{301} 비밀", "x███x e\u{301} ██");
}

#[test]
fn patterns_see_normalised_text_and_stay_within_their_window() {
    let plugin = plugin(&json!({ "patterns": [r"\b\d{4}-\d{4}\b", "é+x"], "action": "mask", "pattern_window": 16 }));
    let text = "call 1234-5678 or １２３４-5678, not 11234-5678 nor 1234-56789; E\u{301}ÉX";
    let expected = "call *** or ***, not 11234-5678 nor 1234-56789; ***";
    assert_eq!(whole(&plugin, text), expected);
    streams_as(&plugin, &Stream::new(), text, expected);
    // What is further back than the window is not held.
    let outcome = Stream::new().run(&plugin, &[&"a".repeat(100), "b"]);
    assert_eq!(outcome.released, ["a".repeat(84), "a".to_owned(), "a".repeat(15) + "b"]);
}

#[test]
fn tool_arguments_are_read_as_json_and_stay_json() {
    let plugin = masks(&["secret", "4111", "say \"hi\"", "🦊", "null"]);
    let tool = Stream::new().tool("find");
    for (text, expected) in [
        (r#"{"q":"a secret","n":1}"#, r#"{"q":"a ***","n":1}"#),
        (r#"{"q":"\u0073ecr\u0065t"}"#, r#"{"q":"***"}"#),
        (r#"{"q":"say \"hi\"","x":"\ud83e\udd8a\\"}"#, r#"{"q":"***","x":"***\\"}"#),
        (r#"{"card": 41112222, "ok": true}"#, r#"{"card": "***", "ok": true}"#),
        (r#"{"a":null,"secret":[1.5e3]}"#, r#"{"a":"***","***":[1.5e3]}"#),
        (r#"{"a":"sec","b":"ret"}"#, r#"{"a":"sec","b":"ret"}"#),
    ] {
        assert!(serde_json::from_str::<Value>(expected).is_ok(), "{expected}");
        streams_as(&plugin, &tool, text, expected);
        let mut call = FakeCall::chat(json!({ "messages": [{ "role": "assistant", "tool_calls": [
            { "function": { "name": "find", "arguments": text } } ] }] }));
        assert_eq!(call.on_request(&plugin), Ok(RequestVerdict::Pass));
        assert_eq!(call.request()["messages"][0]["tool_calls"][0]["function"]["arguments"], expected);
    }
    // Some tools take plain text.
    streams_as(&plugin, &tool, "print secret \\u0073ecret", "print *** \\u0073ecret");
    let quoted = self::plugin(&json!({ "words": ["secret"], "action": "mask", "mask": "\"\\" }));
    streams_as(&quoted, &tool, r#"{"q":"secret"}"#, r#"{"q":"\"\\"}"#);
}

fn denial(outcome: &Outcome) -> Option<&Denial> {
    match &outcome.end {
        End::Stopped(denial) => Some(denial),
        _ => None,
    }
}

#[test]
fn a_denied_stream_never_shows_the_word() {
    let plugin = plugin(&json!({ "words": ["codename"], "status": 451, "code": "secret", "message": "No." }));
    let text = "well, the codename is x";
    for (at, _) in text.char_indices() {
        let (a, b) = text.split_at(at);
        let outcome = Stream::new().run(&plugin, &[a, b]);
        let denial = denial(&outcome).unwrap_or_else(|| panic!("not denied, split at {at}: {outcome:?}"));
        assert_eq!((denial.status, denial.code.as_str(), denial.message.as_str()), (451, "secret", "No."));
        assert!("well, the ".starts_with(&outcome.text), "{outcome:?}");
    }
    let mut call = FakeCall::asking("the codeNAME");
    assert!(matches!(call.on_request(&plugin), Ok(RequestVerdict::Deny(_))));
    let mut call = FakeCall::asking("x").replied_text("codename");
    assert!(matches!(call.on_response(&plugin), Ok(ResponseVerdict::Deny(_))));
}

#[test]
fn only_the_kinds_and_sides_that_are_set_are_looked_at() {
    let plugin = plugin(&json!({ "words": ["secret"], "kinds": ["text"], "where": ["reply"], "action": "mask" }));
    assert_eq!(plugin.wants(), Some(vec![Hook::OnResponse, Hook::OnDelta]));
    let outcome = Stream::new().kind(Kind::Reasoning).run(&plugin, &["secret"]);
    assert_eq!(outcome.released, ["secret", ""]);
    let mut call = FakeCall::asking("x").replied(json!({ "choices": [{ "index": 0, "message": {
        "role": "assistant", "reasoning_content": "secret", "content": "secret" } }] }));
    assert_eq!(call.on_response(&plugin), Ok(ResponseVerdict::Pass));
    assert_eq!(
        call.reply()["choices"][0]["message"],
        json!({
        "role": "assistant", "reasoning_content": "secret", "content": "***" })
    );
    let both = self::plugin(&json!({ "words": ["secret"], "where": ["request"] }));
    assert_eq!(both.wants(), Some(vec![Hook::OnRequest]));
}

#[test]
fn parts_of_a_stream_do_not_mix() {
    let plugin = plugin(&json!({ "words": ["cat"], "action": "mask", "whole_words": true }));
    let mut call = FakeCall::asking("x");
    let first = Stream::new().tool("a").at(0, 1).run_on(&mut call, &plugin, &["{\"q\":\"a lot of con", "cat\"}"]);
    assert_eq!(first.text, "{\"q\":\"a lot of concat\"}");
    let second = Stream::new().tool("a").at(0, 2).run_on(&mut call, &plugin, &["{\"q\":\"cat\"}"]);
    assert_eq!(second.text, "{\"q\":\"***\"}");
}

#[test]
fn text_that_cannot_begin_a_word_is_released_at_once() {
    let plugin = plugin(&json!({ "words": ["codename", "비밀"] }));
    let outcome = Stream::new().run(&plugin, &["Hello ", "world", ", 안녕 ", "비", "슷"]);
    assert_eq!(outcome.released, ["Hello ", "world", ", 안녕 ", "", "비슷", ""]);
}

#[test]
fn bad_settings_are_refused_by_name() {
    for (settings, part) in [
        (json!({}), "settings.words: give at least one"),
        (json!({ "words": ["a", ""] }), "words[1]"),
        (json!({ "words": ["\u{200b}"] }), "words[0]: has no visible"),
        (json!({ "words": ["\u{301}a"] }), "words[0]: begins with a mark"),
        (json!({ "words": ["a\nb"] }), "words[0]: has a control"),
        (json!({ "words": ["x".repeat(257)] }), "words[0]: longer"),
        (json!({ "words": "a" }), "settings.words: invalid type"),
        (json!({ "word": ["a"] }), "unknown field `word`"),
        (json!({ "words": ["a"], "action": "drop" }), "settings.action: unknown variant `drop`"),
        (json!({ "patterns": ["a", "("] }), "settings.patterns[1]"),
        (json!({ "patterns": ["a*"] }), "matches the empty text"),
        (json!({ "words": ["a"], "status": 200 }), "settings.status: 200"),
        (json!({ "words": ["a"], "where": [] }), "settings.where"),
        (json!({ "words": ["a"], "kinds": [] }), "settings.kinds"),
        (json!({ "words": ["a"], "pattern_window": 1 }), "settings.pattern_window"),
    ] {
        match configure::<DenyWords>(&settings.to_string()) {
            Err(Fault::InvalidConfig(text)) => assert!(text.contains(part), "{settings}: {text}"),
            other => panic!("{settings}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn the_schema_names_every_setting() {
    let schema: Value = serde_json::from_str(DenyWords::SCHEMA).unwrap();
    let mut settings = serde_json::Map::new();
    for (name, field) in schema["properties"].as_object().unwrap() {
        if let Some(default) = field.get("default") {
            settings.insert(name.clone(), default.clone());
        }
    }
    settings.insert("words".to_owned(), json!(["a"]));
    let plugin = self::plugin(&Value::Object(settings));
    let fewest = self::plugin(&json!({ "words": ["a"] }));
    assert_eq!((&plugin.denial, plugin.wants()), (&fewest.denial, fewest.wants()));
}

/// One character alone takes a shorter way through the folding than one with marks; both must spell it the same.
#[test]
fn every_character_is_spelled_alike_alone_and_in_company() {
    for any_case in [true, false] {
        let form = fold::Form { any_case, composed: false };
        for c in (0..0x2_0000).chain(0x2_F800..0x2_FA20).filter_map(char::from_u32) {
            let alone = fold::spelled(&c.to_string(), form);
            // A mark of the last class keeps its place behind whatever stands before it.
            let company = fold::spelled(&format!("{c}\u{345}"), form);
            let mark = fold::spelled("a\u{345}", form);
            let expected = format!("{alone}{}", mark.strip_prefix('a').unwrap());
            if !fold::extends(c) && !alone.is_empty() && !alone.contains('\u{345}') {
                assert_eq!(company, expected, "{:04X}", u32::from(c));
            }
        }
    }
}

#[test]
fn half_an_escape_is_left_for_later() {
    let read = |text: &str| {
        let read = json::read(text, crate::carry::Source::InString, false);
        (read.characters.iter().map(|c| c.value).collect::<String>(), read.ready)
    };
    assert_eq!(read(r"a\"), ("a".to_owned(), 1));
    assert_eq!(read(r"a\u00"), ("a".to_owned(), 1));
    assert_eq!(read(r"a\ud83e"), ("a".to_owned(), 1));
    assert_eq!(read(r"a\ud83e\"), ("a".to_owned(), 1));
    assert_eq!(read(r"a\ud83e\udd8a"), ("a🦊".to_owned(), 13));
    assert_eq!(read(r"a\ud83ex"), ("a\u{fffd}x".to_owned(), 8));
    assert_eq!(read(r"a\uzzzz"), ("a\u{fffd}zzzz".to_owned(), 7));
}

/// Texts of these parts, chosen to meet, to compose and to fold.
fn texts(most: usize) -> impl Strategy<Value = String> {
    const PARTS: [&str; 26] = [
        "a", "b", "c", "A", "ab", "abc", " ", "é", "e", "\u{301}", "\u{323}", "\u{308}", "각", "가", "\u{1100}",
        "\u{1161}", "\u{11a8}", "🦊", "\u{200d}", "ß", "ｂ", "ﬁ", "f", "i", "机", "\u{fe0f}",
    ];
    prop::collection::vec(prop::sample::select(&PARTS[..]).prop_map(str::to_owned), 0..most)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn streams_read_as_whole_texts_do(
        words in prop::collection::vec(texts(5), 1..5),
        text in texts(30),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        whole_words: bool,
        case_sensitive: bool,
    ) {
        let settings = json!({ "words": words, "action": "mask", "whole_words": whole_words, "case_sensitive": case_sensitive });
        let Ok(masks) = configure::<DenyWords>(&settings.to_string()) else { return Ok(()) };
        let expected = whole(&masks, &text);
        let outcome = Stream::new().run(&masks, &pieces(&text, &cuts));
        prop_assert_eq!((outcome.text, outcome.end), (expected.clone(), End::Done));

        let settings = json!({ "words": words, "whole_words": whole_words, "case_sensitive": case_sensitive });
        let denies: DenyWords = configure(&settings.to_string()).unwrap();
        let outcome = Stream::new().run(&denies, &pieces(&text, &cuts));
        prop_assert_eq!(outcome.end != End::Done, expected != text);
    }

    #[test]
    fn arguments_read_alike_and_stay_json(
        words in prop::collection::vec("(a|b|1|2|\"|é|🦊|tr){1,3}", 1..4),
        values in prop::collection::vec(("[ab12\"\\\\é🦊]{0,6}", any::<bool>()), 0..5),
        number: u32,
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut source = format!("{{\"n\":{number},\"t\":true,\"l\":[");
        for (at, (value, escape)) in values.iter().enumerate() {
            if at > 0 { source.push_str(" , "); }
            if *escape {
                let units: String = value.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
                source.push_str(&format!("\"{units}\""));
            } else {
                source.push_str(&Value::from(value.as_str()).to_string());
            }
        }
        source.push_str("]}");
        let masks = plugin(&json!({ "words": words, "action": "mask", "mask": "#!" }));
        let tool = Stream::new().tool("t");
        let expected = tool.run(&masks, &[&source]).text;
        let read: Value = serde_json::from_str(&expected).unwrap();
        for value in read["l"].as_array().unwrap() {
            prop_assert!(!words.iter().any(|word| value.as_str().unwrap().contains(word.as_str())), "{} in {}", value, source);
        }
        prop_assert_eq!(tool.run(&masks, &pieces(&source, &cuts)).text, expected);
    }
}
