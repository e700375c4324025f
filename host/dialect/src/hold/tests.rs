//! Streams through scripted stages, compared with the same policy on the whole text.

mod endings;
mod loose;
mod policies;
mod random;
mod shapes;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::{Effect, Hold, Overflow, Verdict, Window};
use crate::openai_chat::stream::analyse;
use crate::sse::{Frame, Framer};

type Stage = Box<dyn FnMut(&Window) -> Verdict>;

/// What a client would read, by choice and by the member it stands in; tool arguments are `tool.INDEX`, names `name.INDEX`.
type Texts = BTreeMap<(u64, String), String>;

fn hold(stages: usize) -> Hold {
    Hold::new(stages, 1, 64 * 1024)
}

fn frame(json: &str) -> Frame {
    Frame::new(Bytes::from(format!("data: {json}\n\n")))
}

fn content(text: &str) -> String {
    delta(0, &format!("{{\"content\":{}}}", Value::from(text)))
}

fn delta(choice: u32, delta: &str) -> String {
    format!(
        "{{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":{choice},\"delta\":{delta},\"finish_reason\":null}}]}}"
    )
}

fn finish(choice: u32) -> String {
    delta(choice, "{}").replace("null", "\"stop\"")
}

/// Asks the stages until nobody is to be asked; checks that nothing is asked twice at the end.
fn drive(hold: &mut Hold, stages: &mut [Stage]) -> Result<(), Overflow> {
    while let Some((stage, window)) = hold.next_window()? {
        let verdict = stages[stage](&window);
        hold.verdict(stage, verdict).unwrap();
    }
    Ok(())
}

fn push(hold: &mut Hold, frame: Frame) {
    match frame.data() {
        Some(data) if &data[..] == b"[DONE]" => {
            hold.end();
            hold.push_opaque(frame.raw);
        }
        Some(data) => hold.push(frame, analyse(&data).unwrap()),
        None => hold.push_opaque(frame.raw),
    }
}

struct Run {
    out: Vec<Bytes>,
    /// The client's texts after each step.
    steps: Vec<Texts>,
    finished_all: bool,
    windows: Vec<(usize, Window)>,
}

impl Run {
    fn bytes(&self) -> String {
        String::from_utf8(self.out.concat()).unwrap()
    }

    fn texts(&self) -> Texts {
        read(&self.out)
    }

    fn content(&self) -> String {
        self.texts().remove(&(0, "content".to_owned())).unwrap_or_default()
    }
}

/// Runs frames through the stages as the gateway would, stopping where every choice was ended.
fn run_on(mut hold: Hold, frames: &[String], mut stages: Vec<Stage>) -> Run {
    let mut run = Run { out: Vec::new(), steps: Vec::new(), finished_all: false, windows: Vec::new() };
    let mut step = |hold: &mut Hold, run: &mut Run| {
        while let Some((stage, window)) = hold.next_window().unwrap() {
            let verdict = stages[stage](&window);
            run.windows.push((stage, window));
            hold.verdict(stage, verdict).unwrap();
        }
        hold.take_output(&mut run.out);
        run.steps.push(read(&run.out));
        run.finished_all = hold.finished_all();
        run.finished_all
    };
    for json in frames {
        push(&mut hold, frame(json));
        if step(&mut hold, &mut run) {
            return run;
        }
    }
    hold.end();
    step(&mut hold, &mut run);
    assert_eq!(hold.waiting_bytes(), 0, "frames are left behind");
    run
}

fn run(frames: &[String], stages: Vec<Stage>) -> Run {
    run_on(hold(stages.len()), frames, stages)
}

