//! Paths, methods and callers.

use super::*;

fn get(server: &Server, line: &str, fields: &str) -> Answer {
    server.send(format!("{line} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).answer()
}

#[test]
fn paths_and_methods() {
    let server = Server::start(Limits::default());
    assert_eq!(get(&server, "GET /v1/models?limit=1", "").body, "Models None");
    assert_eq!(get(&server, "GET /openai/models/a%2Fb", "").body, "Model(\"a/b\") Some(\"openai\")");
    assert_eq!(get(&server, "GET /metrics", "").body, "Metrics");
    let answer = get(&server, "GET /nothing/here", "");
    assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_path"));
    let answer = get(&server, "GET /v1/chat/completions", "");
    assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
    assert!(answer.has("allow: post, options"), "{}", answer.head);
    let answer = get(&server, "OPTIONS /v1/chat/completions", "");
    assert_eq!(answer.status, 204);
    assert!(answer.has("allow: post, options") && !answer.head.contains("access-control"), "{}", answer.head);
    assert_eq!(get(&server, "GET /v1/models/%ff", "").code(), "malformed_model_name");

    let mut client = server.send("HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2));
    for _ in 0..2 {
        let (status, head) = client.head();
        assert!(status == 200 && head.contains("content-length: 4"), "{head}");
    }
}

#[test]
fn websocket_upgrades_fall_back_on_426() {
    let server = Server::start(Limits::default());
    for path in ["GET /v1/chat/completions", "GET /v1/responses"] {
        let answer = get(&server, path, "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n");
        assert_eq!((answer.status, answer.code().as_str()), (426, "websocket_not_supported"));
        assert!(answer.has("upgrade: http/1.1"), "{}", answer.head);
    }
}

#[test]
fn anonymous_callers_must_look_local() {
    let server = Server::start(Limits::default());
    let post = |host: &str, fields: &str| {
        server
            .send(format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\n{fields}content-length: 2\r\n\r\n{{}}"
            ))
            .answer()
    };
    let typed = "content-type: application/json\r\n";
    assert_eq!(post("127.0.0.1:1", typed).status, 200);
    assert_eq!(post("evil.example", typed).code(), "host_not_allowed");
    assert_eq!(post("localhost", &format!("{typed}origin: https://evil.example\r\n")).code(), "origin_not_allowed");
    assert_eq!(post("localhost", "content-type: text/plain\r\n").status, 415);
    assert_eq!(post("localhost", &format!("{typed}content-encoding: gzip\r\n")).code(), "unsupported_content_encoding");
    assert_eq!(post("localhost", &format!("{typed}authorization: Bearer wrong\r\n")).status, 401);

    let page = |path: &str| server.send(format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\n\r\n")).answer().status;
    assert_eq!([page("/livez"), page("/readyz"), page("/health")], [200; 3], "probes call by any name");
    assert_eq!([page("/metrics"), page("/api/plugins"), page("/v1/models")], [403; 3]);
}

#[test]
fn more_calls_than_allowed_are_told_to_come_again() {
    let server = Server::start(Limits { max_calls: 1, ..Limits::default() });
    let mut first = server.send(chat("stream"));
    server.expect("called");
    first.until(b"data: 1\n\n\r\n");
    let mut second = server.send(chat("{}"));
    let answer = second.answer();
    assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
    assert!(answer.has("retry-after: 1"), "{}", answer.head);
    first.finish();
    server.expect("stream dropped");
    first.closed();
    let mut third = server.send(chat("{}"));
    assert_eq!(third.answer().status, 200, "the place is free again");
}
