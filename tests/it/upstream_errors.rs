//! A provider whose reply is not one: the client gets a proper error in its own dialect, and never the provider's HTML, secrets or a
//! broken reply as if it were whole.

use serde_json::json;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::End;
use sluice_tests::mock::{Mock, Script};
use sluice_tests::sse;

use crate::support::{
    CHAT, DONE, PROVIDER_KEY, blamed, body, broken_off, finish_event, four_keys, reply, role_event, row, setup,
    text_event,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const HTML: (&str, &str) = ("content-type", "text/html");

fn start(script: Script, more: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.script("p", script);
    let gateway = setup(&[row(&mock, "p", more)], "").start();
    (mock, gateway)
}

/// Every script in `scripts` makes the call a 502 that blames the provider.
fn all_502(stream: bool, scripts: Vec<(&str, Script)>) {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    for (what, script) in scripts {
        mock.script("p", script);
        let reply = gateway.post(CHAT, body("p/m", stream));
        assert_eq!(reply.status, 502, "{what}: {}", reply.text());
        blamed(&reply, 502, "provider");
        assert!(!reply.text().contains("<html"), "{what}: {}", reply.text());
    }
}

#[test]
fn whole_replies_that_are_none() {
    let cut = reply("hello");
    let events = [role_event(), text_event("x"), finish_event(), DONE.to_owned()];
    let error = json!({"error": {"message": "no capacity", "code": 502}}).to_string();
    all_502(
        false,
        vec![
            ("HTML", Script::whole(200, &[HTML], "<html><body>hello</body></html>")),
            ("HTML that says JSON", Script::whole(200, &[JSON], "<html><body>hello</body></html>")),
            ("empty", Script::whole(200, &[JSON], "")),
            ("cut JSON", Script::whole(200, &[JSON], &cut[..cut.len() / 2])),
            ("JSON and more", Script::whole(200, &[JSON], format!("{cut}{cut}"))),
            ("a list", Script::whole(200, &[JSON], "[]")),
            ("no choices", Script::whole(200, &[JSON], "{\"id\":\"x\"}")),
            ("an error in a 200", Script::whole(200, &[JSON], error)),
            ("an event stream", Script::sse(events)),
            ("202", Script::whole(202, &[JSON], reply("x"))),
            ("204", Script::new().head(204, &[])),
            ("301", Script::whole(301, &[("location", "/elsewhere")], "")),
            ("no HTTP", Script::new().write("SSH-2.0-OpenSSH_9.6\r\n\r\n").close()),
            ("closed before the head", Script::new().close()),
            ("closed within the head", Script::new().write("HTTP/1.1 200 OK\r\ncontent-").close()),
            (
                "shorter than announced",
                Script::new().head(200, &[JSON, ("content-length", "5000")]).write(reply("x")).close(),
            ),
            (
                "chunks cut",
                Script::new().head(200, &[JSON, ("transfer-encoding", "chunked")]).chunk(reply("x")).close(),
            ),
            ("reset within the body", Script::new().head(200, &[JSON, ("content-length", "5000")]).write("{").reset()),
            ("reset before the head", Script::new().reset()),
            ("a bad length", Script::new().head(200, &[JSON, ("content-length", "lots")]).write(reply("x")).close()),
        ],
    );
}

#[test]
fn streams_that_are_none() {
    let error = format!("data: {}\n\n", json!({"error": {"message": "no capacity", "code": 502}}));
    all_502(
        true,
        vec![
            ("JSON for a stream", Script::json(200, reply("x"))),
            ("HTML", Script::whole(200, &[HTML], "<html></html>")),
            ("nothing", Script::sse([] as [&str; 0])),
            ("only comments", Script::sse([": hi\n\n"])),
            ("only the role", Script::sse([role_event()])),
            ("an error first", Script::sse([error.clone()])),
            ("an error after the role", Script::sse([role_event(), error])),
            ("no JSON", Script::sse(["data: hello\n\n"])),
            ("a list", Script::sse(["data: [1]\n\n"])),
            ("cut JSON", Script::sse(["data: {\"choices\":[\n\n"])),
            ("reset before content", Script::sse_head().chunk(role_event()).reset()),
            ("redirect", Script::whole(307, &[("location", "/elsewhere")], "")),
        ],
    );
}

#[test]
fn streams_that_break_off_after_content() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    let begun = || Script::sse_head().chunk(role_event()).chunk(text_event("one"));
    let error = format!("data: {}\n\n", json!({"error": {"message": "no capacity", "code": 502}}));
    let cases = [
        ("proper HTTP end without a finish", begun().end_chunks()),
        ("closed", begun().close()),
        ("an error", begun().chunk(&error).chunk(DONE).end_chunks()),
        ("a named error event", begun().chunk(format!("event: error\n{error}")).end_chunks()),
        (
            "no JSON",
            begun().chunk("data: oops\n\n").chunk(text_event("two")).chunk(finish_event()).chunk(DONE).end_chunks(),
        ),
        ("half an event", begun().chunk("data: {\"choi").end_chunks()),
        ("bad chunk framing", begun().write("zz\r\n").close()),
    ];
    for (what, script) in cases {
        mock.script("p", script);
        let reply = gateway.post(CHAT, body("p/m", true));
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        let events = broken_off(&reply);
        assert_eq!(events.len(), 2, "{what}: {}", reply.text());
        assert!(!reply.text().contains("two"), "{what}: {}", reply.text());
    }
}

