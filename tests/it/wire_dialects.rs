//! Recorded Messages, Responses and Gemini traffic passes byte for byte between a client and a provider of the same dialect, compared on the
//! bytes of both sockets.
//!
//! What may differ: the model's name, and an error before content, which becomes a proper HTTP error.

use sluice_dialect::Dialect;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{End, Reply};
use sluice_tests::json;
use sluice_tests::mock::Mock;
use sluice_tests::wire::{self, Case};

use crate::wire_passthrough::seen;

/// The recorded conversations of one dialect with their requests.
fn cases(dialect: Dialect) -> Vec<Case> {
    let folder = match dialect {
        Dialect::OpenaiResponses => "responses",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
        Dialect::OpenaiChat => unreachable!("chat has a test of its own"),
    };
    wire::under(folder).into_iter().filter(|case| !case.request.is_empty()).collect()
}

/// Asks as the recorded client did, and gives the reply with the request that should arrive.
fn serve(gateway: &Gateway, mock: &Mock, dialect: Dialect, case: &Case) -> (Reply, Vec<u8>) {
    mock.script(dialect.as_str(), case.script());
    let name = dialect.as_str();
    match dialect {
        Dialect::Gemini => {
            let (model, method) = gemini_place(&case.path);
            let path = format!("/genai/v1beta/models/{model}:{method}");
            (gateway.post(&path, &case.request), case.request.clone())
        }
        _ => {
            let path = if dialect == Dialect::Anthropic { "/v1/messages" } else { "/v1/responses" };
            let Some(range) = json::member(&case.request, "model") else {
                // What names no model goes to the provider that the path names.
                return (gateway.post("/openai/v1/responses", &case.request), case.request.clone());
            };
            let model = String::from_utf8_lossy(&case.request[range.clone()]).trim_matches('"').to_owned();
            let asked = json::splice(&case.request, range, format!("\"{name}/{model}\"").as_bytes());
            (gateway.post(path, asked), case.request.clone())
        }
    }
}

/// The model and the method with its query of a recorded path.
fn gemini_place(path: &str) -> (String, String) {
    let place = path.rsplit("/models/").next().unwrap_or_default();
    let (model, method) = place.split_once(':').unwrap_or((place, "generateContent"));
    let method = method.split('?').next().unwrap_or_default();
    let query = if method == "streamGenerateContent" { "?alt=sse" } else { "" };
    (model.to_owned(), format!("{method}{query}"))
}

/// What is wrong with the reply; nothing where it is as it should be.
fn check(dialect: Dialect, case: &Case, reply: &Reply) -> Result<(), String> {
    if reply.end != End::Proper {
        return Err(format!("the reply ends improperly: {:?}", reply.end));
    }
    let streamed = case.content_type().starts_with("text/event-stream") && case.stream;
    if case.status != 200 || !streamed {
        if case.status != 200 {
            return check_error(dialect, case, reply);
        }
        let is_reply = dialect.api().check_reply(&case.body).is_ok();
        if is_reply && (reply.status, &reply.body) != (case.status, &case.body) {
            return Err(format!("status {} and other bytes than {}: {}", reply.status, case.status, reply.text()));
        }
        if !is_reply && reply.status < 400 {
            return Err(format!("an error inside a 200 passed as a reply: {}", reply.text()));
        }
        return Ok(());
    }
    let failed = crate::dialects_support::deltas(dialect, &case.body)
        .iter()
        .any(|delta| matches!(delta, sluice_dialect::hub::Delta::Failed(_)));
    let (got, want) = (seen(&reply.body), seen(&case.body));
    if !failed && got != want {
        return Err(format!("{} events instead of {}: {}", got.len(), want.len(), reply.text()));
    }
    Ok(())
}

/// An error keeps its bytes if they have the dialect's shape and nothing in them is to be hidden; else its status and its message.
fn check_error(dialect: Dialect, case: &Case, reply: &Reply) -> Result<(), String> {
    if reply.status != case.status {
        return Err(format!("status {} instead of {}: {}", reply.status, case.status, reply.text()));
    }
    let value: serde_json::Value = serde_json::from_slice(&case.body).unwrap_or_default();
    let error = &value["error"];
    let shaped = error.is_object() && (dialect != Dialect::Anthropic || value["type"] == "error");
    let hides = reply.text().contains("[redacted]") || reply.text().contains("[address]");
    if shaped && !hides && reply.body != case.body {
        return Err(format!("other bytes: {}", reply.text()));
    }
    let said = error["message"].as_str().or(error.as_str()).or(value["detail"].as_str()).unwrap_or_default();
    let cleaned = ["key", "http", "token"].iter().any(|word| said.contains(word));
    let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let same = told["error"]["message"].as_str().is_some_and(|told| told.trim() == said.trim());
    if !cleaned && !same && !reply.text().contains(said) {
        return Err(format!("the message {said:?} is lost: {}", reply.text()));
    }
    Ok(())
}

fn pass(dialect: Dialect, least: usize) {
    let mock = Mock::start();
    let name = dialect.as_str();
    let base = mock.base(name);
    let mut rows = vec![crate::dialects_support::row(&mock, dialect)];
    rows.push(format!("  openai: {{ dialect: {name}, base_url: \"{base}\", keys: [\"env:MOCK_KEY\"] }}\n"));
    let gateway = crate::support::setup(&rows, "").start();
    let (mut failures, all) = (Vec::new(), cases(dialect));
    for case in &all {
        let (reply, want) = serve(&gateway, &mock, dialect, case);
        let got = mock.exchanges(dialect.as_str()).pop();
        mock.journal().clear();
        let checked = check(dialect, case, &reply);
        let sent = match got {
            Some(got) if got.body == want => Ok(()),
            Some(got) => Err(format!("other bytes were sent: {}", String::from_utf8_lossy(&got.body))),
            None => Err(format!("nothing was sent: {} {}", reply.status, reply.text())),
        };
        if let Err(what) = sent.and(checked) {
            failures.push(format!("{}: {}", case.name, what.chars().take(700).collect::<String>()));
        }
    }
    assert!(all.len() >= least, "{}", all.len());
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), all.len(), failures.join("\n"));
}

#[test]
fn messages_pass_byte_for_byte() {
    pass(Dialect::Anthropic, 150);
}

#[test]
fn responses_pass_byte_for_byte() {
    pass(Dialect::OpenaiResponses, 200);
}

#[test]
fn gemini_passes_byte_for_byte() {
    pass(Dialect::Gemini, 150);
}
