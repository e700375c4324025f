//! Random text, frames and plugins.

use proptest::prelude::*;

use super::*;

/// Latin, Hangul, emoji, combining marks, and what JSON escapes.
fn letter() -> impl Strategy<Value = char> {
    prop::sample::select(vec![
        'a',
        'b',
        's',
        ' ',
        '"',
        '\\',
        '\n',
        '\u{e9}',
        '\u{301}',
        '\u{1112}',
        '\u{d55c}',
        '\u{ae00}',
        '\u{1f600}',
        '\u{200d}',
        '\u{1f3fd}',
    ])
}

fn letters(length: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(letter(), 0..length).prop_map(|letters| letters.into_iter().collect())
}

/// A stage that answers from a list of numbers, and a record of what it should have let through.
fn scripted(script: Vec<(u8, u8, String)>) -> Stage {
    let mut at = 0;
    Box::new(move |window| {
        let (what, hold, text) = &script[at % script.len()];
        at += 1;
        let length = window.text.chars().count();
        match what % 4 {
            0 => Verdict::Release(u32::from(*hold) % 6),
            1 => Verdict::Replace {
                text: format!("{text}{}", window.text),
                hold: u32::from(*hold) % (length as u32 + 1),
            },
            2 => {
                let kept: String = window.text.chars().skip(1).collect();
                let hold = (u32::from(*hold) % 4).min(kept.chars().count() as u32);
                Verdict::Replace { text: kept, hold }
            }
            _ => {
                let hold = (u32::from(*hold) % 3).min(text.chars().count() as u32);
                Verdict::Replace { text: text.clone(), hold }
            }
        }
    })
}

/// What a stage lets through of the texts it is asked about, by the interface's own words.
fn released(windows: &[(usize, Window)], verdicts: &[Verdict], stage: usize) -> String {
    let mut out = String::new();
    for ((at, window), verdict) in windows.iter().zip(verdicts) {
        if *at != stage {
            continue;
        }
        let (text, hold) = match verdict {
            Verdict::Release(hold) => (window.text.clone(), *hold),
            Verdict::Replace { text, hold } => (text.clone(), *hold),
            Verdict::Finish(text) => (text.clone(), 0),
        };
        let length = text.chars().count();
        let keep = if window.last { 0 } else { (hold as usize).min(length) };
        out.extend(text.chars().take(length - keep));
    }
    out
}

fn one(frames: &[String], scripts: Vec<Vec<(u8, u8, String)>>) {
    let mut verdicts = Vec::new();
    let mut windows = Vec::new();
    let mut stages: Vec<Stage> = scripts.into_iter().map(scripted).collect();
    let mut hold = hold(stages.len());
    let mut out = Vec::new();
    for json in frames {
        push(&mut hold, frame(json));
        while let Some((stage, window)) = hold.next_window().unwrap() {
            let verdict = stages[stage](&window);
            verdicts.push(verdict.clone());
            windows.push((stage, window));
            hold.verdict(stage, verdict).unwrap();
        }
        hold.take_output(&mut out);
        let last = released(&windows, &verdicts, stages.len() - 1);
        let read = read(&out).remove(&(0, "content".to_owned())).unwrap_or_default();
        assert!(last.starts_with(&read), "{read:?} was not released: {last:?}");
    }
    let last = released(&windows, &verdicts, stages.len() - 1);
    let read = read(&out).remove(&(0, "content".to_owned())).unwrap_or_default();
    assert_eq!(read, last);
    assert_eq!(hold.waiting_bytes(), 0);
}

/// One event: a choice, what of it (content, reasoning, one of two tools) and a text.
fn mixed_frame(choice: u32, what: u8, text: &str, named: &mut [[bool; 2]; 2]) -> String {
    let quoted = Value::from(text);
    match what % 4 {
        0 => delta(choice, &format!("{{\"content\":{quoted}}}")),
        1 => delta(choice, &format!("{{\"reasoning\":{quoted}}}")),
        tool => {
            let index = usize::from(tool - 2);
            let first = !std::mem::replace(&mut named[choice as usize][index], true);
            let name = if first { format!("\"name\":\"t{index}\",") } else { String::new() };
            delta(
                choice,
                &format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{{name}\"arguments\":{quoted}}}}}]}}"),
            )
        }
    }
}

/// Where a client reads the piece that a window shows.
fn place(window: &Window) -> (u64, String) {
    let member = match (&window.name, window.kind) {
        (Some(name), _) => format!("tool.{}", &name[1..]),
        (None, crate::text::Kind::Reasoning) => "reasoning".to_owned(),
        _ => "content".to_owned(),
    };
    (u64::from(window.choice), member)
}