#[test]
fn a_stream_reset_after_content_ends_properly() {
    // A reset may overtake what was written: then nothing was sent to the client yet and it is a 502.
    let (_mock, gateway) = start(Script::sse_head().chunk(text_event("one")).reset(), "");
    let reply = gateway.post(CHAT, body("p/m", true));
    if reply.status == 200 {
        broken_off(&reply);
    } else {
        blamed(&reply, 502, "provider");
    }
}

#[test]
fn a_finish_without_done_is_complete() {
    let (mock, gateway) = start(Script::sse([text_event("one"), finish_event()]), "");
    let reply = gateway.post(CHAT, body("p/m", true));
    assert_eq!((reply.status, reply.end), (200, End::Proper));
    assert_eq!(sse::data(&reply.body).len(), 2, "{}", reply.text());
    assert!(!reply.text().contains("[DONE]") && !reply.text().contains("\"error\""), "{}", reply.text());
    assert_eq!(mock.journal().count("p"), 1, "a reason to retry was seen");
}

#[test]
fn redirects_are_not_followed() {
    let mock = Mock::start();
    let elsewhere = format!("{}/chat/completions", mock.base("elsewhere"));
    mock.script("elsewhere", Script::json(200, reply("stolen")));
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    for status in [301, 302, 303, 307, 308] {
        mock.script("p", Script::whole(status, &[("location", &elsewhere)], ""));
        let reply = gateway.post(CHAT, body("p/m", false));
        blamed(&reply, 502, "provider");
        assert!(!reply.text().contains(&elsewhere) && reply.header("location").is_none(), "{:?}", reply.head);
    }
    assert_eq!(mock.journal().count("elsewhere"), 0, "the key went elsewhere");
}

#[test]
fn the_providers_status_message_and_code_survive() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    for status in [400, 401, 403, 404, 409, 422, 429, 500, 503, 529] {
        let error = json!({"error": {"message": "that did not work", "type": "some_error", "param": "messages", "code": "some_code"}});
        for stream in [false, true] {
            mock.script("p", Script::json(status, error.to_string()));
            let got = blamed(&gateway.post(CHAT, body("p/m", stream)), status, "provider");
            assert_eq!((got["message"].as_str(), got["code"].as_str()), (Some("that did not work"), Some("some_code")));
        }
    }
}

#[test]
fn retry_after_is_kept() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    for (status, wish) in [(429, "17"), (503, "Wed, 21 Oct 2026 07:28:00 GMT")] {
        mock.script(
            "p",
            Script::whole(status, &[JSON, ("retry-after", wish)], "{\"error\":{\"message\":\"slow down\"}}"),
        );
        let reply = gateway.post(CHAT, body("p/m", false));
        blamed(&reply, status, "provider");
        assert_eq!(reply.header("retry-after"), Some(wish));
    }
}

#[test]
fn error_pages_and_traces_stay_inside() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    let page = "<html><body>nginx at 10.11.12.13</body></html>";
    let trace = "Traceback (most recent call last):\n  File \"/srv/app.py\", line 3";
    for (kind, text) in
        [("text/html", page), ("text/plain", trace), ("application/json", page), ("application/json", "{\"error\":")]
    {
        mock.script("p", Script::whole(503, &[("content-type", kind)], text));
        let reply = gateway.post(CHAT, body("p/m", false));
        blamed(&reply, 503, "provider");
        for part in ["10.11.12.13", "Traceback", "nginx", "/srv"] {
            assert!(!reply.text().contains(part), "{}", reply.text());
        }
    }
}

#[test]
fn secrets_in_error_texts_are_redacted_and_words_are_not() {
    let message =
        format!("Incorrect API key {PROVIDER_KEY} for the task-force; risk-based checks of desk-top keys failed");
    let (_mock, mut gateway) = start(Script::json(401, json!({"error": {"message": message}}).to_string()), "");
    let error = blamed(&gateway.post(CHAT, body("p/m", false)), 401, "provider");
    let got = error["message"].as_str().unwrap();
    for word in ["Incorrect API key", "task-force", "risk-based", "desk-top keys failed"] {
        assert!(got.contains(word), "{word:?} was lost: {got}");
    }
    gateway.process.signal(15);
    gateway.process.wait();
    let logs = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
    assert!(!logs.contains(PROVIDER_KEY), "a secret was logged");
}

#[test]
fn long_error_texts_are_capped() {
    let (_mock, gateway) = start(Script::json(400, json!({"error": {"message": "x".repeat(50_000)}}).to_string()), "");
    let reply = gateway.post(CHAT, body("p/m", false));
    blamed(&reply, 400, "provider");
    assert!(reply.body.len() < 10_000, "{} bytes", reply.body.len());
}

