use std::borrow::Cow;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn text_of<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a str {
    std::str::from_utf8(&bytes[range.clone()]).unwrap()
}

#[test]
fn accepts_what_the_grammar_allows() {
    for good in [
        "null",
        " true ",
        "0",
        "-0",
        "-0.0e-0",
        "1E+9",
        "1e999",
        "123456789012345678901234567890",
        r#""""#,
        r#""\ud800""#,
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        "[]",
        "{}",
        " [ ] ",
        " { } ",
        "[[],{},[{}]]",
        "\t{\r\n\"a\" : [ 1 , \"b\" , { \"c\" : null } ] }\n",
        "{\"a\":1,\"a\":2}",
        "\"\u{7f}\u{2028}한국어😀\"",
    ] {
        assert_eq!(validate(good.as_bytes()), Ok(()), "{good}");
    }
}

#[test]
fn names_the_first_place_that_is_wrong() {
    let cases: &[(&[u8], usize, usize, usize, &str)] = &[
        (b"", 0, 1, 1, "the document ends too early"),
        (b"  ", 2, 1, 3, "the document ends too early"),
        (b"{\n  \"a\": 1,\n}", 12, 3, 1, "expected a member name in double quotes"),
        (b"{\"a\":1", 6, 1, 7, "the document ends too early"),
        (b"{\"a\" 1}", 5, 1, 6, "expected `:`"),
        (b"{\"a\":1]", 6, 1, 7, "expected `,` or `}`"),
        (b"[1}", 2, 1, 3, "expected `,` or `]`"),
        (b"[1,]", 3, 1, 4, "expected a value"),
        (b"{} {}", 3, 1, 4, "text after the end of the document"),
        (b"01", 1, 1, 2, "text after the end of the document"),
        (b"-", 1, 1, 2, "the document ends too early"),
        (b"1.", 2, 1, 3, "the document ends too early"),
        (b"[1.]", 3, 1, 4, "expected a digit"),
        (b"[1e+]", 4, 1, 5, "expected a digit"),
        (b"[nul]", 1, 1, 2, "expected a value"),
        (b"nul", 3, 1, 4, "the document ends too early"),
        (b"nan", 0, 1, 1, "expected a value"),
        (b"'a'", 0, 1, 1, "expected a value"),
        (b"\"a\nb\"", 2, 1, 3, "a control character inside a string (write it as an escape)"),
        (b"\"\\x\"", 1, 1, 2, "an unknown escape inside a string"),
        (b"\"\\u12g4\"", 1, 1, 2, "an unknown escape inside a string"),
        (b"\"\\", 2, 1, 3, "the document ends too early"),
        ("[\"한국\" x]".as_bytes(), 10, 1, 7, "expected `,` or `]`"),
        (b"\xef\xbb\xbf{}", 0, 1, 1, "expected a value"),
        (b"[\"\xff\"]", 2, 1, 3, "text that is not UTF-8"),
        (b"[\"\xed\xa0\x80\"]", 2, 1, 3, "text that is not UTF-8"),
    ];
    for &(bytes, offset, line, column, what) in cases {
        let found = validate(bytes).unwrap_err();
        assert_eq!(found, SyntaxError { offset, line, column, what }, "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(validate(b"[\n1 2]").unwrap_err().to_string(), "expected `,` or `]` at line 2, column 3");
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let nested = |open: &str, close: &str, levels: usize| format!("{}0{}", open.repeat(levels), close.repeat(levels));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let per = open.matches(['[', '{']).count();
        assert_eq!(validate(nested(open, close, MAX_DEPTH / per).as_bytes()), Ok(()));
        let fault = validate(nested(open, close, MAX_DEPTH / per + 1).as_bytes()).unwrap_err();
        assert_eq!(fault.what, "nesting deeper than 256 levels");
        assert!(validate(nested(open, close, 100_000).as_bytes()).is_err());
        assert!(validate(open.repeat(100_000).as_bytes()).is_err());
    }
    // Readers get documents that passed, but must not fall over on others.
    let deep = nested("[", "]", 100_000);
    assert_eq!(value(deep.as_bytes(), 0), Some(0..deep.len()));
}

#[test]
fn members_and_items_are_ranges_of_the_original() {
    let bytes = br#" { "a" : [ 1 , "x,]" , {"b":{}} ] ,"mod\u0065l":"g\"p\\" , "n":-1.5e3,"a":null} "#;
    let seen: Vec<_> =
        object(bytes, 0).unwrap().map(|member| (text_of(bytes, &member.key), text_of(bytes, &member.value))).collect();
    assert_eq!(
        seen,
        [
            (r#""a""#, r#"[ 1 , "x,]" , {"b":{}} ]"#),
            (r#""mod\u0065l""#, r#""g\"p\\""#),
            (r#""n""#, "-1.5e3"),
            (r#""a""#, "null"),
        ]
    );
    let list = field(bytes, 0, "a").unwrap();
    let items: Vec<_> = array(bytes, list.start).unwrap().map(|item| text_of(bytes, &item)).collect();
    assert_eq!(items, ["1", r#""x,]""#, r#"{"b":{}}"#]);
    assert_eq!(text_of(bytes, &field(bytes, 0, "model").unwrap()), r#""g\"p\\""#);
    assert_eq!(field(bytes, 0, "absent"), None);
    assert!(object(bytes, list.start).is_none() && array(bytes, 0).is_none());
    assert_eq!(object(b"{ }", 0).unwrap().count(), 0);
    assert_eq!(array(b" [\n]", 0).unwrap().count(), 0);
}

#[test]
fn keys_are_compared_by_what_they_mean() {
    let is = |json: &str, name: &str| object(json.as_bytes(), 0).unwrap().next().unwrap().is(json.as_bytes(), name);
    assert!(is(r#"{"model":1}"#, "model"));
    assert!(is(r#"{"\u006d\u006F\u0064el":1}"#, "model"));
    assert!(is(r#"{"\ud83d\ude00":1}"#, "😀"));
    assert!(is(r#"{"":1}"#, ""));
    assert!(!is(r#"{"models":1}"#, "model"));
    assert!(!is(r#"{"Model":1}"#, "model"));
    // The spelling `\n` is a line feed, not a backslash and an n.
    assert!(!is(r#"{"\n":1}"#, r"\n"));
    assert!(is(r#"{"\\n":1}"#, r"\n"));
}

#[test]
fn strings_decode_and_borrow_where_they_can() {
    let decoded = |literal: &str| string(literal.as_bytes(), 0..literal.len()).map(Cow::into_owned);
    assert!(matches!(string(b"\"plain\"", 0..7), Some(Cow::Borrowed("plain"))));
    assert_eq!(decoded(r#""a\n\t\"\\\/\b\f\r\u00e9\uD83D\uDE00z""#).unwrap(), "a\n\t\"\\/\u{8}\u{c}\ré😀z");
    assert_eq!(decoded(r#""\ud800""#).unwrap(), "\u{fffd}");
    assert_eq!(decoded(r#""\udc00x""#).unwrap(), "\u{fffd}x");
    assert_eq!(decoded(r#""\ud800\ud83d\ude00""#).unwrap(), "\u{fffd}😀");
    assert_eq!(decoded(r#""\ud800\u0041""#).unwrap(), "\u{fffd}A");
    assert_eq!(decoded(r#""\ud800\n""#).unwrap(), "\u{fffd}\n");
    for not_a_string in ["1", "", "\"", "\"a", "\"\\\"", "\"a\"b\"", "\"\\u12\"", "\"\\q\"", "\"\n\""] {
        assert_eq!(decoded(not_a_string), None, "{not_a_string}");
        let mut out = String::from("kept");
        assert!(!append_string(not_a_string.as_bytes(), 0..not_a_string.len(), &mut out));
        assert_eq!(out, "kept");
    }
    assert_eq!(string(b"\"a\"", 0..9), None);
    let mut out = String::from(">");
    assert!(append_string(br#""a\u0041""#, 0..9, &mut out));
    assert_eq!(out, ">aA");
}

#[test]
fn quotes_no_more_than_it_must() {
    let mut out = Vec::new();
    quote("a\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}é😀", &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}é😀\"");
}

#[test]
fn pointers_follow_the_rfc() {
    let bytes =
        r#" {"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"~1":9,"한":{"0":{"x":[[1,2],3]}},"d":1,"d":2} "#.as_bytes();
    let found = |path: &str| pointer(bytes, path).map(|range| text_of(bytes, &range));
    assert_eq!(found("").unwrap().len(), bytes.len() - 2);
    assert_eq!(found("/foo"), Some(r#"["bar","baz"]"#));
    assert_eq!(found("/foo/0"), Some(r#""bar""#));
    assert_eq!(found("/"), Some("0"));
    assert_eq!(found("/a~1b"), Some("1"));
    assert_eq!(found("/m~0n"), Some("8"));
    assert_eq!(found("/~01"), Some("9"));
    assert_eq!(found("/한/0/x/0/1"), Some("2"));
    assert_eq!(found("/d"), Some("2"));
    for nothing in ["foo", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/", "/foo/0/x", "/m~n", "/m~2n", "/foo~"] {
        assert_eq!(found(nothing), None, "{nothing}");
    }
    assert_eq!(found("/foo/99999999999999999999999"), None);
}

/// Any text, with what JSON escapes and what UTF-16 splits made likely.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-z]{0,40}",
        1 => Just("\"".to_owned()),
        1 => Just("\\".to_owned()),
        1 => "[\u{0}-\u{1f}]{1,2}",
        1 => "(한국어|😀|e\u{301}|~|/|\u{2028}){1,3}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What is left of a document after a few bytes were cut, doubled or replaced.
fn mutated(mut bytes: Vec<u8>, edits: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    const LIKELY: &[u8] = b"\"\\{}[],:0123456789eE+-.truefalsn \n\t\x00\x1f\x80\xffu";
    for (kind, place, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = place.index(bytes.len());
        let byte = LIKELY[usize::from(*byte) % LIKELY.len()];
        match kind % 4 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            2 => bytes[at] = byte,
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Every pointer of a value, with the value it names.
fn pointers(value: &Value, path: &str, out: &mut Vec<String>) {
    out.push(path.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{path}/{index}"), out);
            }
        }
        Value::Object(members) => {
            for (key, item) in members {
                pointers(item, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        _ => {}
    }
}

/// Walks everything the readers can reach; a wrong end would loop, panic or leave the document.
fn walk(bytes: &[u8], at: usize, budget: &mut usize) {
    if *budget == 0 {
        return;
    }
    *budget -= 1;
    for member in object(bytes, at).into_iter().flatten() {
        assert!(member.key.end <= member.value.start && member.value.end <= bytes.len());
        let _ = string(bytes, member.key.clone());
        walk(bytes, member.value.start, budget);
    }
    for item in array(bytes, at).into_iter().flatten() {
        assert!(item.start < item.end && item.end <= bytes.len());
        let _ = string(bytes, item.clone());
        walk(bytes, item.start, budget);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn validate_agrees_with_serde(json in any_json(), pretty: bool,
        edits in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let bytes = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        prop_assert_eq!(validate(&bytes), Ok(()));
        let bytes = mutated(bytes, &edits);
        let expected = std::str::from_utf8(&bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        prop_assert_eq!(validate(&bytes).is_ok(), expected, "{}", String::from_utf8_lossy(&bytes));
        walk(&bytes, 0, &mut 1000);
        let mut members = Vec::new();
        if validate_members(&bytes, |member| members.push(member)).is_ok() {
            prop_assert_eq!(members, object(&bytes, 0).into_iter().flatten().collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_pointer_agrees_with_serde(json in any_json(), pretty: bool) {
        let bytes = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) }.unwrap();
        // Read back, for numbers that do not survive being written.
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        let mut paths = Vec::new();
        pointers(&json, "", &mut paths);
        for path in paths {
            let range = pointer(&bytes, &path).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Value>(&bytes[range]).unwrap(), json.pointer(&path).unwrap());
            let absent = format!("{path}/absent");
            prop_assert_eq!(pointer(&bytes, &absent).is_some(), json.pointer(&absent).is_some());
        }
    }

    #[test]
    fn strings_agree_with_serde(text in any_text(), ascii: bool) {
        let mut literal = serde_json::to_string(&text).unwrap();
        if ascii {
            literal = literal.chars().map(escaped).collect();
        }
        let bytes = literal.as_bytes();
        prop_assert_eq!(string(bytes, 0..bytes.len()).unwrap(), text.as_str());
        let mut appended = String::new();
        prop_assert!(append_string(bytes, 0..bytes.len(), &mut appended));
        prop_assert_eq!(&appended, &text);
        let mut quoted = Vec::new();
        quote(&text, &mut quoted);
        prop_assert_eq!(validate(&quoted), Ok(()));
        prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
    }

    #[test]
    fn mutated_literals_decode_as_serde_does(text in any_text(),
        edits in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let literal: String = serde_json::to_string(&text).unwrap().chars().map(escaped).collect();
        let bytes = mutated(literal.into_bytes(), &edits);
        let trimmed = bytes.first() == Some(&b'"') && bytes.last() == Some(&b'"');
        if let (true, Ok(expected)) = (trimmed, serde_json::from_slice::<String>(&bytes)) {
            prop_assert_eq!(string(&bytes, 0..bytes.len()).unwrap(), expected);
        } else if let Some(found) = string(&bytes, 0..bytes.len()) {
            // Only lone surrogates are ours alone.
            prop_assert!(found.contains(char::REPLACEMENT_CHARACTER));
        }
    }

    #[test]
    fn stops_are_found_wherever_they_stand(before in 0_usize..300, stop in 0_u8..=255, after in 0_usize..20, from in 0_usize..9) {
        let mut bytes = vec![b'x'; before];
        bytes.push(stop);
        bytes.resize(before + 1 + after, 0xe9);
        let expected = (from..bytes.len()).find(|&at| bytes[at] < 0x20 || bytes[at] == b'"' || bytes[at] == b'\\');
        let expected = expected.unwrap_or(bytes.len().max(from));
        prop_assert_eq!(scan::plain_end(&bytes, from), expected);
        prop_assert_eq!(scan::literal_end(&bytes, from), expected);
    }
}

/// Every character outside ASCII as its UTF-16 escapes.
fn escaped(character: char) -> String {
    if character.is_ascii() {
        return character.to_string();
    }
    let mut units = [0; 2];
    character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Prints what a scan costs; the bound only tells working from hung.
#[test]
fn scans_of_a_small_request_are_quick() {
    let message = r#"{"role":"user","content":"The quick brown fox jumps over the lazy dog, again and again, until the text is long enough to look like what people send to a model: a paragraph of a few sentences, with some \"quotes\" and a line break\n."}"#;
    let body = format!(
        r#"{{"model":"gpt-4o-mini","messages":[{}],"temperature":0.7,"max_tokens":200,"stream":true}}"#,
        [message; 8].join(",")
    );
    let bytes = body.as_bytes();
    // The quickest of many batches: the others say more about the machine's other work.
    let timed = |name: &str, run: &dyn Fn() -> bool| {
        const ROUNDS: u32 = 500;
        let batch = || {
            let started = Instant::now();
            for _ in 0..ROUNDS {
                assert!(std::hint::black_box(run()));
            }
            started.elapsed() / ROUNDS
        };
        let each = (0..40).map(|_| batch()).min().unwrap();
        println!("{name}: {} ns for {} bytes", each.as_nanos(), bytes.len());
        assert!(each < Duration::from_millis(1));
    };
    timed("validate", &|| validate(std::hint::black_box(bytes)).is_ok());
    timed("peek", &|| crate::peek::peek(std::hint::black_box(bytes)).is_ok());
    timed("top-level members", &|| object(std::hint::black_box(bytes), 0).unwrap().count() == 5);
    timed("pointer", &|| pointer(std::hint::black_box(bytes), "/messages/7/content").is_some());
}

#[test]
fn a_pointer_follows_the_last_of_members_with_one_name() {
    let doc = br#"{"a":{"b":1},"c":0,"\u0061":{"b":2,"b":3}}"#;
    assert_eq!(pointer(doc, "/a/b").and_then(|at| doc.get(at)), Some(&b"3"[..]));
    assert_eq!(pointer(doc, "/a/c"), None);
}

#[test]
fn an_object_may_stand_in_a_strict_document() {
    let said = |source| super::object_source(source).map(|object| String::from_utf8(object.into_owned()).unwrap());
    assert_eq!(said(" {\"a\": \"\\ud83d\\ude00\"} ").as_deref(), Some("{\"a\": \"\\ud83d\\ude00\"}"));
    let mended = said("{\"a\\ud800b\": 1}").unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&mended).is_ok(), "{mended}");
    for source in ["[1]", "{\"a\":", "7", ""] {
        assert_eq!(said(source), None);
    }
}