/// Runs mixed frames; a script of `finishing` may end choices. Each text must be what the last stage let through of it, at every step a
/// beginning, at the end all.
fn mixed(frames: &[String], scripts: Vec<Vec<(u8, u8, String)>>, finishing: u8) {
    let mut stages: Vec<Stage> = scripts.into_iter().map(scripted).collect();
    let last = stages.len() - 1;
    let mut hold = Hold::new(stages.len(), 2, 1 << 20);
    let (mut out, mut expected) = (Vec::new(), Texts::new());
    let mut asked = 0_u8;
    for step in 0..=frames.len() {
        match frames.get(step) {
            Some(json) => push(&mut hold, frame(json)),
            None => hold.end(),
        }
        while let Some((stage, window)) = hold.next_window().unwrap() {
            asked = asked.wrapping_add(1);
            let ends = finishing > 0 && asked.is_multiple_of(finishing);
            let verdict =
                if ends { Verdict::Finish(window.text.chars().take(1).collect()) } else { stages[stage](&window) };
            if stage == last {
                let text = released(&[(0, window.clone())], std::slice::from_ref(&verdict), 0);
                expected.entry(place(&window)).or_default().push_str(&text);
            }
            hold.verdict(stage, verdict).unwrap();
        }
        hold.take_output(&mut out);
        let read = read(&out);
        for (place, text) in read.iter().filter(|((_, member), _)| member != "finish" && !member.starts_with("name")) {
            assert!(
                expected.get(place).map_or("", String::as_str).starts_with(text),
                "{place:?} {text:?} {expected:?}"
            );
        }
    }
    assert_eq!(hold.waiting_bytes(), 0);
    let read = read(&out);
    for (place, text) in expected.iter().filter(|(_, text)| !text.is_empty()) {
        // A call that was ended before its name was let go is not there at all, whatever a later stage would add to it.
        let dropped = place.1.starts_with("tool") && !read.contains_key(&(place.0, place.1.replace("tool", "name")));
        if dropped {
            assert!(finishing > 0 && !read.contains_key(place), "{place:?}");
            continue;
        }
        assert_eq!(read.get(place), Some(text), "{place:?}");
    }
    for choice in 0..2_u64 {
        let finishes = read.get(&(choice, "finish".to_owned()));
        assert!(finishes.is_none_or(|text| text == "stop" || text == "content_filter"), "{finishes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_leaves_is_what_the_last_stage_released(
        texts in prop::collection::vec(letters(5), 1..8),
        scripts in prop::collection::vec(prop::collection::vec((any::<u8>(), any::<u8>(), letters(4)), 1..5), 1..4),
    ) {
        let mut frames: Vec<String> = texts.iter().map(|text| content(text)).collect();
        frames.push(finish(0));
        one(&frames, scripts);
    }

    #[test]
    fn masking_a_stream_is_masking_its_text(texts in prop::collection::vec(letters(6), 1..8), held in 0_u32..4) {
        const WORD: &str = "\u{d55c}\u{ae00}";
        let whole: String = texts.concat();
        let mut frames: Vec<String> = texts.iter().map(|text| content(text)).collect();
        frames.push(finish(0));
        let run = run(&frames, vec![hold_back(held), replace(WORD, "[]"), hold_back(held)]);
        prop_assert_eq!(run.content(), whole.replace(WORD, "[]"));
        prop_assert!(!run.bytes().contains(WORD));
    }

    #[test]
    fn releasing_a_stream_keeps_its_bytes(texts in prop::collection::vec(letters(6), 1..8)) {
        let mut frames: Vec<String> = texts.iter().map(|text| content(text)).collect();
        frames.push(finish(0));
        let run = run(&frames, vec![release_all(), release_all()]);
        let sent: Vec<Bytes> = frames.iter().map(|json| frame(json).raw).collect();
        prop_assert_eq!(run.out, sent);
    }

    #[test]
    fn mixed_pieces_leave_as_the_last_stage_released_them(
        texts in prop::collection::vec((0_u32..2, any::<u8>(), letters(4)), 1..12),
        scripts in prop::collection::vec(prop::collection::vec((any::<u8>(), any::<u8>(), letters(3)), 1..5), 1..4),
        finishing in 0_u8..12,
        ended in any::<bool>(),
    ) {
        let mut named = [[false; 2]; 2];
        let mut frames: Vec<String> =
            texts.iter().map(|(choice, what, text)| mixed_frame(*choice, *what, text, &mut named)).collect();
        if ended {
            frames.extend([finish(0), finish(1)]);
        }
        mixed(&frames, scripts, finishing);
    }
}
