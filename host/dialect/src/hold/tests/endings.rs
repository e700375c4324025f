//! Ends of choices, skipped stages, limits and misuse.

use super::super::BadVerdict;
use super::*;

#[test]
fn one_of_two_choices_ends_and_the_other_goes_on() {
    let both = |a: &str, b: &str| {
        delta(0, &format!("{{\"content\":\"{a}\"}}"))
            .replace("}]}", &format!("}},{{\"index\":1,\"delta\":{{\"content\":\"{b}\"}},\"finish_reason\":null}}]}}"))
    };
    let frames =
        vec![both("fine ", "fine "), both("bad", "good"), both("more", "more"), finish(0), finish(1), "[DONE]".into()];
    let run = run_on(Hold::new(1, 2, 1024), &frames, vec![finish_at("bad")]);
    let texts = run.texts();
    assert_eq!(texts[&(0, "content".into())], "fine ");
    assert_eq!(texts[&(1, "content".into())], "fine goodmore");
    assert_eq!(texts[&(0, "finish".into())], "content_filter");
    assert_eq!(texts[&(1, "finish".into())], "stop");
    assert!(run.bytes().ends_with("data: [DONE]\n\n"));
    assert!(!run.bytes().contains("bad"));
}

#[test]
fn when_no_choice_is_left_the_caller_is_told() {
    let frames: Vec<String> = vec![
        delta(0, r#"{"content":"bad"}"#),
        delta(1, r#"{"content":"ok"}"#),
        delta(1, r#"{"content":"bad"}"#),
        content("never"),
    ];
    let run = run_on(Hold::new(1, 2, 1024), &frames, vec![finish_at("bad")]);
    assert!(run.finished_all);
    assert_eq!(run.steps.len(), 3);
    assert_eq!(run.texts()[&(1, "content".into())], "ok");
    // Ended in the provider's own last frame: there is nothing to cancel.
    let last = content("bad").replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"");
    let run = run_on(Hold::new(1, 1, 1024), &[last], vec![finish_at("bad")]);
    assert!(!run.finished_all);
    assert_eq!(run.texts()[&(0, "finish".into())], "content_filter");
    assert_eq!(run.content(), "");
}

#[test]
fn usage_of_a_refused_choice_still_arrives() {
    let usage = finish(1).replacen('{', r#"{"usage":{"total_tokens":3},"#, 1);
    let frames = vec![delta(1, r#"{"content":"bad"}"#), usage];
    let run = run_on(Hold::new(1, 2, 1024), &frames, vec![finish_at("bad")]);
    assert!(run.bytes().contains(r#""usage":{"total_tokens":3},"#));
    assert!(run.bytes().contains(r#""choices":[]"#));
    assert_eq!(run.texts()[&(1, "finish".into())], "content_filter");
}

#[test]
fn other_pieces_of_an_ended_choice_are_dropped_where_nobody_released_them() {
    let frames = vec![delta(0, r#"{"reasoning":"hidden thought"}"#), delta(0, r#"{"content":"bad"}"#)];
    let run = run(
        &frames,
        vec![Box::new(|window| match window.text.contains("bad") {
            true => Verdict::Finish("gone".into()),
            false => Verdict::Release(100),
        })],
    );
    assert!(run.finished_all);
    assert!(!run.bytes().contains("hidden"));
    assert_eq!(run.content(), "gone");
    assert_eq!(run.texts()[&(0, "finish".into())], "content_filter");
}

#[test]
fn too_much_held_text_names_the_stage() {
    let mut hold = Hold::new(2, 1, 10);
    let mut stages = vec![release_all(), hold_back(1000)];
    push(&mut hold, frame(&content("0123456789")));
    drive(&mut hold, &mut stages).unwrap();
    push(&mut hold, frame(&content("x")));
    let overflow = drive(&mut hold, &mut stages).unwrap_err();
    assert_eq!(overflow, Overflow { stage: 1, choice: 0 });
    assert_eq!(hold.next_window(), Err(overflow));
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert!(out.is_empty());
    hold.skip_stage(1);
    drive(&mut hold, &mut stages).unwrap();
    push(&mut hold, frame(&content("y")));
    drive(&mut hold, &mut stages).unwrap();
    hold.take_output(&mut out);
    assert_eq!(read(&out)[&(0, "content".into())], "0123456789xy");
}

#[test]
fn a_text_that_is_released_at_once_may_be_longer_than_what_may_be_held() {
    let mut hold = Hold::new(1, 1, 10);
    push(&mut hold, frame(&content(&"a".repeat(1000))));
    drive(&mut hold, &mut [hold_back(3)]).unwrap();
}

#[test]
fn frames_that_wait_are_bounded_too() {
    let mut hold = Hold::new(1, 1, 100);
    let mut stages = vec![hold_back(10)];
    push(&mut hold, frame(&content("abc")));
    let mut overflow = None;
    for _ in 0..1000 {
        hold.push_opaque(Bytes::from_static(b": keep-alive\n\n"));
        if let Err(error) = drive(&mut hold, &mut stages) {
            overflow = Some(error);
            break;
        }
    }
    assert_eq!(overflow, Some(Overflow { stage: 0, choice: 0 }));
    assert!(hold.waiting_bytes() < 100 * 300);
}

#[test]
fn too_many_pieces_are_not_read_past() {
    let mut hold = Hold::new(1, 1, 1 << 20);
    let mut stages = vec![release_all()];
    let mut overflow = None;
    let mut pushed = 0;
    while overflow.is_none() {
        let call = format!(r#"{{"tool_calls":[{{"index":{pushed},"function":{{"name":"f","arguments":"x"}}}}]}}"#);
        push(&mut hold, frame(&delta(0, &call)));
        overflow = drive(&mut hold, &mut stages).err();
        pushed += 1;
        assert!(pushed < 10_000);
    }
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert_eq!(out.len(), pushed - 1);
    hold.skip_stage(0);
    drive(&mut hold, &mut stages).unwrap();
    hold.take_output(&mut out);
    assert_eq!(out.len(), pushed);
}

#[test]
fn an_event_of_too_many_choices_is_not_read_past() {
    let choices: Vec<String> =
        (0..2000).map(|index| format!(r#"{{"index":{index},"delta":{{"content":"x"}}}}"#)).collect();
    let event = format!(r#"{{"choices":[{}]}}"#, choices.join(","));
    let mut hold = hold(1);
    push(&mut hold, frame(&event));
    assert_eq!(hold.next_window(), Err(Overflow { stage: 0, choice: 0 }));
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert!(out.is_empty());
    hold.skip_stage(0);
    hold.take_output(&mut out);
    assert_eq!(out, [frame(&event).raw]);
}

#[test]
fn text_after_the_end_is_still_asked_about() {
    let run = run(&[content("a "), "[DONE]".into(), content("secret"), finish(0)], vec![replace("secret", "***")]);
    assert_eq!(run.content(), "a ***");
}

#[test]
fn a_skipped_stage_holds_nothing_more_and_others_go_on() {
    let mut hold = hold(2);
    let mut stages = vec![hold_back(1000), replace("secret", "***")];
    push(&mut hold, frame(&content("the sec")));
    drive(&mut hold, &mut stages).unwrap();
    hold.skip_stage(0);
    drive(&mut hold, &mut stages).unwrap();
    push(&mut hold, frame(&content("ret is out")));
    push(&mut hold, frame(&finish(0)));
    drive(&mut hold, &mut stages).unwrap();
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert_eq!(read(&out)[&(0, "content".into())], "the *** is out");
}

#[test]
fn verdicts_out_of_turn_are_refused() {
    let mut hold = hold(2);
    assert_eq!(hold.verdict(0, Verdict::Release(0)), Err(BadVerdict::NoWindow));
    push(&mut hold, frame(&content("abc")));
    assert_eq!(hold.verdict(0, Verdict::Release(0)), Err(BadVerdict::NoWindow));
    let asked = hold.next_window().unwrap().unwrap();
    assert_eq!(hold.verdict(1, Verdict::Release(0)), Err(BadVerdict::NoWindow));
    let past = Verdict::Replace { text: "\u{d55c}".into(), hold: 2 };
    assert_eq!(hold.verdict(0, past), Err(BadVerdict::HoldPastEnd { hold: 2, characters: 1 }));
    assert_eq!(hold.next_window(), Ok(Some(asked)));
    push(&mut hold, frame(&content("d")));
    assert_eq!(hold.verdict(0, Verdict::Release(0)), Err(BadVerdict::NoWindow), "it did not see the new text");
    assert_eq!(hold.next_window().unwrap().unwrap().1.text, "abcd");
    assert_eq!(hold.verdict(0, Verdict::Release(9)), Ok(Effect::Kept));
    assert_eq!(hold.next_window(), Ok(None));
    let mut out = Vec::new();
    hold.take_output(&mut out);
    assert!(out.is_empty() && !hold.released_content());
}

#[test]
fn content_is_released_when_it_leaves() {
    let mut hold = hold(1);
    let mut out = Vec::new();
    push(&mut hold, frame(&delta(0, r#"{"role":"assistant","content":""}"#)));
    drive(&mut hold, &mut [release_all()]).unwrap();
    hold.take_output(&mut out);
    assert!(!out.is_empty() && !hold.released_content());
    push(&mut hold, frame(&content("a")));
    drive(&mut hold, &mut [hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    assert!(!hold.released_content());
    hold.end();
    drive(&mut hold, &mut [hold_back(1)]).unwrap();
    hold.take_output(&mut out);
    assert!(hold.released_content());
}
