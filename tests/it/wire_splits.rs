//! How a stream is cut into reads, framed, and ended by lines makes no difference to the events that the client sees.

use sluice_tests::mock::{Mock, Script};
use sluice_tests::wire::{self, Case};

use crate::support::gateway;
use crate::wire_passthrough::{Expected, asks, check_reply, expected, seen};

/// Small recorded streams of different shapes: whole ones with comments, tool calls, errors among them.
fn small(limit: usize, count: usize) -> Vec<Case> {
    let mut cases: Vec<Case> = wire::load()
        .into_iter()
        .filter(|case| asks(&case.request).0 && case.status == 200 && case.body.len() < limit)
        .filter(|case| case.content_type().starts_with("text/event-stream"))
        .collect();
    cases.sort_by_key(|case| case.body.len());
    cases.dedup_by(|a, b| a.provider == b.provider);
    assert!(cases.len() >= count, "only {} small streams", cases.len());
    cases.truncate(count);
    cases
}

#[test]
fn every_split_of_a_few_streams() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    for case in small(4096, 4) {
        for at in 1..case.body.len() {
            // Each chunk reaches the gateway's framer as a read of its own, however the kernel joins them.
            let (first, second) = case.body.split_at(at);
            mock.script("openai", Script::sse([first, second]));
            let reply = gateway.post("/openai/chat/completions", &case.request);
            check_reply(&case, &reply);
        }
    }
}

#[test]
fn one_byte_a_read() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    for case in small(8192, 8) {
        mock.script("openai", Script::sse(case.body.chunks(1)));
        check_reply(&case, &gateway.post("/openai/chat/completions", &case.request));
    }
}

#[test]
fn framed_by_length_and_by_the_end_of_the_connection() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    for case in small(8192, 6) {
        let kind = ("content-type", "text/event-stream");
        mock.script("openai", Script::whole(200, &[kind], &case.body));
        check_reply(&case, &gateway.post("/openai/chat/completions", &case.request));
        mock.script("openai", Script::new().head(200, &[kind]).write(case.body.clone()).close());
        check_reply(&case, &gateway.post("/openai/chat/completions", &case.request));
    }
}

#[test]
fn every_line_ending() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    for case in small(4096, 3) {
        let Expected::Stream { items, broken: false } = expected(&case) else { continue };
        for end in ["\r\n", "\r"] {
            let text = String::from_utf8(case.body.clone()).unwrap().replace("\r\n", "\n").replace('\n', end);
            // Also cut between the two halves of a line end.
            for pieces in
                [vec![text.as_bytes()], text.as_bytes().chunks(7).collect(), text.as_bytes().chunks(1).collect()]
            {
                mock.script("openai", Script::sse(pieces));
                let reply = gateway.post("/openai/chat/completions", &case.request);
                assert_eq!(reply.status, 200, "{}: {}", case.name, reply.text());
                assert_eq!(seen(&reply.body), items, "{}", case.name);
            }
        }
    }
}
