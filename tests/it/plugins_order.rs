//! What crosses between plugins, the call and the operator: the order of the chain, receipts, tags, headers, and edits spliced into the
//! client's own bytes.

use serde_json::Value;
use sluice_tests::http::Reply;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, before, contains, log_line, says, start, text_of, with};
use crate::support::{CHAT, row, setup};

#[test]
fn requests_pass_in_rising_order_and_replies_in_falling() {
    let mock = Mock::start();
    let mask = |order: i32, word: &str, mask: &str| {
        format!("order: {order}\n{PATIENT}\nsettings: {{ words: [{word}], mask: {mask}, action: mask }}\n")
    };
    // Named against their order, so that neither the names nor the order of loading decides; then equal ones, by name.
    for (first, second, orders) in [("z", "a", (1, 2)), ("z", "a", (-5, 1_000)), ("a", "z", (7, 7))] {
        let plugins = [
            (first, "deny-words", mask(orders.0, "alpha", "beta")),
            (second, "deny-words", mask(orders.1, "beta", "gamma")),
        ];
        let plugins: Vec<(&str, &str, &str)> = plugins.iter().map(|(a, b, c)| (*a, *b, c.as_str())).collect();
        let gateway = start(&mock, &plugins);
        for stream in [false, true] {
            says(&mock, &["alp", "ha be", "ta"]);
            let reply = gateway.post(CHAT, asking("alpha beta", stream));
            assert!(contains(&mock.last("p").body, "\"content\":\"gamma gamma\""), "{first} then {second}");
            assert_eq!(text_of(&reply), "beta gamma", "{first} then {second}, stream {stream}");
            let ran: Vec<String> = receipt(&log_line(&gateway, &reply)).into_iter().map(|stamp| stamp.0).collect();
            assert_eq!(ran, [first, second, second, first], "stream {stream}");
        }
    }
}

/// Plugin, digest, hook and verdict of each stamp.
fn receipt(line: &Value) -> Vec<(String, String, String, String)> {
    let stamps = line["plugins"].as_array().unwrap_or_else(|| panic!("no receipt: {line}"));
    let word = |stamp: &Value, name: &str| stamp[name].as_str().unwrap().to_owned();
    assert!(stamps.iter().all(|stamp| stamp["us"].is_u64() && stamp["runs"].as_u64() >= Some(1)), "{line}");
    stamps
        .iter()
        .map(|stamp| (word(stamp, "plugin"), word(stamp, "digest"), word(stamp, "hook"), word(stamp, "verdict")))
        .collect()
}

fn short_digest(state: &Value) -> String {
    state["digest"].as_str().unwrap().trim_start_matches("sha256:").chars().take(12).collect()
}

#[test]
fn the_receipt_says_what_ran_with_which_verdict() {
    let mock = Mock::start();
    let mask = format!("order: 2\n{PATIENT}\nsettings: {{ words: [secret], action: mask }}\n");
    let first = format!("order: 1\n{PATIENT}\n");
    let gateway = start(&mock, &[("mask", "deny-words", &mask), ("first", "nop", &first)]);
    let (nop, words) = (short_digest(&active(&gateway, "first")), short_digest(&active(&gateway, "mask")));
    says(&mock, &["a sec", "ret"]);
    for stream in [false, true] {
        for (text, edit, reply_hook, reply_verdict) in
            [("a secret", "edit", "on-response", "edit"), ("clean", "pass", "on-response", "edit")]
        {
            let reply = gateway.post(CHAT, asking(text, stream));
            let (hook, verdict) = if stream { ("on-delta", "replace") } else { (reply_hook, reply_verdict) };
            let stamp = |a: &str, b: &str, c: &str, d: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
            let want = [
                stamp("first", &nop, "on-request", "pass"),
                stamp("mask", &words, "on-request", edit),
                stamp("mask", &words, hook, verdict),
            ];
            let line = log_line(&gateway, &reply);
            assert_eq!(receipt(&line), want, "stream {stream}");
            assert!(!line.to_string().contains("secret"), "{line}");
            let header = reply.header("x-sluice-plugins").unwrap_or_default();
            assert!(header.starts_with(&format!("first@{nop} on-request=pass ")), "{header}");
            assert!(header.contains(&format!("mask@{words} on-request={edit} ")), "{header}");
            assert!(stream || header.contains(&format!("mask@{words} on-response={reply_verdict} ")), "{header}");
        }
    }
    let quiet = with(setup(&[row(&mock, "p", "")], ""), "first", "nop", PATIENT).start();
    assert_eq!(quiet.post(CHAT, asking("hi", false)).header("x-sluice-plugins"), None);
}

