//! Every split of small texts, for each kind of policy: what the client reads is what the policy makes of the whole text.

use super::*;

/// Runs every split of `text`, one text a frame, and compares the content with `expected`; on the way the client never reads anything that is
/// not the beginning of it.
fn check(text: &str, expected: &str, stages: impl Fn() -> Vec<Stage>) {
    for parts in splits(text) {
        let mut frames: Vec<String> = parts.iter().map(|part| content(part)).collect();
        frames.push(finish(0));
        let run = run(&frames, stages());
        assert_eq!(run.content(), expected, "{parts:?}");
        for step in &run.steps {
            let so_far = step.get(&(0, "content".to_owned())).map_or("", String::as_str);
            assert!(expected.starts_with(so_far), "{parts:?}: {so_far:?}");
        }
        let lasts = run.windows.iter().filter(|(_, window)| window.last).count();
        assert_eq!(lasts, stages().len(), "{parts:?}");
    }
}

#[test]
fn releasing_all_keeps_every_byte() {
    let texts = ["role", "\u{d55c}\u{ae00} e\u{301} \u{1f600}", "\"\\\n"];
    for parts in splits(texts[1]) {
        let mut frames: Vec<String> = parts.iter().map(|part| content(part)).collect();
        frames.push(finish(0));
        let run = run(&frames, vec![release_all()]);
        let sent: Vec<Bytes> = frames.iter().map(|json| frame(json).raw).collect();
        assert_eq!(run.out, sent);
    }
    for text in texts {
        check(text, text, || vec![release_all()]);
        check(text, text, || vec![release_all(), release_all(), release_all()]);
    }
}

#[test]
fn holding_back_changes_nothing() {
    for held in [1, 2, 5, 100] {
        check("a\u{ac00}b\u{1f600}c\u{301}d", "a\u{ac00}b\u{1f600}c\u{301}d", || vec![hold_back(held)]);
        check("abcdefg", "abcdefg", || vec![hold_back(held), hold_back(2)]);
    }
}

#[test]
fn holding_back_delays_by_exactly_that_much() {
    let frames: Vec<String> = ["ab", "cd", "ef"].map(content).to_vec();
    let run = run(&frames, vec![hold_back(1)]);
    let read: Vec<&str> = run.steps.iter().map(|step| step[&(0, "content".to_owned())].as_str()).collect();
    assert_eq!(read, ["a", "abc", "abcde", "abcdef"]);
}

#[test]
fn a_held_frame_that_was_not_cut_keeps_its_bytes() {
    let frames = vec![content("ab"), content("cd"), finish(0)];
    let run = run(&frames, vec![hold_back(2)]);
    assert_eq!(run.bytes(), frames.iter().map(|json| format!("data: {json}\n\n")).collect::<String>());
}

#[test]
fn a_word_is_masked_wherever_it_is_split() {
    check("a secret", "a ***", || vec![replace("secret", "***")]);
    check("secretse", "***se", || vec![replace("secret", "***")]);
    check("\u{be44}\u{bc00}\u{c740} \u{be44}\u{bc00}", "X\u{c740} X", || vec![replace("\u{be44}\u{bc00}", "X")]);
    check("xe\u{301}\u{1f600}y", "x\u{2b1b}y", || vec![replace("e\u{301}\u{1f600}", "\u{2b1b}")]);
}

#[test]
fn text_may_grow_and_shrink() {
    check("banana", "b<aa>n<aa>n<aa>", || vec![replace("a", "<aa>")]);
    check("banana", "bnn", || vec![replace("a", "")]);
    check("ana", "", || vec![replace("ana", "")]);
    check("abcabc", "abc, and more", || vec![replace("abcabc", "abc, and more")]);
}

#[test]
fn grown_text_may_be_held() {
    let stage = || -> Vec<Stage> {
        let mut seen = 0;
        vec![Box::new(move |window| {
            seen += 1;
            match seen {
                1 => Verdict::Replace { text: format!("{}[note]", window.text), hold: 4 },
                _ => Verdict::Release(if window.last { 0 } else { 2 }),
            }
        })]
    };
    for rest in splits("bcde") {
        let mut frames = vec![content("a")];
        frames.extend(rest.iter().map(|part| content(part)));
        frames.push(finish(0));
        assert_eq!(run(&frames, stage()).content(), "a[note]bcde");
    }
}

#[test]
fn text_added_at_the_end_comes_before_the_end() {
    check("abcd", "abcd!", || vec![footer("!")]);
    check("abcd", "abcd!?", || vec![footer("!"), footer("?")]);
    let frames = vec![content("ab"), finish(0), "[DONE]".to_owned()];
    let run = run(
        &frames,
        vec![Box::new(|window| match window.last {
            true => Verdict::Replace { text: format!("{} (end)", window.text), hold: 0 },
            false => Verdict::Release(0),
        })],
    );
    assert_eq!(run.content(), "ab (end)");
    let bytes = run.bytes();
    assert!(bytes.find("(end)").unwrap() < bytes.find("\"stop\"").unwrap());
}

#[test]
fn text_added_without_a_finish_comes_before_the_end_mark() {
    let frames = vec![content("ab"), "[DONE]".to_owned()];
    let run = run(
        &frames,
        vec![Box::new(|window| match window.last {
            true => Verdict::Replace { text: format!("{} (end)", window.text), hold: 0 },
            false => Verdict::Release(0),
        })],
    );
    assert_eq!(run.content(), "ab (end)");
    assert!(run.bytes().ends_with("data: [DONE]\n\n"));
}

#[test]
fn stages_see_what_the_ones_before_released() {
    check("a secret", "a ###", || vec![replace("secret", "***"), replace("***", "###")]);
    check("abab", "cdcd", || vec![replace("a", "c"), replace("b", "d")]);
    check("xyzxy", "(z)(z)(z)", || vec![replace("xy", "z"), replace("z", "(z)")]);
}

#[test]
fn a_choice_ends_before_a_word() {
    for parts in splits("ok secret x") {
        let mut frames: Vec<String> = parts.iter().map(|part| content(part)).collect();
        frames.push(finish(0));
        let run = run(&frames, vec![finish_at("secret")]);
        let texts = run.texts();
        assert_eq!(run.content(), "ok ", "{parts:?}");
        assert_eq!(texts[&(0, "finish".to_owned())], "content_filter", "{parts:?}");
        assert!(!run.bytes().contains("secret"), "{parts:?}");
    }
}

#[test]
fn a_later_stage_sees_the_text_that_ends_a_choice() {
    for parts in splits("ab-secret") {
        let mut frames: Vec<String> = parts.iter().map(|part| content(part)).collect();
        frames.push(finish(0));
        let run = run(&frames, vec![finish_at("secret"), hold_back(2), replace("b-", "B+")]);
        assert_eq!(run.content(), "aB+", "{parts:?}");
        let lasts = run.windows.iter().filter(|(stage, window)| window.last && *stage > 0).count();
        assert_eq!(lasts, 2, "{parts:?}");
    }
}