fn read(out: &[Bytes]) -> Texts {
    let mut texts = Texts::new();
    let mut framer = Framer::new(1 << 20);
    framer.push(Bytes::from(out.concat()));
    let mut frames = Vec::new();
    while let Some(frame) = framer.next().unwrap() {
        frames.push(frame);
    }
    assert_eq!(framer.buffered(), 0, "output ends within a frame");
    for frame in frames {
        let Some(data) = frame.data().filter(|data| &data[..] != b"[DONE]") else { continue };
        let event: Value = serde_json::from_slice(&data).unwrap_or_else(|error| panic!("{error}: {data:?}"));
        for choice in event["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap_or(0);
            let mut add = |name: String, value: &Value| {
                if let Some(text) = value.as_str() {
                    texts.entry((index, name)).or_default().push_str(text);
                }
            };
            for (name, value) in choice["delta"].as_object().into_iter().flatten() {
                add(name.clone(), value);
            }
            add("finish".into(), &choice["finish_reason"]);
            for part in choice["delta"]["content"].as_array().into_iter().flatten() {
                add("content".into(), &part["text"]);
                for inner in part["thinking"].as_array().into_iter().flatten() {
                    add("thinking".into(), &inner["text"]);
                }
            }
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                add(format!("name.{}", call["index"]), &call["function"]["name"]);
                add(format!("tool.{}", call["index"]), &call["function"]["arguments"]);
            }
        }
    }
    texts
}

/// Every way to cut a text into non-empty parts.
fn splits(text: &str) -> Vec<Vec<String>> {
    let characters: Vec<char> = text.chars().collect();
    let gaps = characters.len().saturating_sub(1);
    (0..1_u32 << gaps)
        .map(|cuts| {
            let mut parts = vec![String::new()];
            for (at, character) in characters.iter().enumerate() {
                parts.last_mut().unwrap().push(*character);
                if at < gaps && cuts & (1 << at) != 0 {
                    parts.push(String::new());
                }
            }
            parts
        })
        .collect()
}

fn release_all() -> Stage {
    Box::new(|_| Verdict::Release(0))
}

fn hold_back(characters: u32) -> Stage {
    Box::new(move |_| Verdict::Release(characters))
}

/// The longest end of the text that may still become `word`, in characters.
fn dangling(text: &str, word: &str) -> usize {
    let ends = word.char_indices().map(|(at, _)| &word[..at]).rev();
    ends.filter(|start| text.ends_with(start)).map(|start| start.chars().count()).next().unwrap_or(0)
}

fn replace(word: &'static str, with: &'static str) -> Stage {
    Box::new(move |window| {
        let text = window.text.replace(word, with);
        let hold = if window.last { 0 } else { dangling(&text, word) as u32 };
        if text == window.text { Verdict::Release(hold) } else { Verdict::Replace { text, hold } }
    })
}

/// Ends the choice before the word.
fn finish_at(word: &'static str) -> Stage {
    Box::new(move |window| match window.text.find(word) {
        Some(at) => Verdict::Finish(window.text[..at].to_owned()),
        None => Verdict::Release(if window.last { 0 } else { dangling(&window.text, word) as u32 }),
    })
}

/// Adds a text at the end of each piece.
fn footer(text: &'static str) -> Stage {
    Box::new(move |window| match window.last {
        true => Verdict::Replace { text: format!("{}{text}", window.text), hold: 0 },
        false => Verdict::Release(1),
    })
}

#[test]
fn effects_are_told() {
    let mut hold = hold(1);
    push(&mut hold, frame(&content("abc")));
    assert!(matches!(hold.next_window(), Ok(Some((0, _)))));
    assert_eq!(hold.verdict(0, Verdict::Replace { text: "abc".into(), hold: 3 }), Ok(Effect::Kept));
    push(&mut hold, frame(&content("d")));
    let (_, window) = hold.next_window().unwrap().unwrap();
    assert_eq!(window.text, "abcd");
    assert_eq!(hold.verdict(0, Verdict::Replace { text: "x".into(), hold: 0 }), Ok(Effect::Changed));
    push(&mut hold, frame(&content("e")));
    hold.next_window().unwrap().unwrap();
    assert_eq!(hold.verdict(0, Verdict::Finish(String::new())), Ok(Effect::Finished));
}