#[test]
fn what_a_plugin_reads_remembers_and_tags() {
    let mock = Mock::start();
    let keys = "keys: [{ name: dev, value: env:DEV_KEY, team: birds }]\n";
    let setup = with(before(&mock, keys), "tagger", "tagger", PATIENT).env("DEV_KEY", "client-key-4711");
    let gateway = setup.start();
    says(&mock, &["fi", "ne"]);
    let call = |stream: bool| -> Reply {
        let headers =
            [("content-type", "application/json"), ("authorization", "Bearer client-key-4711"), ("x-probe", "seen")];
        gateway.call("POST", CHAT, &headers, asking("hi", stream).as_bytes())
    };
    let reply = call(false);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.header("x-tagger"),
        Some("chat openai-chat p/m stream=false attempt=1 texts=1 header=seen"),
        "{:?}",
        reply.head
    );
    let seen = "p/m model=p/m tagged=birds output=1 finish=stop texts=1";
    assert_eq!(reply.header("x-tagger-reply"), Some(seen), "{:?}", reply.head);
    let line = log_line(&gateway, &reply);
    assert_eq!((&line["tags"]["tagger"], &line["key"]), (&"birds".into(), &"dev".into()), "{line}");
    let reply = call(true);
    assert_eq!((reply.status, text_of(&reply).as_str()), (200, "fine"), "{}", reply.text());
    assert_eq!(
        reply.header("x-tagger"),
        Some("chat openai-chat p/m stream=true attempt=1 texts=1 header=seen"),
        "{:?}",
        reply.head
    );
    // Set in the first window, which comes before the head is out.
    assert!(reply.header("x-tagger-window").is_some_and(|text| "fine".starts_with(text)), "{:?}", reply.head);
    let line = log_line(&gateway, &reply);
    let windows: u32 = line["tags"]["windows.0.0"].as_str().unwrap_or_default().parse().unwrap();
    assert!((2..=4).contains(&windows), "{line}");
    let metrics = gateway.call("GET", "/metrics", &[("authorization", "Bearer client-key-4711")], b"").text();
    assert!(metrics.contains("sluice_plugin_count_total{name=\"requests\",plugin=\"tagger\"} 2"), "{metrics}");
    assert!(gateway.process.err.find("tagged birds").is_some(), "{}", gateway.process.err.text());
}

#[test]
fn edits_are_spliced_and_everything_else_stays() {
    let mock = Mock::start();
    for name in ["p", "q"] {
        mock.script(name, sluice_tests::mock::Script::json(200, crate::support::reply("fine")));
    }
    let rows = [row(&mock, "p", ""), row(&mock, "q", "")];
    let yaml = format!("{PATIENT}\nsettings: {{ model: q/other-1 }}\n");
    let gateway = with(setup(&rows, ""), "tagger", "tagger", &yaml).start();
    let sent = concat!(
        "{ \"x\":{\"n\": 1e5,\"u\":\"\\u00e9\"},\n \"model\" : \"p/m\", \"temperature\":1.70 ,\"user\":\"u-1\",\n",
        "  \"messages\": [ {\"content\":\"edit: caf\\u00e9\", \"role\":\"user\",\"odd\":null } ],\"seed\":0010e-1}",
    )
    .replace("0010e-1", "10e-1");
    let want = concat!(
        "{ \"x\":{\"n\": 1e5,\"u\":\"\\u00e9\"},\n \"model\" : \"other-1\", \"temperature\":0.5 ,",
        "\"messages\": [ {\"content\":\"tagged\",\"role\":\"system\"},{\"content\":\"edit: caf\\u00e9\", \"role\":\"user\",",
        "\"odd\":null } ],\"seed\":10e-1}",
    );
    let reply = gateway.post(CHAT, &sent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(mock.journal().count("p"), 0, "the model was not changed before routing");
    assert_eq!(String::from_utf8_lossy(&mock.last("q").body), want);
    assert!(reply.header("x-tagger-reply").unwrap_or_default().starts_with("q/other-1 "), "{:?}", reply.head);
    let untouched = sent.replace("edit: ", "leave: ");
    gateway.post(CHAT, &untouched);
    assert_eq!(String::from_utf8_lossy(&mock.last("p").body), untouched.replace("p/m", "m"));
}
