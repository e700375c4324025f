//! The shapes in which providers repeat, number and mix texts.

use super::*;

/// The output with `"` unescaped once more, so that a word inside a JSON string inside a JSON string is found too.
fn flat(run: &Run) -> String {
    let bytes = run.bytes();
    let events: Vec<Value> = bytes
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let mut words = bytes.clone();
    let mut rest: Vec<Value> = events;
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => words.push_str(&text),
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    words
}

/// Masks the word in every split of `a secret b`, with each event built by `event` from its text and all text so far.
fn never_tells(event: impl Fn(&str, &str) -> String, member: &str, expected: &str) {
    for parts in splits("a secret b") {
        let mut all = String::new();
        let mut frames = Vec::new();
        for part in &parts {
            all.push_str(part);
            frames.push(event(part, &all));
        }
        let kept = run(&[frames.clone(), vec![finish(0)]].concat(), vec![release_all()]);
        assert!(kept.out.iter().zip(&frames).all(|(out, json)| *out == frame(json).raw), "{parts:?}");
        // What repeats all text so far ends with the whole of it, in a frame without any of its own.
        frames.push(event("", &all).replace("\"finish_reason\":null", "\"finish_reason\":\"stop\""));
        frames.push("[DONE]".to_owned());
        for stage in [replace("secret", "***"), replace("secret", "")] {
            let run = run(&frames, vec![stage]);
            assert!(!flat(&run).contains("secret"), "{parts:?}: {}", run.bytes());
        }
        let run = run(&frames, vec![mask(expected)]);
        assert_eq!(run.texts()[&(0, member.to_owned())], format!("a {expected} b"), "{parts:?}");
    }
}

fn mask(with: &str) -> Stage {
    let with = with.to_owned();
    Box::new(move |window| {
        let text = window.text.replace("secret", &with);
        let hold = if window.last { 0 } else { dangling(&text, "secret") as u32 };
        Verdict::Replace { text, hold }
    })
}

fn text(value: &str) -> String {
    Value::from(value).to_string()
}

