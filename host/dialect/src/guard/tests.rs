use super::*;
use crate::Dialect;
use crate::hold::Verdict;
use crate::hub::Rest;

fn open(block: u32) -> Delta {
    Delta::Open { choice: 0, block, kind: BlockKind::Text { rest: Rest::default() } }
}

fn call(block: u32, name: &str) -> Delta {
    let kind =
        BlockKind::Call { id: "c".into(), name: name.into(), custom: false, namespace: None, rest: Rest::default() };
    Delta::Open { choice: 0, block, kind }
}

fn text(block: u32, text: &str) -> Delta {
    Delta::Text { choice: 0, block, text: text.into() }
}

fn close(block: u32) -> Delta {
    Delta::Close { choice: 0, block }
}

fn finish() -> Delta {
    Delta::Finish { choice: 0, finish: Finish::Stop, stop_sequence: None, rest: Rest::default() }
}

/// Runs one stage over frames, each of some deltas, and gives what left: raw frames by their bytes, deltas by themselves.
fn run(frames: Vec<Vec<Delta>>, mut stage: impl FnMut(&str, bool) -> Verdict) -> (Vec<Delta>, usize) {
    let mut guard = Guard::new(1, 1, 10_000);
    let (mut out, mut told, mut raw) = (Vec::new(), Vec::new(), 0);
    for (at, frame) in frames.into_iter().enumerate() {
        guard.push(Some(Bytes::from(format!("frame {at}"))), frame);
        while let Some((stage_at, window)) = guard.hold.next_window().unwrap() {
            guard.hold.verdict(stage_at, stage(&window.text, window.last)).unwrap();
        }
        guard.take_output(&mut out);
    }
    guard.hold.end();
    while let Some((stage_at, window)) = guard.hold.next_window().unwrap() {
        guard.hold.verdict(stage_at, stage(&window.text, window.last)).unwrap();
    }
    guard.take_output(&mut out);
    for released in out {
        match released {
            Released::Frame(_, deltas) => {
                raw += 1;
                told.extend(deltas);
            }
            Released::Delta(delta) => told.push(delta),
        }
    }
    (told, raw)
}

#[test]
fn what_nobody_changes_leaves_in_its_frames() {
    let frames = vec![
        vec![open(0)],
        vec![text(0, "Hello ")],
        vec![text(0, "world"), Delta::Ping],
        vec![close(0), call(1, "look")],
        vec![text(1, "{}"), close(1), finish()],
        vec![Delta::Done],
    ];
    let all: Vec<Delta> = frames.iter().flatten().cloned().collect();
    let (told, raw) = run(frames.clone(), |_, _| Verdict::Release(0));
    assert_eq!((told, raw), (all.clone(), 6));
    // Held to the end of each block, everything still leaves in its frame and in order.
    let (told, raw) = run(frames, |_, _| Verdict::Release(100));
    assert_eq!((told, raw), (all, 6));
}

fn said(told: &[Delta], of: u32) -> String {
    told.iter()
        .filter_map(|delta| match delta {
            Delta::Text { block, text, .. } if *block == of => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_word_split_over_frames_is_masked() {
    let frames = vec![
        vec![open(0), text(0, "the co")],
        vec![text(0, "de is")],
        vec![text(0, " here"), close(0)],
        vec![open(1), text(1, "second"), close(1), finish(), Delta::Done],
    ];
    let (told, _) = run(frames, |text, last| {
        let hold = if last { 0 } else { 4 };
        if text.contains("code") {
            Verdict::Replace { text: text.replace("code", "****"), hold }
        } else {
            Verdict::Release(hold)
        }
    });
    assert_eq!(said(&told, 0), "the **** is here");
    assert_eq!(said(&told, 1), "second");
    let order: Vec<_> = told.iter().filter(|delta| !matches!(delta, Delta::Text { .. })).cloned().collect();
    assert_eq!(order, vec![open(0), close(0), open(1), close(1), finish(), Delta::Done]);
}

#[test]
fn text_that_a_plugin_adds_at_the_end_stands_in_its_block() {
    let frames =
        vec![vec![open(0), text(0, "a")], vec![close(0)], vec![open(1), text(1, "b")], vec![close(1), finish()]];
    let (told, _) =
        run(
            frames,
            |text, last| {
                if last { Verdict::Replace { text: format!("{text}!"), hold: 0 } } else { Verdict::Release(0) }
            },
        );
    let place = |wanted: &Delta| told.iter().position(|delta| delta == wanted).unwrap();
    assert_eq!((said(&told, 0), said(&told, 1)), ("a!".into(), "b!".into()));
    assert!(told.iter().rposition(|delta| matches!(delta, Delta::Text { block: 0, .. })).unwrap() < place(&close(0)));
}

#[test]
fn a_plugin_ends_the_choice() {
    let frames = vec![
        vec![open(0), text(0, "fine ")],
        vec![text(0, "secret")],
        vec![text(0, " more"), close(0)],
        vec![call(1, "look"), text(1, "{}"), close(1), finish()],
    ];
    let (told, _) =
        run(
            frames,
            |text, _| {
                if text.contains("secret") { Verdict::Finish("[cut]".into()) } else { Verdict::Release(0) }
            },
        );
    assert_eq!(said(&told, 0), "fine [cut]");
    let tail: Vec<_> = told.iter().rev().take(2).collect();
    assert!(matches!(tail[0], Delta::Finish { finish: Finish::ContentFilter, .. }));
    assert_eq!(tail[1], &close(0));
    assert!(!told.iter().any(|delta| matches!(delta, Delta::Open { block: 1, .. })));
}

#[test]
fn strings_of_foreign_blocks_are_seen() {
    let value =
        serde_json::json!({"type": "web_search_tool_result", "content": [{"title": "the code word", "id": "x"}]});
    let kind = BlockKind::Foreign(Dialect::Anthropic, value);
    let frames = vec![vec![Delta::Open { choice: 0, block: 0, kind }], vec![close(0), finish()]];
    let (told, _) = run(frames, |text, _| Verdict::Replace { text: text.replace("code", "****"), hold: 0 });
    let Delta::Open { kind: BlockKind::Foreign(_, value), .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!(value["content"][0]["title"], "the **** word");
    assert_eq!(value["type"], "web_search_tool_result");
}
