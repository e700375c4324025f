//! Compressed replies: a client gets only what it can read, decoded or with the provider's own encoding named, never one without the
//! other; and what is decoded is capped by its decoded size.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script, head};

use crate::support::{CHAT, DONE, blamed, body, finish_event, four_keys, reply, row, setup, text_event};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zipped(status: u16, kind: &str, text: &[u8]) -> Script {
    Script::whole(status, &[("content-type", kind), ("content-encoding", "gzip")], gzip(text))
}

fn start(more: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", more)], "").start();
    (mock, gateway)
}

fn ask(gateway: &Gateway, accepts: Option<&str>, stream: bool) -> Reply {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(accepts.map(|accepts| ("accept-encoding", accepts)));
    gateway.call("POST", CHAT, &headers, body("p/m", stream).as_bytes())
}

/// The body as a client reads it; one that did not say gzip must not be given it.
#[track_caller]
fn readable(reply: &Reply, accepts: Option<&str>) -> Vec<u8> {
    match reply.header("content-encoding") {
        None | Some("identity") => reply.body.clone(),
        Some("gzip") if accepts.is_some_and(|accepts| accepts.contains("gzip")) => {
            let mut out = Vec::new();
            MultiGzDecoder::new(reply.body.as_slice()).read_to_end(&mut out).expect("gzip");
            out
        }
        other => panic!("{other:?} for a client that accepts {accepts:?}"),
    }
}

const ACCEPTS: [Option<&str>; 4] = [None, Some("gzip, deflate"), Some("identity"), Some("br;q=1.0, gzip;q=0.5")];

#[test]
fn whole_replies_streams_and_errors_are_readable() {
    let (mock, gateway) = start("");
    let events = [text_event("one"), finish_event(), DONE.to_owned()].concat();
    let error = "{\"error\":{\"message\":\"slow down\"}}";
    for accepts in ACCEPTS {
        mock.script("p", zipped(200, "application/json", reply("hi").as_bytes()));
        assert_eq!(readable(&ask(&gateway, accepts, false), accepts), reply("hi").as_bytes(), "{accepts:?}");
        mock.script("p", zipped(200, "text/event-stream", events.as_bytes()));
        let got = ask(&gateway, accepts, true);
        assert_eq!(String::from_utf8(readable(&got, accepts)).unwrap(), events, "{accepts:?}");
        mock.script("p", zipped(429, "application/json", error.as_bytes()));
        let got = ask(&gateway, accepts, false);
        assert_eq!(got.status, 429);
        assert_eq!(four_keys(&readable(&got, accepts))["message"], "slow down");
    }
}

#[test]
fn a_provider_is_asked_only_for_what_can_be_read() {
    let (mock, gateway) = start("");
    mock.script("p", Script::json(200, reply("hi")));
    for accepts in ACCEPTS.into_iter().chain([Some("zstd"), Some("br")]) {
        assert_eq!(readable(&ask(&gateway, accepts, false), accepts), reply("hi").as_bytes());
        let asked = mock.last("p").head.get("accept-encoding").unwrap_or("identity").to_owned();
        let fine = ["identity", "gzip", "deflate"].iter().any(|known| asked.contains(known))
            && !asked.contains("zstd")
            && !asked.contains("br");
        assert!(fine, "{accepts:?} became {asked:?}");
    }
}

#[test]
fn a_small_body_that_unpacks_without_end() {
    let (mock, gateway) = start("limits: { reply_size: 1MiB, event_size: 64KiB }");
    let bomb = vec![b' '; 200 * 1024 * 1024];
    mock.script("p", zipped(200, "application/json", &bomb));
    assert_eq!(blamed(&ask(&gateway, None, false), 502, "provider")["code"], "reply_too_large");
    let line = [b": ", vec![b'x'; 50 * 1024 * 1024].as_slice()].concat();
    mock.script("p", zipped(200, "text/event-stream", &line));
    blamed(&ask(&gateway, None, true), 502, "provider");
    mock.script("p", zipped(500, "application/json", &bomb));
    blamed(&ask(&gateway, None, false), 500, "provider");
}

#[test]
fn encodings_that_are_unknown_or_untrue() {
    let (mock, gateway) = start("");
    let named =
        |name| Script::whole(200, &[("content-type", "application/json"), ("content-encoding", name)], reply("hi"));
    for name in ["zstd", "gzip", "aes128gcm"] {
        mock.script("p", named(name));
        blamed(&ask(&gateway, None, false), 502, "provider");
    }
    let whole = gzip(reply("hi").as_bytes());
    let length = (whole.len() - 4).to_string();
    let headers =
        [("content-type", "application/json"), ("content-encoding", "gzip"), ("content-length", length.as_str())];
    mock.script("p", Script::new().write([head(200, &headers).as_slice(), &whole[..whole.len() - 4]].concat()));
    blamed(&ask(&gateway, None, false), 502, "provider");
}

/// Nobody reads a whole reply of an unmetered provider, so it passes as it is; a stream is always read, for its end.
#[test]
fn without_a_meter_replies_are_as_readable() {
    let (mock, gateway) = start("meter: false");
    let events = [text_event("one"), finish_event(), DONE.to_owned()].concat();
    for accepts in ACCEPTS {
        mock.script("p", zipped(200, "application/json", reply("hi").as_bytes()));
        // The mock zips unasked: a client that said "identity" gets what it would get from the provider itself.
        let as_sent = accepts.is_some_and(|accepts| !accepts.contains("gzip"));
        let got = ask(&gateway, accepts, false);
        assert_eq!(mock.last("p").head.get("accept-encoding"), Some(accepts.unwrap_or("identity")));
        let text = readable(&got, if as_sent { Some("gzip") } else { accepts });
        assert_eq!(text, reply("hi").as_bytes(), "{accepts:?}");
        mock.script("p", zipped(200, "text/event-stream", events.as_bytes()));
        let got = ask(&gateway, accepts, true);
        assert_eq!(String::from_utf8(readable(&got, accepts)).unwrap(), events, "{accepts:?}");
    }
    mock.script(
        "p",
        Script::whole(200, &[("content-type", "application/json"), ("content-encoding", "")], reply("hi")),
    );
    assert_eq!(ask(&gateway, None, false).body, reply("hi").as_bytes(), "an empty encoding is none");
}
