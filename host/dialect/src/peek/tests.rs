use super::*;
use crate::splice::splice;

fn seen(body: &str) -> Peek {
    peek(body.as_bytes()).unwrap()
}

fn refused(body: &[u8]) -> (String, Option<String>, String) {
    let failure = peek(body).unwrap_err();
    assert_eq!(failure.status, 400);
    assert_eq!(failure.kind, "invalid_request_error");
    (failure.code.unwrap().into_owned(), failure.param.map(|param| param.into_owned()), failure.message)
}

fn edited(body: &str, edit: Option<(Range<usize>, Vec<u8>)>) -> Option<String> {
    let (range, text) = edit?;
    let out = splice(body.as_bytes(), &[(range, text.as_slice())]);
    json::validate(&out).unwrap();
    Some(String::from_utf8(out.to_vec()).unwrap())
}

#[test]
fn reads_model_and_stream_where_they_stand() {
    let body = "  { \"messages\":[{\"model\":\"inner\",\"stream\":true}], \"model\" : \"gpt-4o\\u002dmini\", \"stream\":true,\"n\":3 }";
    let peek = seen(body);
    let model = peek.model.as_ref().unwrap();
    assert_eq!(model.name, "gpt-4o-mini");
    assert_eq!(&body[model.literal.clone()], "\"gpt-4o\\u002dmini\"");
    assert!(peek.stream && !peek.empty);
    assert_eq!((peek.n, peek.body_open), (3, 3));
    assert_eq!(peek.stream_options, StreamOptions::Absent);
}