#[test]
fn an_endless_error_body_keeps_its_status() {
    let head = [JSON, ("transfer-encoding", "chunked")];
    let endless = Script::new().head(500, &head).forever("x".repeat(16 * 1024), std::time::Duration::from_millis(1));
    let (mock, gateway) = start(endless, "");
    blamed(&gateway.post(CHAT, body("p/m", false)), 500, "provider");
    mock.wait_cancelled("p");
}

#[test]
fn replies_and_events_over_their_caps() {
    let (mock, gateway) =
        start(Script::json(200, reply(&"x".repeat(100_000))), "limits: { reply_size: 10KiB, event_size: 10KiB }");
    blamed(&gateway.post(CHAT, body("p/m", false)), 502, "provider");
    mock.script("p", Script::sse([text_event(&"x".repeat(100_000))]));
    blamed(&gateway.post(CHAT, body("p/m", true)), 502, "provider");
    mock.script(
        "p",
        Script::sse([text_event("one"), text_event(&"x".repeat(100_000)), finish_event(), DONE.to_owned()]),
    );
    assert_eq!(broken_off(&gateway.post(CHAT, body("p/m", true))).len(), 1);
}

#[test]
fn a_refused_connection() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("  p: {{ dialect: openai-chat, base_url: \"http://{closed}/v1\" }}\n");
    let gateway = setup(&[config], "").start();
    let reply = gateway.post(CHAT, body("p/m", false));
    blamed(&reply, 502, "provider");
    assert!(!reply.text().contains(&closed.to_string()), "an address reached the client: {}", reply.text());
}

#[test]
fn events_without_data_are_dropped_and_their_comments_kept() {
    let blocks = ["id: 7\n\n", ": keep\nid: 8\n\n", "retry: 10\n\n", "event: ping\n\n"];
    let pieces = blocks.iter().map(|block| (*block).to_owned());
    let pieces: Vec<String> =
        [text_event("one")].into_iter().chain(pieces).chain([finish_event(), DONE.to_owned()]).collect();
    let (_mock, gateway) = start(Script::sse(pieces), "");
    let reply = gateway.post(CHAT, body("p/m", true));
    let text = reply.text();
    assert!(
        text.contains(": keep\n") && !text.contains("id:") && !text.contains("retry:") && !text.contains("ping"),
        "{text}"
    );
    assert_eq!(sse::data(&reply.body).len(), 3, "{text}");
    assert!(!text.contains("\n\n\n"), "an empty block was left: {text:?}");
}

#[test]
fn errors_within_a_stream_keep_the_providers_words() {
    let error =
        format!("data: {}\n\n", json!({"error": {"message": "tokens ran dry", "code": "dry", "status_code": 400}}));
    let (_mock, gateway) = start(Script::sse([text_event("one"), error]), "");
    let reply = gateway.post(CHAT, body("p/m", true));
    let last = sse::data(&reply.body).pop().unwrap();
    let error = four_keys(&last);
    assert_eq!(error["message"], "tokens ran dry");
}

/// A provider's rates and its own request id matter most when it refuses; its cookies and its body's type never do.
#[test]
fn an_error_reply_keeps_the_headers_that_a_client_may_need() {
    let headers = [
        ("content-type", "application/problem+json"),
        ("retry-after", "17"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-request-id", "req-of-the-provider"),
        ("set-cookie", "session=1"),
        ("cache-control", "no-store"),
    ];
    let (_mock, gateway) = start(Script::whole(429, &headers, "{\"error\":{\"message\":\"slow down\"}}"), "");
    for stream in [false, true] {
        let got = gateway.post(CHAT, body("p/m", stream));
        assert_eq!(blamed(&got, 429, "provider")["message"], "slow down");
        assert_eq!(got.header("retry-after"), Some("17"));
        assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("0"));
        assert_eq!(got.header("x-upstream-request-id"), Some("req-of-the-provider"));
        assert_eq!((got.header("set-cookie"), got.header("cache-control")), (None, None));
        assert_eq!(got.head.all("content-type").len(), 1);
    }
}

/// A 200 in the wrong shape may hold what the model said, which no log keeps.
#[test]
fn a_reply_in_the_wrong_shape_leaves_no_text_in_the_log() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    let events = [text_event("whispered"), finish_event(), DONE.to_owned()].concat();
    let message = json!({"message": {"content": "whispered"}, "output": "whispered"}).to_string();
    for (what, stream, script) in [
        ("events without their type", true, Script::whole(200, &[("content-type", "text/plain")], events.clone())),
        ("events for a whole call", false, Script::whole(200, &[JSON], events)),
        ("no choices", false, Script::whole(200, &[JSON], message)),
    ] {
        mock.script("p", script);
        let id = what.replace(' ', "-");
        let headers = [JSON, ("x-request-id", id.as_str())];
        blamed(&gateway.call("POST", CHAT, &headers, body("p/m", stream).as_bytes()), 502, "provider");
        let line = sluice_tests::wait_for("the line in the log", || {
            let text = gateway.process.out.text();
            text.lines().find(|line| line.contains(&id)).map(str::to_owned)
        });
        assert!(!line.contains("whispered"), "{what}: {line}");
    }
}
