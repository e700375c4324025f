use proptest::prelude::*;

use super::*;
use crate::openai_chat::{reply, request};

const REQUEST: &str = r#"{ "model": "m",  "messages": [ {"role":"user","content":"one"} , {"role":"assistant", "content":"tw\u006f"}, {"role":"user","content":"three"} ],"x":1e2 }"#;

fn open(json: &str) -> Document {
    Document::new(Bytes::copy_from_slice(json.as_bytes()), request::text_map, 1 << 16)
}

fn text_of(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn untouched_is_the_same_bytes_and_scans_nothing() {
    let base = Bytes::from_static(REQUEST.as_bytes());
    let document = Document::new(base.clone(), |_| panic!("nobody reads"), 10);
    assert_eq!(document.commit().as_ptr(), base.as_ptr());
    assert!(!document.edited());
    assert_eq!(document.get("/model"), Some("\"m\""));
}

#[test]
fn a_text_edit_splices_and_shows_in_every_read() {
    let mut document = open(REQUEST);
    document.set_text(1, "zwei\n\"2\"\u{1e}").unwrap();
    assert_eq!(document.text(1).as_deref(), Some("zwei\n\"2\"\u{1e}"));
    assert_eq!(document.joined(), "one\u{1e}zwei\n\"2\"\u{fffd}\u{1e}three");
    assert_eq!(document.get("/messages/1/content"), Some(r#""zwei\n\"2\"\u001e""#));
    assert_eq!(text_of(&document.commit()), REQUEST.replace(r#""tw\u006f""#, r#""zwei\n\"2\"\u001e""#));
    assert!(document.edited());
    // Back to the original text: back to the original bytes, escapes and all.
    document.set_text(1, "two").unwrap();
    assert!(!document.edited());
    assert_eq!(text_of(&document.commit()), REQUEST);
    assert!(document.set_text(3, "x").unwrap_err().0.contains("only 3"));
    assert!(document.text(3).is_none());
}

#[test]
fn structural_edits_keep_every_other_byte() {
    let mut document = open(REQUEST);
    document.set("/temperature", " 0.5 ").unwrap();
    assert_eq!(text_of(&document.commit()), REQUEST.replace("1e2", "1e2,\"temperature\":0.5"));
    document.set("/temperature", "1").unwrap();
    document.remove("/temperature").unwrap();
    assert_eq!(text_of(&document.commit()), REQUEST);
    document.set_text(0, "uno").unwrap();
    document.insert("/messages/0", r#"{"role":"system","content":"zero"}"#).unwrap();
    document.insert("/messages/-", r#"{"role":"user","content":"four"}"#).unwrap();
    assert_eq!(document.joined(), "zero\u{1e}uno\u{1e}two\u{1e}three\u{1e}four");
    document.remove("/messages/2").unwrap();
    document.remove("/messages/3").unwrap();
    assert_eq!(document.joined(), "zero\u{1e}uno\u{1e}three");
    assert!(text_of(&document.commit()).contains(r#","x":1e2 }"#));
    document
        .set("/messages/1/content", "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]")
        .unwrap();
    assert_eq!(document.joined(), "zero\u{1e}a\u{1e}b\u{1e}three");
}

#[test]
fn removal_takes_one_comma() {
    for (json, pointer, expected) in [
        (r#"{ "a": 1 }"#, "/a", "{  }"),
        (r#"{"a":1 , "b":2 ,"c":3}"#, "/a", r#"{"b":2 ,"c":3}"#),
        (r#"{"a":1 , "b":2 ,"c":3}"#, "/b", r#"{"a":1 , "c":3}"#),
        (r#"{"a":1 , "b":2 ,"c":3 }"#, "/c", r#"{"a":1 , "b":2 }"#),
        (r#"{"a":1,"b":2,"a":3}"#, "/a", r#"{"b":2}"#),
        (r#"{"a":1,"a":2,"b":3}"#, "/a", r#"{"b":3}"#),
        (r#"{"b":3,"a":1,"a":2}"#, "/a", r#"{"b":3}"#),
        (r#"{"x":[1, 2, 3]}"#, "/x/1", r#"{"x":[1, 3]}"#),
        (r#"{"x":[ 1 ]}"#, "/x/0", r#"{"x":[  ]}"#),
        (r#"{"a/b":1,"c~d":2}"#, "/a~1b", r#"{"c~d":2}"#),
    ] {
        let mut document = open(json);
        document.remove(pointer).unwrap();
        assert_eq!(text_of(&document.commit()), expected, "{json} {pointer}");
    }
}

#[test]
fn a_repeated_member_does_not_keep_its_old_value() {
    let mut document = open(r#"{"model":"a","model":"b"}"#);
    document.set("/model", "\"c\"").unwrap();
    assert_eq!(text_of(&document.commit()), r#"{"model":"c","model":"c"}"#);
}

#[test]
fn refused_edits_say_why_and_change_nothing() {
    let mut document = open(REQUEST);
    for (result, words) in [
        (document.clone().set("/a", "{"), "not JSON"),
        (document.clone().set("/a/b", "1"), "nothing stands at \"/a\""),
        (document.clone().set("model", "1"), "begins with"),
        (document.clone().set("/messages/9", "1"), "insert adds"),
        (document.clone().set("/messages/-", "1"), "does not end in an index"),
        (document.clone().set("/model/x", "1"), "neither object nor array"),
        (document.clone().set("", "[]"), "another object"),
        (document.clone().set("/a~2", "1"), "neither \"~0\""),
        (document.clone().insert("/model", "1"), "not inside an array"),
        (document.clone().insert("/messages/4", "1"), "past the end"),
        (document.clone().insert("/messages/01", "1"), "does not end in an index"),
        (document.clone().insert("", "1"), "no place inside"),
        (document.clone().remove("/nope"), "nothing stands"),
        (document.clone().remove("/messages/3"), "nothing stands"),
        (document.clone().remove(""), "cannot be removed"),
        (document.clone().set_text(0, &"x".repeat(1 << 16)), "at most 65536"),
        (document.clone().set("/big", &format!("\"{}\"", "x".repeat(1 << 16))), "at most 65536"),
    ] {
        let error = result.unwrap_err();
        assert!(error.0.contains(words), "{error}");
    }
    assert!(document.set("/messages/0/content/x", "1").is_err());
    assert_eq!(document.commit(), REQUEST);
    assert!(!document.edited());
}

#[test]
fn the_cap_counts_all_edits_together_and_what_repeats_them() {
    let json = r#"{"choices":[{"text":"ab","message":{"content":"ab"}}]}"#;
    let mut document = Document::new(Bytes::from_static(json.as_bytes()), reply::text_map, json.len() + 6);
    document.set_text(0, "abcde").unwrap();
    assert_eq!(document.commit().len(), json.len() + 6);
    assert!(document.set_text(0, "abcdef").is_err());
    assert_eq!(document.text(0).as_deref(), Some("abcde"));
    document.set_text(0, "").unwrap();
    assert_eq!(document.commit(), r#"{"choices":[{"text":"","message":{"content":""}}]}"#);
}

#[test]
fn rollback_restores_text_structure_and_pieces() {
    let mut document = open(REQUEST);
    let clean = document.checkpoint();
    document.set_text(0, "uno").unwrap();
    let half = document.checkpoint();
    document.set_text(0, "eins").unwrap();
    document.set_text(2, "drei").unwrap();
    document.remove("/messages/0").unwrap();
    assert_eq!(document.joined(), "two\u{1e}drei");
    document.rollback(half);
    assert_eq!(document.joined(), "uno\u{1e}two\u{1e}three");
    assert!(document.edited());
    document.rollback(clean);
    assert_eq!((document.commit(), document.edited()), (Bytes::from_static(REQUEST.as_bytes()), false));
    assert_eq!(document.joined(), "one\u{1e}two\u{1e}three");
}

/// One random edit: what to do, where, and a text.
fn edits() -> impl Strategy<Value = Vec<(u8, usize, String)>> {
    proptest::collection::vec((0_u8..6, 0_usize..12, "[a-z\"\\\\\u{1e}가😀\n ]{0,6}"), 0..12)
}

/// A request with random white space, contents and a member that nobody knows.
fn requests() -> impl Strategy<Value = String> {
    let gap = prop_oneof![Just(""), Just(" "), Just("\n\t")];
    let content = prop_oneof![
        "[a-z가 ]{0,8}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""\u0041\n\ud83d\ude00""#.to_owned()),
        Just("null".to_owned()),
        "[a-z]{1,4}".prop_map(|text| format!(
            "[{{\"type\":\"text\",\"text\":\"{text}\"}},{{\"type\":\"image_url\",\"image_url\":{{\"url\":\"u\"}}}}]"
        )),
    ];
    (proptest::collection::vec((gap, content), 1..5), any::<f32>().prop_filter("JSON", |n| n.is_finite())).prop_map(
        |(messages, number)| {
            let list: Vec<_> = messages
                .iter()
                .map(|(gap, content)| format!("{gap}{{\"role\":\"user\",{gap}\"content\":{gap}{content}}}{gap}"))
                .collect();
            format!("{{\"unknown\":{{\"n\":{number},\"s\":\"q\"}},\"messages\":[{}]}}", list.join(","))
        },
    )
}

proptest! {
    #[test]
    fn random_edits_leave_json_and_untouched_bytes(json in requests(), edits in edits()) {
        let mut document = open(&json);
        let unknown = document.get("/unknown").unwrap().to_owned();
        for (what, place, text) in edits {
            let before = document.commit();
            let checkpoint = document.checkpoint();
            let mut literal = Vec::new();
            json::quote(&text, &mut literal);
            let literal = String::from_utf8(literal).unwrap();
            let done = match what {
                0 | 1 => document.set_text(place, &text),
                2 => document.set(&format!("/messages/{place}/content"), &literal),
                3 => document.insert(&format!("/messages/{place}"), &format!("{{\"content\":{literal}}}")),
                4 => document.remove(&format!("/messages/{place}")),
                _ => document.set(&format!("/k{place}"), &literal),
            };
            let after = document.commit();
            prop_assert!(json::validate(&after).is_ok());
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&after).is_ok());
            prop_assert_eq!(document.get("/unknown"), Some(unknown.as_str()));
            if done.is_err() {
                prop_assert_eq!(&after, &before);
            }
            // What is read is what will be sent.
            let fresh = open(text_of(&after));
            let parts = |document: &Document| -> Vec<String> {
                (0..document.pieces().len()).filter_map(|i| document.text(i).map(|text| text.into_owned())).filter(|text| !text.is_empty()).collect()
            };
            prop_assert_eq!(parts(&document), parts(&fresh));
            if place % 3 == 0 {
                document.rollback(checkpoint);
                prop_assert_eq!(&document.commit(), &before);
            }
        }
    }

    #[test]
    fn text_edits_touch_only_their_literals(json in requests(), edits in proptest::collection::vec((0_usize..6, "[a-z\"가]{0,5}"), 0..6)) {
        let mut document = open(&json);
        let pieces: Vec<_> = document.pieces().iter().map(|piece| piece.literal.clone()).collect();
        let mut expected: Vec<(Range<usize>, String)> = pieces.iter().map(|range| (range.clone(), json[range.clone()].to_owned())).collect();
        for (index, text) in edits {
            if document.set_text(index, &text).is_ok() {
                let original = json::string(json.as_bytes(), pieces[index].clone()).unwrap();
                let mut literal = Vec::new();
                json::quote(&text, &mut literal);
                expected[index].1 = if original == text { json[pieces[index].clone()].to_owned() } else { String::from_utf8(literal).unwrap() };
            }
        }
        let mut whole = String::new();
        let mut at = 0;
        for (range, text) in &expected {
            whole.push_str(&json[at..range.start]);
            whole.push_str(text);
            at = range.end;
        }
        whole.push_str(&json[at..]);
        prop_assert_eq!(document.commit(), whole);
    }
}
