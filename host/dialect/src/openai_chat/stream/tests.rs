//! Events as providers send them, and what the two looks make of them.

use super::*;
use crate::json;

fn event(data: &str) -> Event {
    analyse(data.as_bytes()).unwrap()
}

/// Each slot as (choice, kind, text).
fn texts(data: &str) -> Vec<(u32, Kind, String)> {
    let read = |slot: &Slot| {
        let literal = slot
            .literal
            .clone()
            .map_or(String::new(), |literal| json::string(data.as_bytes(), literal).unwrap().into_owned());
        (slot.choice, slot.kind, literal)
    };
    event(data).slots.iter().map(read).collect()
}

fn with_delta(delta: &str) -> String {
    format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}],"usage":null}}"#)
}

#[test]
fn what_is_not_an_object_is_an_error() {
    for data in ["", "[DONE]", "{", "{\"a\":1}x", "\u{feff}{}", "{'a':1}"] {
        assert!(matches!(glance(data.as_bytes()), Err(NotJson::Syntax(_))), "{data}");
        assert!(matches!(analyse(data.as_bytes()), Err(NotJson::Syntax(_))), "{data}");
    }
    for data in ["[]", "null", "\"text\"", "1"] {
        assert_eq!(glance(data.as_bytes()), Err(NotJson::NotObject), "{data}");
        assert_eq!(analyse(data.as_bytes()), Err(NotJson::NotObject), "{data}");
    }
    assert_eq!(NotJson::NotObject.to_string(), "not a JSON object");
}

#[test]
fn content_is_what_a_model_made() {
    let content = [
        r#"{"content":"a"}"#,
        r#"{"content":[{"type":"text","text":"a"}]}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}"#,
        r#"{"reasoning_content":"a"}"#,
        r#"{"reasoning":"a","content":""}"#,
        r#"{"reasoning_text":"a"}"#,
        r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}"#,
        r#"{"refusal":"no"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}"#,
        r#"{"tool_calls":[{"index":0,"custom":{"input":"x"}}]}"#,
        r#"{"function_call":{"name":"f"}}"#,
        r#"{"audio":{"data":"UklG"}}"#,
        r#"{"audio":{"id":"a","transcript":"hi"}}"#,
    ];
    for delta in content {
        assert!(glance(with_delta(delta).as_bytes()).unwrap().content, "{delta}");
        assert!(event(&with_delta(delta)).content, "{delta}");
    }
    let none = [
        "{}",
        "null",
        r#"{"role":"assistant","content":""}"#,
        r#"{"content":null,"refusal":null,"tool_calls":null,"reasoning_details":[]}"#,
        r#"{"content":[]}"#,
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"","name":null}}]}"#,
        r#"{"audio":{"id":"audio_1","expires_at":1}}"#,
        r#"{"annotations":[{"type":"url_citation"}],"channel":"analysis"}"#,
    ];
    for delta in none {
        assert!(!glance(with_delta(delta).as_bytes()).unwrap().content, "{delta}");
        assert!(!event(&with_delta(delta)).content, "{delta}");
        let described = event(&with_delta(delta)).slots.into_iter().filter(|slot| !slot.is_loose());
        assert!(described.into_iter().all(|slot| !slot.has_text() && slot.name.is_none()), "{delta}");
    }
}

