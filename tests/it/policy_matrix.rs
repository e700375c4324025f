//! One policy on every road: each client's dialect before each provider's dialect, whole and streamed, with each kind of hook and each
//! verdict. What a plugin written on chat does there, it does here.

use serde_json::json;
use sluice_dialect::Dialect;
use sluice_dialect::hub::{Delta, Finish};
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{End, Reply};
use sluice_tests::mock::Mock;

use crate::dialects_support::{asking, before, deltas, read, says, text_of};
use crate::plugins_support::{PATIENT, active, contains, log_line, with};

/// Every client's dialect with every provider's, whole and streamed.
fn roads() -> impl Iterator<Item = (Dialect, Dialect, bool)> {
    let pairs = Dialect::ALL.into_iter().flat_map(|client| Dialect::ALL.map(|provider| (client, provider)));
    pairs.flat_map(|(client, provider)| [false, true].map(|stream| (client, provider, stream)))
}

fn start(mock: &Mock, guard: &str, yaml: &str) -> Gateway {
    let gateway = with(before(mock), "guard", guard, &format!("streams: hold\n{PATIENT}\n{yaml}")).start();
    active(&gateway, "guard");
    gateway
}

fn ask(gateway: &Gateway, (client, provider, stream): (Dialect, Dialect, bool), text: &str) -> Reply {
    let (path, body) = asking(client, &format!("{}/m", provider.as_str()), text, stream);
    gateway.post(&path, body)
}

