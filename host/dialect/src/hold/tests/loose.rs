//! Undescribed strings: sources, a provider's own tools, members that nobody knows.

use super::super::limits::MAX_PIECES;
use super::*;
use crate::text::Kind;

fn raw(frames: &[String]) -> String {
    frames.iter().map(|json| format!("data: {json}\n\n")).collect()
}

/// The event with a member beside `choices`.
fn with_top(json: &str, member: &str) -> String {
    json.replacen('{', &format!("{{{member},"), 1)
}

/// The windows of undescribed strings.
fn others(run: &Run) -> Vec<(usize, &str, bool)> {
    let of_kind = run.windows.iter().filter(|(_, window)| window.kind == Kind::Other);
    of_kind.map(|(stage, window)| (*stage, window.text.as_str(), window.last)).collect()
}

#[test]
fn a_citation_is_masked_and_its_frame_stays_otherwise() {
    let frames = [
        with_top(&content("a "), r#""citations":["https://a.b/secret/x","https://c.d"]"#),
        delta(
            0,
            r#"{"content":"b","annotations":[{"type":"url_citation","url_citation":{"title":"so \u0073ecret"}}]}"#,
        ),
        finish(0),
    ];
    let run = run(&frames, vec![replace("secret", "***")]);
    let expected = raw(&frames).replace("/secret/", "/***/").replace("so \\u0073ecret", "so ***");
    assert_eq!(run.bytes(), expected);
    assert_eq!(others(&run), [(0, "https://a.b/secret/x", true), (0, "https://c.d", true), (0, "so secret", true)]);
}

#[test]
fn unknown_members_are_read_wherever_they_stand() {
    for json in [
        with_top(&content("a"), r#""brand":{"new":["secret"]}"#),
        with_top(r#"{"choices":[]}"#, r#""brand_new":"secret""#),
        content("a").replace("\"delta\"", r#""brand_new":"secret","delta""#),
        delta(0, r#"{"content":"a","brand_new":[{"x":"a secret"}]}"#),
        delta(0, r#"{"content":[{"type":"text","text":"a","note":"secret"}]}"#),
        delta(0, r#"{"executed_tools":[{"type":"search","arguments":"secret","output":"x"}]}"#),
        delta(0, r#"{"executed_tools":[{"type":"search","arguments":"x","output":"secret"}]}"#),
        delta(0, r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"a":"secret"}}}]}"#),
        delta(3, r#"{"message":{"content":"secret"}}"#),
    ] {
        let frames = [json.clone(), finish(0)];
        assert_eq!(run(&frames, vec![release_all(), release_all()]).bytes(), raw(&frames));
        let run = run(&frames, vec![replace("secret", "***")]);
        assert_eq!(run.bytes(), raw(&frames).replace("secret", "***"), "{json}");
    }
}

#[test]
fn the_name_of_a_tool_is_told_with_strings_of_its_arguments() {
    let frames =
        [delta(0, r#"{"tool_calls":[{"index":0,"function":{"arguments":{"a":"b"},"name":"send"}}]}"#), finish(0)];
    let run = run(&frames, vec![release_all()]);
    let found: Vec<_> = run.windows.iter().filter(|(_, window)| window.text == "b").collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].1.kind, found[0].1.name.as_deref()), (Kind::ToolArguments, Some("send")));
    assert_eq!(run.bytes(), raw(&frames));
}

#[test]
fn a_member_that_says_the_text_again_is_masked_across_events() {
    for parts in splits("a secret") {
        let frames: Vec<String> = parts
            .iter()
            .map(|part| {
                let text = Value::from(part.as_str());
                let json = content(part).replace("\"delta\"", &format!("\"generated\":{text},\"delta\""));
                with_top(&json, &format!("\"token\":{{\"text\":{text}}}"))
            })
            .collect();
        let run = run(&frames, vec![replace("secret", "***")]);
        assert_eq!(run.content(), "a ***");
        assert!(others(&run).is_empty());
        for member in ["generated", "text"] {
            let said: String = run
                .bytes()
                .split(&format!("\"{member}\":\""))
                .skip(1)
                .filter_map(|rest| rest.split('"').next().map(str::to_owned))
                .collect();
            assert_eq!(said, "a ***", "{member} {parts:?}");
        }
    }
}

#[test]
fn strings_that_come_with_every_event_are_asked_about_once() {
    let sources =
        r#""citations":["https://a.b","https://secret.d"],"search_results":[{"title":"a secret","url":"https://e.f"}]"#;
    let texts = ["one", " two", " three", " four"];
    let mut frames: Vec<String> = texts.iter().map(|text| with_top(&content(text), sources)).collect();
    frames.push(with_top(&finish(0), sources));
    let kept = run(&frames, vec![release_all(), hold_back(1)]);
    assert_eq!(kept.bytes().matches("https://secret.d").count(), 5);
    assert_eq!(others(&kept).len(), 2 * 4);
    let masked = run(&frames, vec![replace("secret", "***"), release_all()]);
    assert_eq!(masked.bytes(), raw(&frames).replace("secret", "***"));
    assert_eq!(others(&masked).len(), 2 * 4);
    // A list that grows costs its new strings.
    let grown = [&frames[..], &[with_top(&content("x"), r#""citations":["https://a.b","https://new"]"#)]].concat();
    assert_eq!(others(&run(&grown, vec![release_all()])).last(), Some(&(0, "https://new", true)));
    assert_eq!(others(&run(&grown, vec![release_all()])).len(), 5);
}

#[test]
fn a_string_is_remembered_for_its_choice_kind_and_stages_only() {
    let same = |choice: u32| delta(choice, r#"{"new":"x"}"#);
    let tool = delta(0, r#"{"executed_tools":[{"output":"x"}]}"#);
    let asked = run(&[same(0), same(1), tool, same(0)], vec![release_all()]).windows;
    let asked: Vec<(u32, Kind)> = asked.into_iter().map(|(_, window)| (window.choice, window.kind)).collect();
    assert_eq!(asked, [(0, Kind::Other), (1, Kind::Other), (0, Kind::ToolResult)]);

    let mut hold = hold(2);
    let mut count = 0;
    for skip in [false, true] {
        if skip {
            hold.skip_stage(0);
        }
        for _ in 0..2 {
            push(&mut hold, frame(&same(0)));
            while let Some((stage, _)) = hold.next_window().unwrap() {
                count += 1;
                hold.verdict(stage, Verdict::Release(0)).unwrap();
            }
        }
    }
    assert_eq!(count, 2 + 1);
}

#[test]
fn two_stages_each_see_what_the_one_before_made_of_it() {
    let frames = [with_top(&content("text"), r#""citations":["a secret b"]"#), finish(0)];
    let run = run(&frames, vec![replace("secret", "***"), replace("***", "###"), footer("!")]);
    assert_eq!(others(&run), [(0, "a secret b", true), (1, "a *** b", true), (2, "a ### b", true)]);
    assert!(run.bytes().contains(r#""citations":["a ### b!"]"#), "{}", run.bytes());
    assert_eq!(run.content(), "text!");
}

#[test]
fn nothing_of_an_undescribed_string_is_held() {
    let frames = [with_top(&content("text"), r#""citations":["abcdef"]"#), finish(0)];
    let replacing: Stage = Box::new(|window| Verdict::Replace { text: window.text.clone(), hold: 1 });
    let run = run(&frames, vec![hold_back(3), replacing]);
    assert_eq!(others(&run), [(0, "abcdef", true), (1, "abcdef", true)]);
    assert!(run.bytes().contains(r#""citations":["abcdef"]"#), "{}", run.bytes());
    assert_eq!(run.content(), "text");
}

#[test]
fn a_finish_on_an_undescribed_string_ends_its_choice() {
    let finishing = || -> Stage {
        Box::new(|window| match window.text.find("secret") {
            Some(at) => Verdict::Finish(window.text[..at].to_owned()),
            None => Verdict::Release(0),
        })
    };
    let first = content("ok");
    let cited = with_top(&content(" more"), r#""citations":["x secret y","never asked","never asked either"]"#);
    for stages in [vec![finishing()], vec![release_all(), finishing(), hold_back(1)]] {
        let run = run(&[first.clone(), cited.clone(), content(" late"), finish(0)], stages);
        let texts = run.texts();
        assert_eq!(texts[&(0, "finish".to_owned())], "content_filter");
        assert!(run.finished_all && run.content().starts_with("ok"));
        for word in ["secret", "never asked", "late"] {
            assert!(!run.bytes().contains(word), "{word}: {}", run.bytes());
        }
        assert!(run.bytes().contains(r#""citations":["x ","",""]"#), "{}", run.bytes());
    }
    let inside = delta(0, r#"{"content":"b","new":["x secret y","z"]}"#);
    let run = run(&[first, inside, finish(0)], vec![finishing()]);
    assert!(!run.bytes().contains("secret") && run.bytes().contains(r#""new":["x ",""]"#), "{}", run.bytes());
    assert_eq!(run.texts()[&(0, "finish".to_owned())], "content_filter");
}

#[test]
fn what_stands_beside_a_choice_that_was_ended_says_nothing() {
    let two = |text: &str| {
        let choice = |index: u32| format!("{{\"index\":{index},\"delta\":{{\"content\":\"{text}\"}}}}");
        format!("{{\"choices\":[{},{}],\"token\":\"{text}\",\"citations\":[\"cited {text}\"]}}", choice(0), choice(1))
    };
    let usage = r#"{"choices":[],"usage":{"a":1},"citations":["cited three"]}"#.to_owned();
    let hold = Hold::new(1, 2, 1 << 16);
    let stage: Stage = Box::new(|window| match (window.choice, window.text.as_str()) {
        (0, "one") => Verdict::Finish(String::new()),
        _ => Verdict::Release(0),
    });
    let run = run_on(hold, &[two("one"), two("two"), finish(1), usage], vec![stage]);
    assert!(!run.bytes().contains("cited"), "{}", run.bytes());
    assert_eq!(run.texts()[&(1, "content".to_owned())], "onetwo");
    assert!(run.bytes().contains(r#""token":"","citations":[""]"#), "{}", run.bytes());
}

#[test]
fn sources_do_not_use_up_the_pieces_that_are_read() {
    let mut hold = hold(1);
    let mut out = Vec::new();
    let mut asked = 0;
    for event in 0..3 * MAX_PIECES / 100 {
        let strings: Vec<String> = (0..100).map(|at| format!("\"{event}-{at}\"")).collect();
        push(&mut hold, frame(&with_top(&content("x"), &format!("\"citations\":[{}]", strings.join(",")))));
        while let Some((stage, window)) = hold.next_window().unwrap() {
            asked += usize::from(window.last);
            hold.verdict(stage, Verdict::Release(0)).unwrap();
        }
        hold.take_output(&mut out);
        assert_eq!(hold.waiting_bytes(), 0);
    }
    assert!(asked > 2 * MAX_PIECES, "{asked}");
    assert!(hold.pieces.len() <= 101, "{}", hold.pieces.len());
    let crowd = vec!["\"y\""; MAX_PIECES + 1].join(",");
    push(&mut hold, frame(&with_top(&content("x"), &format!("\"citations\":[{crowd}]"))));
    assert!(hold.next_window().is_err(), "more strings than are read");
}

#[test]
fn a_text_is_cut_ahead_of_the_sources_in_its_frame() {
    let sources = r#""citations":["https://a.b"]"#;
    let frames = [with_top(&content("abcd"), sources), with_top(&content("efgh"), sources), finish(0)];
    let run = run(&frames, vec![hold_back(2)]);
    let read: Vec<&str> = run.steps.iter().map(|step| step[&(0, "content".to_owned())].as_str()).collect();
    assert_eq!(read[..3], ["ab", "abcdef", "abcdefgh"]);
    assert_eq!(run.bytes().matches("https://a.b").count(), 2);
}

#[test]
fn masked_sources_leave_what_repeats_the_text_alone() {
    let message = |part: &str, all: &str| {
        content(part)
            .replace("\"delta\"", &format!("\"message\":{{\"role\":\"assistant\",\"content\":\"{all}\"}},\"delta\""))
    };
    let sources = r#""citations":["secret"]"#;
    let frames = [with_top(&message("a", "a"), sources), with_top(&message("b", "ab"), sources), finish(0)];
    let run = run(&frames, vec![replace("secret", "***")]);
    assert_eq!(run.bytes(), raw(&frames).replace("secret", "***"));
}