#[test]
fn a_glance_reads_ends_usage_and_errors() {
    let look = |data: &str| glance(data.as_bytes()).unwrap();
    let usage = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;
    let last = look(&format!(r#"{{"choices":[],"usage":{usage}}}"#));
    assert!(last.only_usage && last.usage.is_some_and(|usage| usage.input == 3 && usage.output == 2));
    let groq =
        look(&format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop"}}],"x_groq":{{"usage":{usage}}}}}"#));
    assert!(!groq.only_usage && groq.usage.is_some());
    assert_eq!(groq.finished, 1);
    let two = look(
        r#"{"choices":[{"finish_reason":"stop"},{"finish_reason":"length"},{"finish_reason":null}],"usage":null}"#,
    );
    assert_eq!((two.finished, two.usage), (2, None));
    assert_eq!(look(r#"{"choices":[{"finish_reason":""}]}"#).finished, 0);
    assert!(!look("{}").only_usage && !look(r#"{"choices":null}"#).only_usage);
    assert!(look(r#"{"error":{"message":"x"}}"#).error);
    assert!(!look(r#"{"error":null}"#).error);
    assert!(look(r#"{"choices":[{"message":{"content":"a"}}]}"#).content);
}

#[test]
fn texts_of_every_place_are_found() {
    let data = r#"{"choices":[{"delta":{"content":"a\"b","refusal":"r","reasoning_content":"t"},"index":3},
        {"index":1,"delta":{"tool_calls":[{"index":2,"id":"i","function":{"name":"f","arguments":"{"}},{"index":4,"custom":{"input":"y"}}],
        "function_call":{"name":"g","arguments":"z"},"audio":{"transcript":"said","data":"UklG"}}}]}"#;
    let found: Vec<(u32, Kind, String)> = vec![
        (3, Kind::Text, "a\"b".into()),
        (3, Kind::Refusal, "r".into()),
        (3, Kind::Reasoning, "t".into()),
        (1, Kind::ToolArguments, "{".into()),
        (1, Kind::ToolArguments, "y".into()),
        (1, Kind::ToolArguments, "z".into()),
        (1, Kind::Text, "said".into()),
    ];
    assert_eq!(texts(data), found);
    let event = event(data);
    assert_eq!(event.slots.iter().filter_map(Slot::tool).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(event.repeats.len(), 1);
    assert_eq!(event.repeats[0].mend, Mend::Empty);
    assert_eq!(event.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn keys_may_be_escaped_and_stand_twice() {
    let data = r#"{"\u0063hoices":[{"delta":{"cont\u0065nt":"a","content":"b"}}]}"#;
    assert_eq!(texts(data).len(), 2);
    let twice = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"a","arguments":"b"}}]}}]}"#;
    assert_eq!(texts(twice), [(0, Kind::ToolArguments, "a".to_owned()), (0, Kind::ToolArguments, "b".to_owned())]);
}

#[test]
fn a_message_without_a_delta_is_read() {
    let data = r#"{"choices":[{"message":{"role":"assistant","content":"a"},"delta":null,"text":"a"}]}"#;
    assert_eq!(texts(data), [(0, Kind::Text, "a".to_owned())]);
    assert_eq!(event(data).repeats[0].mend, Mend::Follow(0));
    assert_eq!(texts(r#"{"choices":[{"text":"a"}]}"#), [(0, Kind::Text, "a".to_owned())]);
    assert_eq!(texts(r#"{"choices":[{"delta":{"content":"b"},"text":"a"}]}"#).len(), 2);
}

#[test]
fn copies_are_told_from_texts() {
    let repeats =
        |data: &str| event(data).repeats.iter().map(|repeat| (repeat.mend, repeat.unread)).collect::<Vec<_>>();
    let logprobs = |content: &str, tokens: &str| {
        format!(
            r#"{{"choices":[{{"logprobs":{{"content":{tokens},"refusal":null}},"delta":{{"content":"{content}"}}}}]}}"#
        )
    };
    assert_eq!(repeats(&logprobs("a", r#"[{"token":"a"}]"#)), [(Mend::Null, false)]);
    assert_eq!(repeats(&logprobs("", "[]")), [(Mend::Null, false)]);
    assert_eq!(repeats(&logprobs("", r#"[{"token":"a"}]"#)), [(Mend::Null, true)]);
    assert_eq!(
        repeats(r#"{"choices":[{"message":{"content":"abc"},"delta":{"content":"c"}}]}"#),
        [(Mend::Message, false)]
    );
    let details = r#"{"reasoning_details":[{"text":"t","signature":"s"}],"content":"a","reasoning":"t"}"#;
    assert_eq!(repeats(&with_delta(details)), [(Mend::Follow(1), false)]);
    assert_eq!(texts(&with_delta(details)).len(), 2);
    let other = r#"{"reasoning_details":[{"text":"other"}],"reasoning":"t"}"#;
    assert_eq!(texts(&with_delta(other)).len(), 2);
}

#[test]
fn only_a_lone_text_is_cut() {
    let cuttable = |delta: &str, role_sent: bool| event(&with_delta(delta)).cuttable(role_sent);
    assert!(cuttable(r#"{"content":"a"}"#, false));
    assert!(cuttable(r#"{"content":"a","refusal":null,"tool_calls":null}"#, false));
    assert!(cuttable(r#"{"role":"assistant","content":"a"}"#, true));
    assert!(!cuttable(r#"{"role":"assistant","content":"a"}"#, false));
    assert!(!cuttable(r#"{"content":"a","reasoning":"b"}"#, true));
    assert!(!cuttable(r#"{"tool_calls":[{"index":0,"id":"i","function":{"name":"f","arguments":"a"}}]}"#, true));
    assert!(cuttable(r#"{"tool_calls":[{"index":0,"function":{"arguments":"a"}}]}"#, true));
    assert!(!cuttable(r#"{"reasoning":"a","reasoning_content":"a"}"#, true));
}

#[test]
fn choices_are_removed_with_their_commas() {
    for array in ["[{\"index\":0},{\"index\":1},{\"index\":2}]", "[ {\"index\":0} ,\n{\"index\":1} , {\"index\":2} ]"] {
        let data = format!("{{\"choices\":{array}}}");
        for gone in 0..8_u32 {
            let mut edits = Edits::default();
            edits.remove_choices(&event(&data), |index| gone & (1 << index) != 0);
            let out = edits.apply(data.as_bytes());
            let left: Vec<u32> = analyse(&out).unwrap().choices.iter().map(|choice| choice.index).collect();
            assert_eq!(left, (0..3).filter(|index| gone & (1 << index) == 0).collect::<Vec<_>>(), "{out:?}");
        }
    }
}

#[test]
fn a_made_event_is_read_as_its_text() {
    let template = br#"{"id":"x","usage":{"a":1},"object":"chat.completion.chunk","choices":[{"delta":{"content":"old"}}],"citations":["c"]}"#;
    for place in [
        Place::Member("content"),
        Place::Member("reasoning"),
        Place::Part,
        Place::Thinking,
        Place::Detail("summary"),
        Place::Tool { index: 3, indexed: true, custom: false },
        Place::Tool { index: 3, indexed: true, custom: true },
        Place::FunctionCall,
        Place::Transcript,
    ] {
        let made = synthesise(template, 2, Says::Text(place, "n\"w"));
        let event = analyse(&made).unwrap();
        assert_eq!(event.slots.iter().map(|slot| (slot.choice, slot.place)).collect::<Vec<_>>(), [(2, place)]);
        assert!(!event.usage && event.choices[0].finish.is_none());
        let made = String::from_utf8(made).unwrap();
        assert!(
            made.starts_with(r#"{"id":"x","object":"chat.completion.chunk","choices":"#) && !made.contains("old"),
            "{made}"
        );
    }
    let refused = analyse(&synthesise(template, 1, Says::Refused)).unwrap();
    assert!(refused.choices[0].finish.is_some() && refused.choices[0].index == 1);
}

/// Each undescribed string as (choice, kind, text, beside the choices).
fn loose(data: &str) -> Vec<(u32, Kind, String, bool)> {
    let slots = event(data).slots.into_iter();
    slots
        .filter_map(|slot| {
            let Place::Loose { top } = slot.place else { return None };
            let text = json::string(data.as_bytes(), slot.literal?).unwrap().into_owned();
            Some((slot.choice, slot.kind, text, top))
        })
        .collect()
}

#[test]
fn undescribed_strings_are_found_at_every_level() {
    let data = r#"{"id":"x","citations":["u1","","u2"],"obfuscation":"Wu","p":"abc","system_fingerprint":"f","search_results":[{"title":"t","type":"no","n":1}],
        "choices":[{"index":4,"later":{"a":["b"]},"stop_reason":"s","delta":{"role":"assistant","content":"c","annotations":[{"type":"url_citation","url_citation":{"url":"v","title":"w"}}],
        "executed_tools":[{"index":0,"type":"search","name":"n","arguments":"q","output":"o","search_results":{"results":[{"title":"r"}]}}],"name":"assistant","channel":"final"}}]}"#;
    let found: Vec<(u32, Kind, String, bool)> = [
        (4, Kind::Other, "b", false),
        (4, Kind::Other, "v", false),
        (4, Kind::Other, "w", false),
        (4, Kind::ToolArguments, "q", false),
        (4, Kind::ToolResult, "o", false),
        (4, Kind::ToolResult, "r", false),
        (4, Kind::Other, "final", false),
        (0, Kind::Other, "u1", true),
        (0, Kind::Other, "u2", true),
        (0, Kind::Other, "t", true),
    ]
    .into_iter()
    .map(|(choice, kind, text, top)| (choice, kind, text.to_owned(), top))
    .collect();
    assert_eq!(loose(data), found);
    assert!(event(data).content);
    assert!(!event(r#"{"citations":["u"],"choices":[{"delta":{"new":"n"}}]}"#).content);
}

#[test]
fn undescribed_strings_that_say_a_text_again_follow_it() {
    let data = r#"{"token":{"text":"a\u0062"},"choices":[{"index":2,"delta":{"content":"ab","new":"ab"},"generated":"ab","other":"abc"}]}"#;
    assert_eq!(loose(data), [(2, Kind::Other, "abc".to_owned(), false)]);
    let repeats: Vec<_> =
        event(data).repeats.iter().map(|repeat| (repeat.choice, repeat.mend, repeat.outside)).collect();
    assert_eq!(repeats, [(2, Mend::Follow(0), false), (2, Mend::Follow(0), false), (2, Mend::Follow(0), true)]);
}

/// What a whole reply shows of a message, a stream shows of a delta: the same strings as pieces or copies.
#[test]
fn a_delta_shows_what_a_message_shows() {
    for message in [
        r#"{"role":"assistant","content":"a","annotations":[{"type":"x","url_citation":{"title":"b","id":"no"}}],"reasoning_encrypted":"no"}"#,
        r#"{"content":["a",{"type":"text","text":"b","annotations":[{"title":"c"}]},{"type":"document","data":"plain text here","title":"d"},{"type":"file","file_data":"data:no;base64,AAAA"}]}"#,
        r#"{"content":{"type":"a","answer":{"id":"b"}}}"#,
        r#"{"content":[{"type":"thinking","thinking":["a",{"type":"text","text":"b","note":"c"}],"signature":"no"}]}"#,
        r#"{"reasoning":{"steps":["a"]},"reasoning_details":["b",{"type":"reasoning.text","text":"c","title":"d","signature":"no"}]}"#,
        r#"{"reasoning_details":"a","reasoning_content":["b"]}"#,
        r#"{"tool_calls":[{"id":"no","function":{"name":"no","arguments":{"id":"a","b":["c"]}}},{"custom":{"name":"no","input":"d","arguments":"e"}}]}"#,
        r#"{"function_call":{"name":"no","arguments":{"type":"a"},"input":"b"}}"#,
        r#"{"executed_tools":[{"type":"no","arguments":"a","output":{"b":"c"}}],"audio":{"id":"no","transcript":"d","data":"UklG"}}"#,
        r#"{"tool_call_id":"a","status":"b","x":[["c"],{"d":{"e":"f"}}]}"#,
    ] {
        let read = |data: &[u8], ranges: Vec<std::ops::Range<usize>>| {
            let mut texts: Vec<String> =
                ranges.into_iter().map(|range| String::from_utf8_lossy(&data[range]).into_owned()).collect();
            texts.sort();
            texts
        };
        let whole = format!(r#"{{"choices":[{{"message":{message},"new":["n"]}}],"fresh":"o"}}"#);
        let map = crate::openai_chat::reply::text_map(whole.as_bytes());
        let pieces = map.pieces.into_iter().map(|piece| piece.literal);
        let expected = read(whole.as_bytes(), pieces.chain(map.copies.into_iter().map(|copy| copy.range)).collect());
        let streamed = whole.replace("message", "delta");
        let event = event(&streamed);
        let slots = event.slots.into_iter().filter_map(|slot| slot.literal);
        let found =
            read(streamed.as_bytes(), slots.chain(event.repeats.into_iter().map(|repeat| repeat.range)).collect());
        assert_eq!(found, expected, "{message}");
    }
}

#[test]
fn more_undescribed_strings_than_are_looked_at_are_told() {
    let many = |count: usize| format!(r#"{{"citations":[{}]}}"#, vec![r#""u""#; count].join(","));
    assert!(!event(&many(MAX_LOOSE)).overfull);
    assert!(event(&many(MAX_LOOSE + 1)).overfull);
    assert_eq!(event(&many(MAX_LOOSE + 1)).slots.len(), MAX_LOOSE);
}