/// The refusal in the client's own form: its message.
fn message(client: Dialect, reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body = reply.json();
    let error = &body["error"];
    match client {
        Dialect::Anthropic => {
            assert_eq!((&body["type"], body["request_id"].is_string()), (&json!("error"), true), "{body}");
        }
        Dialect::Gemini => assert_eq!(error["code"], status, "{body}"),
        Dialect::OpenaiChat | Dialect::OpenaiResponses => {
            assert!(["type", "param", "code"].iter().all(|key| error.get(key).is_some()), "{body}");
        }
    }
    error["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn words_of_replies_are_masked_on_every_road() {
    let mock = Mock::start();
    let words = "words: [bluebird]";
    let guards = [
        ("deny-words", format!("settings: {{ {words}, action: mask, where: [reply] }}")),
        ("delta-guard", format!("settings: {{ {words} }}")),
        ("response-guard", format!("settings: {{ {words} }}")),
    ];
    for (guard, yaml) in guards {
        let gateway = start(&mock, guard, &yaml);
        for road in roads() {
            let (client, provider, stream) = road;
            says(&mock, provider, &["the blue", "bird and the Blue", "BIRD", " sing"]);
            let reply = ask(&gateway, road, "hi");
            assert_eq!((reply.status, reply.end), (200, End::Proper), "{guard} {road:?}: {}", reply.text());
            let seen = read(client, &reply, stream);
            assert_eq!(text_of(&seen), "the *** and the *** sing", "{guard} {road:?}: {}", reply.text());
            assert!(
                !contains(reply.text().to_lowercase().as_bytes(), "bluebird"),
                "{guard} {road:?}: {}",
                reply.text()
            );
            let choice = &seen.choices[0];
            assert_eq!(choice.finish, Finish::Stop, "{guard} {road:?}: {}", reply.text());
            let line = log_line(&gateway, &reply);
            assert_eq!((&line["outcome"], &line["dialect"]), (&json!("ok"), &json!(client.as_str())), "{line}");
            assert_eq!(line["tokens"]["output"], 5, "{road:?}: {line}");
            assert!(line["plugins"].as_array().is_some_and(|stamps| !stamps.is_empty()), "{road:?}: {line}");
        }
    }
}

#[test]
fn words_of_requests_are_masked_on_every_road() {
    let mock = Mock::start();
    let gateway = start(&mock, "deny-words", "settings: { words: [bluebird], action: mask, where: [request] }");
    for road in roads() {
        let (_, provider, _) = road;
        says(&mock, provider, &["fine"]);
        let reply = ask(&gateway, road, "tell the bluebird");
        assert_eq!(reply.status, 200, "{road:?}: {}", reply.text());
        let sent = mock.last(provider.as_str());
        let text = String::from_utf8_lossy(&sent.body).into_owned();
        assert!(text.contains("tell the ***") && !text.contains("bluebird"), "{road:?}: {text}");
        assert!(text.contains("be kind"), "{road:?}: {text}");
    }
}

#[test]
fn a_denied_request_reaches_no_provider() {
    let mock = Mock::start();
    let gateway = start(&mock, "deny-words", "settings: { words: [bluebird], where: [request] }");
    for road in roads() {
        let (client, provider, _) = road;
        says(&mock, provider, &["fine"]);
        mock.journal().clear();
        let reply = ask(&gateway, road, "tell the bluebird");
        let said = message(client, &reply, 400);
        assert!(!said.is_empty() && !said.contains("bluebird"), "{road:?}: {said}");
        assert_eq!(reply.header("x-sluice-error-source"), Some("plugin"), "{road:?}");
        assert_eq!(mock.journal().count(provider.as_str()), 0, "{road:?}");
    }
}

#[test]
fn a_stop_is_an_error_before_content_and_an_error_event_after_it() {
    let mock = Mock::start();
    let gateway = start(&mock, "delta-guard", "settings: { words: [secret], deny: true }");
    for road in roads() {
        let (client, provider, stream) = road;
        says(&mock, provider, &["sec", "ret plans"]);
        message(client, &ask(&gateway, road, "hi"), 400);
        says(&mock, provider, &["Their plan is ", "sec", "ret", " and more"]);
        let reply = ask(&gateway, road, "hi");
        if !stream {
            message(client, &reply, 400);
            continue;
        }
        assert_eq!((reply.status, reply.end), (200, End::Proper), "{road:?}: {}", reply.text());
        let told = deltas(client, &reply.body);
        assert!(matches!(told.last(), Some(Delta::Failed(_))), "{road:?}: {}", reply.text());
        assert!(!contains(&reply.body, "and more") && !contains(&reply.body, "secret"), "{road:?}: {}", reply.text());
        assert!(
            !contains(&reply.body, "[DONE]") && !contains(&reply.body, "message_stop"),
            "{road:?}: {}",
            reply.text()
        );
        assert_eq!(log_line(&gateway, &reply)["outcome"], "denied", "{road:?}");
    }
}

#[test]
fn a_finish_ends_the_reply_cleanly() {
    let mock = Mock::start();
    let gateway = start(&mock, "delta-guard", "settings: { words: [secret], finish: true }");
    for road in roads() {
        let (client, provider, stream) = road;
        says(&mock, provider, &["Their plan is sec", "ret and more"]);
        let reply = ask(&gateway, road, "hi");
        assert_eq!((reply.status, reply.end), (200, End::Proper), "{road:?}: {}", reply.text());
        let seen = read(client, &reply, stream);
        assert_eq!(text_of(&seen), "Their plan is ", "{road:?}: {}", reply.text());
        let finish = &seen.choices[0].finish;
        assert!(matches!(finish, Finish::ContentFilter | Finish::Refusal), "{road:?}: {finish:?} {}", reply.text());
    }
}

#[test]
fn an_answer_comes_in_the_clients_dialect() {
    let mock = Mock::start();
    let gateway =
        with(before(&mock), "cache", "response-cache", &format!("{PATIENT}\ngrants: {{ kv: {{ max: 16MiB }} }}\n"))
            .start();
    active(&gateway, "cache");
    for (client, provider, stream) in roads() {
        let question = format!("what of {} and {}, {stream}", client.as_str(), provider.as_str());
        says(&mock, provider, &["the ", "answer"]);
        let road = (client, provider, stream);
        let first = ask(&gateway, road, &question);
        assert_eq!(text_of(&read(client, &first, stream)), "the answer", "{road:?}: {}", first.text());
        says(&mock, provider, &["another answer"]);
        let again = sluice_tests::wait_for("a hit", || {
            let reply = ask(&gateway, road, &question);
            (reply.header("x-sluice-cache") == Some("hit")).then_some(reply)
        });
        let seen = read(client, &again, stream);
        assert!(["the answer", "another answer"].contains(&text_of(&seen).as_str()), "{road:?}: {}", again.text());
        assert_eq!(seen.choices[0].finish, Finish::Stop, "{road:?}: {}", again.text());
    }
}
