//! One policy, the same verdict on every road: whole and streamed, by plugins of either reply hook, with each verdict a hook can give.

use serde_json::Value;
use sluice_tests::http::End;
use sluice_tests::mock::Mock;
use sluice_tests::sse;

use crate::plugins_support::{PATIENT, active, asking, contains, is_stream, log_line, says, start, text_of};
use crate::support::{CHAT, blamed, broken_off, four_keys};

const WORDS: &str = "words: [secret, \"비밀번호\", \"🍣🍣\", \"café\"]";

/// Texts, and what is left of them.
const TEXTS: [(&str, &str); 6] = [
    ("nothing to see", "nothing to see"),
    ("a secret here", "a *** here"),
    ("secretsecret", "******"),
    ("보세요 비밀번호 입니다 secre t", "보세요 *** 입니다 secre t"),
    ("🍣 then 🍣🍣 and SeCrEt", "🍣 then *** and ***"),
    ("au café secre", "au *** secre"),
];

/// A few ways to cut a text between its characters: whole, each character, and in two at every place.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(1).collect();
    let mut all = vec![vec![text], text.split_inclusive(|_| true).collect()];
    all.extend(places.iter().step_by(3).map(|at| vec![&text[..*at], &text[*at..]]));
    all
}

fn guards(more: &str) -> Vec<(&'static str, String)> {
    let yaml = format!("{PATIENT}\nsettings: {{ {WORDS}{more} }}\n");
    vec![("response-guard", yaml.clone()), ("delta-guard", yaml)]
}

#[test]
fn both_reply_hooks_mask_the_same_streamed_and_whole() {
    let mock = Mock::start();
    let mut guards = guards("");
    guards.push(("deny-words", format!("{PATIENT}\nsettings: {{ {WORDS}, action: mask, where: [reply] }}\n")));
    for (guard, yaml) in guards {
        let gateway = start(&mock, &[(guard, guard, &yaml)]);
        for (text, left) in TEXTS {
            for pieces in cuts(text) {
                says(&mock, &pieces);
                for stream in [false, true] {
                    let reply = gateway.post(CHAT, asking("hi", stream));
                    assert_eq!((reply.status, is_stream(&reply)), (200, stream), "{}", reply.text());
                    assert_eq!(text_of(&reply), left, "{guard}, stream {stream}, {pieces:?}");
                    assert_eq!(reply.end, End::Proper);
                    if stream {
                        assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
                    }
                }
            }
        }
    }
}

#[test]
fn both_reply_hooks_refuse_the_same_streamed_and_whole() {
    let mock = Mock::start();
    for (guard, yaml) in guards(", deny: true") {
        let gateway = start(&mock, &[(guard, guard, &yaml)]);
        for (text, left) in TEXTS {
            for pieces in cuts(text) {
                says(&mock, &pieces);
                for stream in [false, true] {
                    let reply = gateway.post(CHAT, asking("hi", stream));
                    if text == left {
                        assert_eq!((reply.status, text_of(&reply).as_str()), (200, text), "{guard}: {pieces:?}");
                        continue;
                    }
                    let error = if reply.status == 200 {
                        assert!(stream && guard == "delta-guard", "{}", reply.text());
                        broken_off(&reply);
                        four_keys(sse::data(&reply.body).last().unwrap())
                    } else {
                        assert_eq!(reply.header("x-guard"), (guard == "delta-guard").then_some("delta"));
                        blamed(&reply, 400, "plugin")
                    };
                    assert_eq!(error["code"], "content_filter", "{guard}: {pieces:?}");
                    assert!(!reply.text().to_lowercase().contains("secret"), "{guard}: {}", reply.text());
                }
            }
        }
    }
}

#[test]
fn a_stop_before_content_is_an_http_error_and_after_it_an_event() {
    let mock = Mock::start();
    let yaml = format!("{PATIENT}\nsettings: {{ words: [secret], deny: true }}\n");
    let gateway = start(&mock, &[("guard", "delta-guard", &yaml)]);
    says(&mock, &["sec", "ret plans"]);
    let reply = gateway.post(CHAT, asking("hi", true));
    assert_eq!(blamed(&reply, 400, "plugin")["code"], "content_filter");
    assert_eq!(reply.header("x-guard"), Some("delta"));
    says(&mock, &["Their plan is ", "sec", "ret", " and more"]);
    let reply = gateway.post(CHAT, asking("hi", true));
    let events = broken_off(&reply);
    assert_eq!(text_of(&reply), "Their plan is ");
    assert!(events.len() >= 2 && !contains(&reply.body, "and more"), "{}", reply.text());
    assert_eq!(log_line(&gateway, &reply)["outcome"], "denied");
}

#[test]
fn a_finish_ends_the_choice_and_cancels_the_provider() {
    let mock = Mock::start();
    let yaml = format!("{PATIENT}\nsettings: {{ words: [secret], finish: true }}\n");
    let gateway = start(&mock, &[("guard", "delta-guard", &yaml)]);
    says(&mock, &["Their plan is sec", "ret and more"]);
    let reply = gateway.post(CHAT, asking("hi", false));
    let whole = reply.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Their plan is ");
    assert_eq!(whole["choices"][0]["finish_reason"], "content_filter");
    let mut script = sluice_tests::mock::Script::sse_head();
    for text in ["Their plan is sec", "ret and more"] {
        script = script.chunk(crate::support::text_event(text));
    }
    mock.script("p", script.stall());
    let reply = gateway.post(CHAT, asking("hi", true));
    assert_eq!((reply.status, text_of(&reply).as_str()), (200, "Their plan is "), "{}", reply.text());
    let reasons: Vec<Value> = sse::data(&reply.body)
        .iter()
        .filter_map(|data| serde_json::from_slice::<Value>(data).ok())
        .map(|event| event["choices"][0]["finish_reason"].clone())
        .filter(|reason| !reason.is_null())
        .collect();
    assert_eq!(reasons, ["content_filter"], "{}", reply.text());
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
    mock.wait_cancelled("p");
}