#[test]
fn only_top_level_members_count() {
    let peek = seen(r#"{"metadata":{"model":"x","stream":true,"n":9},"tools":[{"stream":true}],"Model":"y"}"#);
    assert_eq!((peek.model, peek.stream, peek.n), (None, false, 1));
}

#[test]
fn escaped_names_are_the_same_names() {
    let peek = seen(r#"{"mod\u0065l":"a","\u0073tream":true}"#);
    assert_eq!(peek.model.unwrap().name, "a");
    assert!(peek.stream);
}

#[test]
fn null_is_absent() {
    let body = r#"{"model":null,"stream":null,"n":null,"stream_options":null}"#;
    let peek = seen(body);
    assert_eq!((peek.model.clone(), peek.stream, peek.n), (None, false, 1));
    assert_eq!(edited(body, Some(name_model(&peek, "m"))).unwrap(), body.replacen("null", "\"m\"", 1));
}

#[test]
fn n_is_at_least_one() {
    for (n, expected) in [
        ("1", 1),
        ("2.0", 2),
        ("1e1", 10),
        ("0", 1),
        ("-3", 1),
        ("\"4\"", 1),
        ("[2]", 1),
        ("1e99", u32::MAX),
        ("true", 1),
    ] {
        assert_eq!(seen(&format!("{{\"n\":{n}}}")).n, expected, "{n}");
    }
}

#[test]
fn duplicates_are_refused() {
    for (body, name) in [
        (r#"{"model":"a","model":"a"}"#, "model"),
        (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
        (r#"{"model":null,"model":"b"}"#, "model"),
        (r#"{"stream":true,"x":1,"str\u0065am":false}"#, "stream"),
        (r#"{"n":1,"n":2}"#, "n"),
        (r#"{"stream_options":{},"stream_options":null}"#, "stream_options"),
        (r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#, "stream_options.include_usage"),
    ] {
        let (code, param, message) = refused(body.as_bytes());
        assert_eq!((code.as_str(), param.as_deref()), ("duplicate_field", Some(name)), "{body}");
        assert!(message.contains(&format!("`{name}` twice")), "{message}");
    }
}

#[test]
fn wrong_types_name_the_field() {
    for (body, name) in [
        (r#"{"model":1}"#, Some("model")),
        (r#"{"model":{"a":"b"}}"#, Some("model")),
        (r#"{"model":["a"]}"#, Some("model")),
        (r#"{"model":true}"#, Some("model")),
        (r#"{"stream":1}"#, Some("stream")),
        (r#"{"stream":"true"}"#, Some("stream")),
        (r#"{"stream":{}}"#, Some("stream")),
        ("[]", None),
        ("\"{}\"", None),
        (" 7 ", None),
        ("null", None),
    ] {
        let (code, param, _) = refused(body.as_bytes());
        assert_eq!((code.as_str(), param.as_deref()), ("invalid_type", name), "{body}");
    }
}

#[test]
fn malformed_bodies_are_located() {
    let message = |body: &[u8]| {
        let (code, param, message) = refused(body);
        assert_eq!((code.as_str(), param), ("invalid_json", None));
        message
    };
    assert_eq!(
        message(b"{\n  \"model\": \"a\",\n  \"stream\": tru\n}"),
        "The request body is not valid JSON: expected a value at line 3, column 13."
    );
    assert!(message(b"").contains("empty"));
    assert!(message(b"{\"model\":\"\xff\"}").contains("UTF-8 at line 1, column 11"));
    assert!(message(b"{} trailing").contains("line 1, column 4"));
    assert!(message("[".repeat(100_000).as_bytes()).contains("deeper than 256 levels"));
    assert!(message(format!("{{\"messages\":{}", "{\"a\":".repeat(100_000)).as_bytes()).contains("deeper"));
}

#[test]
fn usage_is_asked_where_the_client_did_not() {
    let cases = [
        (r#"{"stream":true}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#)),
        (
            r#"{"stream":true,"stream_options":null}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (r#"{"stream":true,"stream_options":{}}"#, Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#)),
        (
            r#"{"stream":true,"stream_options":{ "x":1 }}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true, "x":1 }}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"x":0,"include\u005fusage": null}}"#,
            Some(r#"{"stream":true,"stream_options":{"x":0,"include\u005fusage": true}}"#),
        ),
        (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
        (r#"{"stream":true,"stream_options":{"include_usage":"yes"}}"#, None),
        (r#"{"stream":true,"stream_options":[]}"#, None),
        (r#"{"stream":false}"#, None),
        (r#"{"stream_options":{}}"#, None),
    ];
    for (body, expected) in cases {
        assert_eq!(edited(body, ask_usage(&seen(body))).as_deref(), expected, "{body}");
        if let Some(expected) = expected {
            let again = seen(expected);
            assert!(matches!(again.stream_options, StreamOptions::Object { asked: true, .. }));
            assert_eq!(ask_usage(&again), None);
        }
    }
}

#[test]
fn the_model_is_named_in_place() {
    for (body, expected) in [
        (r#"{ "stream": true, "model" : "a" }"#, r#"{ "stream": true, "model" : "x\"y" }"#),
        (r#"{"a":1}"#, r#"{"model":"x\"y","a":1}"#),
        (r#"{}"#, r#"{"model":"x\"y"}"#),
        (" { } ", " {\"model\":\"x\\\"y\" } "),
    ] {
        let peek = seen(body);
        assert_eq!(edited(body, Some(name_model(&peek, "x\"y"))).as_deref(), Some(expected));
    }
    // Both edits may fall on the same place.
    let body = r#"{"stream":true}"#;
    let peek = seen(body);
    let (model_at, model) = name_model(&peek, "m");
    let (usage_at, usage) = ask_usage(&peek).unwrap();
    let out = splice(body.as_bytes(), &[(model_at, &model), (usage_at, &usage)]);
    assert_eq!(&out[..], br#"{"model":"m","stream_options":{"include_usage":true},"stream":true}"#);
}

/// The fallbacks and the body that is left.
fn settled(dialect: crate::Dialect, body: &str) -> (Vec<String>, String) {
    let mut bytes = Bytes::copy_from_slice(body.as_bytes());
    let said = Said::default();
    let peek = dialect.api().peek(&bytes, &said).unwrap().settled(dialect.api(), &mut bytes, &said).unwrap();
    json::validate(&bytes).unwrap();
    assert_eq!(peek.fallbacks_at, None);
    let left = dialect.api().peek(&bytes, &said).unwrap();
    assert_eq!(Peek { fallbacks: Vec::new(), ..peek.clone() }, left, "ranges are of the body that is left");
    (peek.fallbacks, String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn fallbacks_are_read_and_cut_wherever_they_stand() {
    for (body, left) in [
        (r#"{"fallbacks":["a/b","c"],"model":"m"}"#, r#"{"model":"m"}"#),
        (r#"{"model":"m","fallbacks":["a/b","c"],"n":2}"#, r#"{"model":"m","n":2}"#),
        (r#"{"model":"m" , "fallbacks" : [ "a/b" , "c" ] }"#, r#"{"model":"m"  }"#),
        (r#"{"fall\u0062acks":["a/b","c"]}"#, "{}"),
    ] {
        for dialect in crate::Dialect::ALL {
            assert_eq!(settled(dialect, body), (vec!["a/b".to_owned(), "c".to_owned()], left.to_owned()), "{body}");
        }
    }
    assert_eq!(settled(crate::Dialect::OpenaiChat, r#"{"fallbacks":[],"model":"m"}"#).1, r#"{"model":"m"}"#);
}

#[test]
fn what_is_no_list_of_names_is_the_providers_own() {
    for body in [r#"{"fallbacks":"a"}"#, r#"{"fallbacks":[{"model":"a"}]}"#, r#"{"fallbacks":null}"#] {
        assert_eq!(settled(crate::Dialect::OpenaiChat, body), (Vec::new(), body.to_owned()));
    }
}

#[test]
fn fallbacks_are_bounded_and_named_once() {
    let many = format!("{{\"fallbacks\":[{}]}}", vec!["\"a\""; 17].join(","));
    for (body, code) in [
        (r#"{"fallbacks":["a"],"fallbacks":["b"]}"#, "duplicate_field"),
        (r#"{"fallbacks":[""]}"#, "invalid_value"),
        (&many, "invalid_value"),
    ] {
        let (found, param, _) = refused(body.as_bytes());
        assert_eq!((found.as_str(), param.as_deref()), (code, Some("fallbacks")), "{body}");
    }
}