#[test]
fn logprobs_do_not_tell() {
    never_tells(
        |part, _| {
            let tokens = if part.is_empty() {
                String::new()
            } else {
                format!(r#"{{"token":{},"logprob":-1,"bytes":null,"top_logprobs":[]}}"#, text(part))
            };
            content(part).replace(
                "\"finish_reason\"",
                &format!(r#""logprobs":{{"content":[{tokens}],"refusal":null}},"finish_reason""#),
            )
        },
        "content",
        "***",
    );
}

#[test]
fn cumulative_messages_do_not_tell() {
    never_tells(
        |part, all| {
            content(part)
                .replace("\"delta\"", &format!(r#""message":{{"role":"assistant","content":{}}},"delta""#, text(all)))
        },
        "content",
        "***",
    );
}

#[test]
fn a_message_that_says_more_than_the_deltas_is_emptied() {
    let message = |part: &str, members: &str| {
        content(part).replace("\"delta\"", &format!("\"message\":{{\"role\":\"assistant\",{members}}},\"delta\""))
    };
    let copies = [
        message("ab", r#""content":"ab""#),
        message("c", r#""content":"c""#),
        message("d", r#""content":"abcd","refusal":null"#),
    ];
    let run_all = |frames: &[String]| run(frames, vec![release_all()]).bytes();
    assert_eq!(run_all(&copies), copies.iter().map(|json| format!("data: {json}\n\n")).collect::<String>());
    for more in [
        r#""content":"abxcd""#,
        r#""content":"secret""#,
        r#""content":"abcd","reasoning":"secret""#,
        r#""content":["secret"]"#,
    ] {
        let frames = [message("ab", r#""content":"ab""#), message("cd", more)];
        assert!(run_all(&frames).contains(r#""message":{"role":"assistant","content":""}"#), "{more}");
    }
    // Nobody counted from the start.
    let late = [content("ab"), message("cd", r#""content":"abcd""#)];
    assert!(run_all(&late).contains(r#""message":{"role":"assistant","content":""}"#));
}

#[test]
fn twins_of_a_delta_follow_it() {
    never_tells(
        |part, _| content(part).replace("\"delta\"", &format!(r#""text":{},"delta""#, text(part))),
        "content",
        "***",
    );
    let frames = [content("a secret").replace("\"delta\"", r#""text":"a secret","delta""#)];
    let run = run(&frames, vec![replace("secret", "***")]);
    assert!(run.bytes().contains(r#""text":"a ***""#));
}

#[test]
fn reasoning_details_follow_the_reasoning() {
    let event = |part: &str, _: &str| {
        delta(
            0,
            &format!(
                r#"{{"reasoning":{0},"reasoning_content":{0},"reasoning_details":[{{"type":"reasoning.text","text":{0},"index":0}}]}}"#,
                text(part)
            ),
        )
    };
    never_tells(event, "reasoning_content", "***");
    let several = |part: &str, _: &str| {
        let at = part.chars().next().map_or(0, char::len_utf8);
        let details = format!(r#"[{{"text":{}}},{{"summary":{}}}]"#, text(&part[..at]), text(&part[at..]));
        delta(0, &format!(r#"{{"reasoning":{},"reasoning_details":{details}}}"#, text(part)))
    };
    never_tells(several, "reasoning", "***");
}

#[test]
fn details_alone_are_read_as_reasoning() {
    let event = |part: &str| {
        delta(
            0,
            &format!(r#"{{"content":"","reasoning_details":[{{"type":"reasoning.text","text":{}}}]}}"#, text(part)),
        )
    };
    let run = run(&[event("a sec"), event("ret"), finish(0)], vec![replace("secret", "***")]);
    assert!(!flat(&run).contains("sec"));
    assert_eq!(run.windows[0].1.kind, crate::text::Kind::Reasoning);
    assert!(run.bytes().contains("a ") && run.bytes().contains("***"));
}

#[test]
fn parts_and_strings_are_one_text() {
    let frames = [
        delta(0, r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"sec"}]}]}"#),
        delta(
            0,
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"ret"}],"closed":true},{"type":"text","text":"a se"}]}"#,
        ),
        content("cret b"),
        finish(0),
    ];
    let run = run(&frames, vec![replace("secret", "***")]);
    assert!(!flat(&run).contains("sec"));
    assert_eq!(run.content(), "a *** b");
    assert_eq!(run.texts()[&(0, "thinking".into())], "***");
}

fn call(index: Option<u32>, id: &str, name: &str, arguments: &str) -> String {
    let index = index.map(|index| format!("\"index\":{index},")).unwrap_or_default();
    let id = if id.is_empty() { String::new() } else { format!("\"id\":\"{id}\",\"type\":\"function\",") };
    let name = if name.is_empty() { String::new() } else { format!("\"name\":\"{name}\",") };
    format!("{{{index}{id}\"function\":{{{name}\"arguments\":{}}}}}", text(arguments))
}

fn calls(calls: &[String]) -> String {
    delta(0, &format!("{{\"tool_calls\":[{}]}}", calls.join(",")))
}

#[test]
fn parallel_tool_calls_are_pieces_of_their_own() {
    for parts in splits("{\"a\":\"secret\"}").into_iter().step_by(37) {
        let mut frames = vec![calls(&[call(Some(0), "i0", "f", "")]), calls(&[call(Some(1), "i1", "g", "")])];
        for part in &parts {
            frames.push(calls(&[call(Some(0), "", "", part)]));
            frames.push(calls(&[call(Some(1), "", "", part)]));
        }
        frames.push(finish(0));
        let run = run(&frames, vec![replace("secret", "***"), hold_back(3)]);
        let texts = run.texts();
        for index in 0..2 {
            assert_eq!(texts[&(0, format!("tool.{index}"))], "{\"a\":\"***\"}");
            assert_eq!(texts[&(0, format!("name.{index}"))], ["f", "g"][index]);
        }
        assert!(!flat(&run).contains("secret"));
        assert!(run.windows.iter().all(|(_, window)| window.name.as_deref() == Some(["f", "g"][window.part as usize])));
    }
}

#[test]
fn calls_without_an_index_are_numbered() {
    let frames = [
        calls(&[call(None, "a", "f", "sec"), call(None, "b", "g", "ret")]),
        calls(&[call(None, "c", "f", "{}")]),
        finish(0),
    ];
    let run = run(&frames, vec![replace("secret", "***")]);
    let firsts: Vec<(u32, Option<&str>, &str)> = run
        .windows
        .iter()
        .filter(|(_, window)| !window.last)
        .map(|(_, window)| (window.part, window.name.as_deref(), window.text.as_str()))
        .collect();
    assert_eq!(firsts, [(0, Some("f"), "sec"), (1, Some("g"), "ret"), (2, Some("f"), "{}")]);
    assert_eq!(run.bytes(), frames.iter().map(|json| format!("data: {json}\n\n")).collect::<String>());
}

#[test]
fn another_id_at_the_same_index_is_another_call() {
    let frames = [calls(&[call(Some(0), "a", "f", "{}")]), calls(&[call(Some(0), "b", "g", "[]")]), finish(0)];
    let run = run(&frames, vec![release_all()]);
    let lasts: Vec<(u32, Option<&str>)> = run
        .windows
        .iter()
        .filter(|(_, window)| window.last)
        .map(|(_, window)| (window.part, window.name.as_deref()))
        .collect();
    assert_eq!(lasts, [(0, Some("f")), (1, Some("g"))]);
}

#[test]
fn a_name_waits_for_its_first_released_window() {
    let mut hold = hold(1);
    let mut out = Vec::new();
    push(&mut hold, frame(&calls(&[call(Some(0), "a", "f", "")])));
    let (_, window) = hold.next_window().unwrap().unwrap();
    assert_eq!((window.name.as_deref(), window.text.as_str(), window.last), (Some("f"), "", false));
    hold.take_output(&mut out);
    assert!(out.is_empty());
    hold.verdict(0, Verdict::Release(1)).unwrap();
    hold.take_output(&mut out);
    assert!(out.is_empty(), "more was held than there is");
    push(&mut hold, frame(&calls(&[call(Some(0), "", "", "{\"")])));
    drive(&mut hold, &mut [hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    let texts = read(&out);
    assert_eq!((texts[&(0, "name.0".into())].as_str(), texts[&(0, "tool.0".into())].as_str()), ("f", "{"));
}

#[test]
fn a_held_name_is_not_let_go_by_arguments_that_an_earlier_stage_took_away() {
    let mut hold = hold(2);
    let mut out = Vec::new();
    let empty = || -> Stage { Box::new(|_| Verdict::Replace { text: String::new(), hold: 0 }) };
    push(&mut hold, frame(&calls(&[call(Some(0), "a", "drop_tables", "")])));
    drive(&mut hold, &mut [empty(), hold_back(1)]).unwrap();
    push(&mut hold, frame(&calls(&[call(Some(0), "", "", "{}")])));
    let mut asked = 0;
    while let Some((stage, _)) = hold.next_window().unwrap() {
        asked += stage;
        let verdict = if stage == 0 { Verdict::Replace { text: String::new(), hold: 0 } } else { Verdict::Release(1) };
        hold.verdict(stage, verdict).unwrap();
    }
    hold.take_output(&mut out);
    assert!(out.is_empty());
    assert_eq!(asked, 0, "nothing new for the second stage");
    hold.end();
    drive(&mut hold, &mut [empty(), hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    assert_eq!(read(&out)[&(0, "name.0".into())], "drop_tables");
}

#[test]
fn a_refused_tool_call_never_shows_its_name() {
    let stage = || -> Vec<Stage> {
        vec![Box::new(|window| match window.name.as_deref() {
            Some("drop_tables") => Verdict::Finish(String::new()),
            _ => Verdict::Release(0),
        })]
    };
    let beside =
        delta(0, &format!(r#"{{"content":"and now","tool_calls":[{}]}}"#, call(Some(0), "a", "drop_tables", "{}")));
    for frames in [
        vec![content("first"), calls(&[call(Some(0), "a", "drop_tables", "")]), calls(&[call(Some(0), "", "", "{}")])],
        vec![content("first"), beside.clone()],
        vec![content("first"), beside.replace("\"finish_reason\":null", "\"finish_reason\":\"tool_calls\"")],
    ] {
        let run = run(&frames, stage());
        assert!(!run.bytes().contains("drop_tables"), "{}", run.bytes());
        assert!(run.content().starts_with("first"));
        assert_eq!(run.texts()[&(0, "finish".into())], "content_filter");
    }
}

#[test]
fn kinds_may_alternate() {
    let reasoning = |text: &str| delta(0, &format!("{{\"reasoning_content\":\"{text}\"}}"));
    let frames = [reasoning("se"), content("se"), reasoning("cr"), content("cret"), reasoning("et"), finish(0)];
    let run = run(&frames, vec![replace("secret", "***")]);
    assert_eq!(run.content(), "***");
    assert_eq!(run.texts()[&(0, "reasoning_content".into())], "***");
    let parts: Vec<u32> = run.windows.iter().map(|(_, window)| window.part).collect();
    assert_eq!(parts, [0, 1, 0, 1, 0, 0, 1]);
}

#[test]
fn a_role_is_not_overtaken() {
    let first = delta(0, r#"{"role":"assistant","content":"abc"}"#);
    let mut hold = hold(1);
    let mut out = Vec::new();
    push(&mut hold, frame(&first));
    drive(&mut hold, &mut [hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    assert!(out.is_empty());
    push(&mut hold, frame(&delta(0, r#"{"role":"assistant","content":"def"}"#)));
    drive(&mut hold, &mut [hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    assert_eq!(out[0], frame(&first).raw);
    assert_eq!(read(&out)[&(0, "content".into())], "abcde");
}

#[test]
fn comments_stay_with_their_event_and_others_keep_their_place() {
    let raw = "id: 7\n: note\nevent: chunk\ndata: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"secret\"}}]}\n\n";
    let mut hold = hold(1);
    push(&mut hold, frame(&content("a ")));
    hold.push_opaque(Bytes::from_static(b": first\n\n"));
    push(&mut hold, Frame::new(Bytes::from(raw)));
    drive(&mut hold, &mut [replace("secret", "***")]).unwrap();
    let mut out = Vec::new();
    hold.take_output(&mut out);
    let bytes = String::from_utf8(out.concat()).unwrap();
    assert_eq!(read(&out)[&(0, "content".into())], "a ***");
    assert!(bytes.contains(": first\n\n") && bytes.contains(": note\n") && bytes.contains("event: chunk\n"), "{bytes}");
    assert!(!bytes.contains("secret"));
}

#[test]
fn line_ends_and_fields_of_a_rewritten_frame_stay() {
    let mut hold = hold(1);
    push(&mut hold, Frame::new(Bytes::from(format!("data:{}\r\n\r\n", content("a secret")))));
    drive(&mut hold, &mut [replace("secret", "***")]).unwrap();
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert_eq!(out.concat(), format!("data:{}\r\n\r\n", content("a ***")).as_bytes());
}