#[test]
fn a_plugin_of_whole_replies_meets_streams_as_its_operator_says() {
    let mock = Mock::start();
    let text = ["a sec", "ret word"];
    says(&mock, &text);
    let cases = [
        ("streams: hold", "hold"),
        ("streams: skip", "skip"),
        ("streams: refuse", "refuse"),
        ("on_error: closed", "hold"),
        ("on_error: open", "skip"),
    ];
    for (line, streams) in cases {
        let yaml = format!("{line}\n{PATIENT}\nsettings: {{ words: [secret] }}\n");
        let gateway = start(&mock, &[("guard", "response-guard", &yaml)]);
        assert_eq!(active(&gateway, "guard")["streams"], streams);
        assert!(gateway.process.err.find(&format!("streams: {streams}")).is_some(), "{}", gateway.process.err.text());
        let whole = gateway.post(CHAT, asking("hi", false));
        assert_eq!(text_of(&whole), "a *** word", "{line}");
        let before = mock.journal().count("p");
        let streamed = gateway.post(CHAT, asking("hi", true));
        match streams {
            "hold" => assert_eq!(text_of(&streamed), "a *** word", "{line}"),
            "skip" => assert_eq!(text_of(&streamed), text.concat(), "{line}"),
            _ => {
                let error = blamed(&streamed, 400, "plugin");
                assert_eq!((&error["code"], &error["param"]), (&"stream_refused".into(), &"stream".into()));
                assert_eq!(mock.journal().count("p"), before, "the provider was asked");
            }
        }
    }
}

#[test]
fn a_reply_too_long_to_hold_follows_on_error() {
    let mock = Mock::start();
    let long = "x".repeat(3_000);
    for (on_error, status) in [("closed", 503), ("open", 200)] {
        says(&mock, &[long.as_str(); 4]);
        let yaml = format!("on_error: {on_error}\nstreams: hold\n{PATIENT}\nsettings: {{ words: [secret] }}\n");
        let row = crate::support::row(&mock, "p", "limits: { hold_size: 8KiB }");
        let setup = crate::plugins_support::with(crate::support::setup(&[row], ""), "guard", "response-guard", &yaml);
        let gateway = setup.start();
        let reply = gateway.post(CHAT, asking("hi", true));
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 200 {
            assert_eq!(text_of(&reply), long.repeat(4));
        }
        let state = active(&gateway, "guard");
        assert_eq!(state["counters"]["errors"]["overload"], 1, "{state}");
        says(&mock, &["a secret"]);
        assert_eq!(text_of(&gateway.post(CHAT, asking("hi", true))), "a ***");
    }
}

#[test]
fn a_denied_request_never_reaches_the_provider() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let words = format!(
        "order: 20\n{PATIENT}\nsettings: {{ words: [bluebird], status: 451, code: house_rule, message: \"Ask otherwise.\" }}\n"
    );
    let gateway = start(&mock, &[("guard", "deny-words", &words), ("tagger", "tagger", PATIENT)]);
    for stream in [false, true] {
        let reply = gateway.post(CHAT, asking("the Bluebird plan", stream));
        let error = blamed(&reply, 451, "plugin");
        assert_eq!((&error["code"], &error["message"]), (&"house_rule".into(), &"Ask otherwise.".into()));
        assert!(reply.header("x-request-id").is_some());
        assert!(!contains(&reply.body, "luebird"));
        assert_eq!(log_line(&gateway, &reply)["outcome"], "denied");
    }
    assert_eq!(mock.journal().count("p"), 0);
    assert_eq!(gateway.post(CHAT, asking("another plan", false)).status, 200);
}

#[test]
fn an_answer_comes_whole_and_streamed_through_the_reply_hooks() {
    let mock = Mock::start();
    says(&mock, &["from the provider"]);
    let answers = format!("order: 10\n{PATIENT}\nsettings: {{ text: \"the secret answer\", when: \"ask me\" }}\n");
    let guard = format!("order: 30\n{PATIENT}\nsettings: {{ words: [secret] }}\n");
    let before = format!("order: 5\n{PATIENT}\n");
    let gateway = start(
        &mock,
        &[("answers", "answers", &answers), ("guard", "response-guard", &guard), ("tagger", "tagger", &before)],
    );
    for stream in [false, true] {
        let reply = gateway.post(CHAT, asking("ask me", stream));
        assert_eq!((reply.status, is_stream(&reply)), (200, stream), "{}", reply.text());
        assert_eq!(text_of(&reply), "the *** answer", "{}", reply.text());
        assert!(reply.header("x-tagger-reply").unwrap_or_default().starts_with("answers "), "{:?}", reply.head);
        let line = log_line(&gateway, &reply);
        assert_eq!((&line["outcome"], &line["attempts"]), (&"answered".into(), &0.into()), "{line}");
        if stream {
            assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
        } else {
            let whole = reply.json();
            assert_eq!((&whole["object"], &whole["model"]), (&"chat.completion".into(), &"p/m".into()));
            assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        }
    }
    assert_eq!(mock.journal().count("p"), 0);
    assert_eq!(text_of(&gateway.post(CHAT, asking("hi", false))), "from the provider");
}
