use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const CAP: usize = 1 << 20;

/// Streams of the shapes that providers send: comments before an error, named events, carriage returns, an end mark, no space behind the
/// colon, several data lines.
const RECORDED: &[&str] = &[
    ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {\"error\":{\"message\":\"Upstream error from Venice\",\"code\":502},\"user_id\":\"user_REDACTED\"}\n\n",
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"한국 😀\"}],\"role\": \"model\"},\"finishReason\": \"STOP\"}]}\r\n\r\ndata: {\"usageMetadata\": {\"totalTokenCount\": 69}}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Here\",\"role\":\"assistant\"},\"finish_reason\":\"length\",\"index\":0}]}\n\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}\n\ndata: [DONE]\n\n",
    "data:{\"token\":{\"id\":17,\"text\":\"2\"}}\n\ndata:{\"error\":\"incomplete generation\",\"error_type\":\"x\"}\n\n",
    "event: output\nid: 1:0\ndata: \ndata: \ndata: A line\n\n: hi\n\nevent: done\nid: 2:0\ndata: {}\n\n",
    "\u{feff}: hello\rdata: one\r\rid: 7\rretry: 10\r\rdata\r\r",
    "\u{feff}\n\r\n\rdata: a\r\r\n\ndata: b\n\r\ndata: c\r\n\rdata: d\n\n\n: e",
];

/// All frames of a stream that arrives in these chunks.
fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut framer = Framer::new(CAP);
    let mut out = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next().unwrap() {
            out.push(frame);
        }
    }
    while let Some(frame) = framer.finish().unwrap() {
        out.push(frame);
    }
    assert_eq!(framer.buffered(), 0);
    out
}

/// The events of a stream by the plainest means: as text, with one kind of line end.
fn events(stream: &[u8]) -> Vec<(Option<String>, String)> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut out = Vec::new();
    let (mut event, mut data) = (None, Vec::new());
    // The end of the text is no line, and does not dispatch.
    let Some((whole, _)) = text.rsplit_once('\n') else { return out };
    for line in whole.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                out.push((event.take(), data.join("\n")));
            }
            (event, data) = (None, Vec::new());
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.push(value.to_owned()),
            "event" => event = (!value.is_empty()).then(|| value.to_owned()),
            _ => {}
        }
    }
    out
}

fn said(frames: &[Frame]) -> Vec<(Option<String>, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    frames
        .iter()
        .filter(|frame| frame.is_terminated())
        .filter_map(|frame| Some((frame.event().map(text), text(&frame.data()?))))
        .collect()
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

#[test]
fn every_split_gives_the_same_frames() {
    for stream in RECORDED {
        let stream = stream.as_bytes();
        let whole = frames([stream]);
        assert_eq!(raw(&whole), stream);
        assert_eq!(said(&whole), events(stream));
        assert_eq!(frames(stream.chunks(1)), whole);
        for first in 0..stream.len() {
            let (head, tail) = stream.split_at(first);
            assert_eq!(frames([head, tail]), whole, "split at {first} of {stream:?}");
            for second in 0..tail.len().min(6) {
                let (middle, tail) = tail.split_at(second);
                assert_eq!(frames([head, middle, tail]), whole, "split at {first} and {second} more of {stream:?}");
            }
        }
    }
}

#[test]
fn a_recorded_stream_reads_as_its_provider_meant() {
    let seen = frames([RECORDED[0].as_bytes()]);
    assert_eq!(seen.len(), 3);
    assert!(seen[0].is_comment_only() && seen[0].data().is_none());
    assert!(seen[2].data().unwrap().starts_with(b"{\"error\""));
    assert_eq!(seen[2].data_range(), Some(6..seen[2].raw.len() - 2));

    let seen = frames([RECORDED[1].as_bytes()]);
    assert_eq!(seen[1].event(), Some(&b"ping"[..]));
    assert_eq!(&seen[1].data().unwrap()[..], b"{\"type\": \"ping\"}");

    let seen = frames([RECORDED[5].as_bytes()]);
    assert_eq!(&seen[0].data().unwrap()[..], b"\n\nA line");
    assert_eq!(seen[0].data_range(), None);
    assert_eq!(&seen[1].comments()[..], b": hi\n\n");
}

#[test]
fn every_line_end_ends_lines_and_blocks() {
    for end in ["\n", "\r\n", "\r"] {
        let stream =
            format!("event: a{end}data: 1{end}{end}: c{end}{end}data:2{end}data: {end}{end}{end}data:  3{end}{end}");
        let seen = frames([stream.as_bytes()]);
        let expected = [(Some("a".to_owned()), "1".to_owned()), (None, "2\n".to_owned()), (None, " 3".to_owned())];
        assert_eq!(said(&seen), expected, "{end:?}");
        assert_eq!(raw(&seen), stream.as_bytes());
        assert_eq!(frames(stream.as_bytes().chunks(1)), seen);
        assert!(seen.iter().all(Frame::is_terminated));
    }
}

#[test]
fn a_line_feed_in_the_next_chunk_is_no_phantom_block() {
    let mut framer = Framer::new(CAP);
    framer.push(Bytes::from_static(b"data: 1\r\n\r"));
    assert_eq!(framer.next().unwrap(), None);
    framer.push(Bytes::from_static(b"\n"));
    assert_eq!(&framer.next().unwrap().unwrap().raw[..], b"data: 1\r\n\r\n");
    assert_eq!(framer.next().unwrap(), None);
    assert_eq!(framer.finish().unwrap(), None);
    // A stream of lone carriage returns is not one event late.
    framer.push(Bytes::from_static(b"data: 2\r\r"));
    assert_eq!(&framer.next().unwrap().unwrap().raw[..], b"data: 2\r\r");
    // What ends the body ends the wait.
    framer.push(Bytes::from_static(b"data: 3\n\r"));
    assert_eq!(framer.next().unwrap(), None);
    let last = framer.finish().unwrap().unwrap();
    assert!(last.is_terminated());
    assert_eq!(&last.raw[..], b"data: 3\n\r");
}

#[test]
fn an_unfinished_block_is_given_at_the_end_and_says_so() {
    for stream in ["data: [DONE]", "data: [DONE]\n", ": c\ndata: [DONE]\r"] {
        let seen = frames([stream.as_bytes()]);
        assert_eq!(seen.len(), 1);
        assert_eq!(&seen[0].data().unwrap()[..], b"[DONE]");
        assert!(!seen[0].is_terminated());
    }
    assert_eq!(frames([&b""[..]]), []);
    let only_mark = frames([BOM]);
    assert_eq!((only_mark.len(), only_mark[0].data()), (1, None));
}

#[test]
fn one_chunk_is_not_copied() {
    let chunk = Bytes::from(RECORDED[3].as_bytes().to_vec());
    let bounds = chunk.as_ptr_range();
    let mut framer = Framer::new(CAP);
    framer.push(chunk.clone());
    let mut count = 0;
    while let Some(frame) = framer.next().unwrap() {
        assert!(bounds.contains(&frame.raw.as_ptr()));
        assert!(bounds.contains(&frame.data().unwrap().as_ptr()));
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn comments_survive_without_their_block() {
    let comments = |raw: &'static str| {
        let seen = frames([raw.as_bytes()]);
        assert_eq!(seen.len(), 1, "{raw:?}");
        (seen[0].comments().to_vec(), seen[0].has_comment(), seen[0].is_comment_only())
    };
    assert_eq!(comments(": a\n\n"), (b": a\n\n".to_vec(), true, true));
    assert_eq!(comments(": a\r\nid: 3\r\n:b\r\n\r\n"), (b": a\r\n:b\r\n\n".to_vec(), true, false));
    assert_eq!(comments("\u{feff}: a\n\n"), (b": a\n\n".to_vec(), true, true));
    assert_eq!(comments(": a"), (b": a\n\n".to_vec(), true, true));
    assert_eq!(comments("id: 3\n\n"), (Vec::new(), false, false));
    assert_eq!(comments("\n"), (Vec::new(), false, false));
}

#[test]
fn fields_are_read_as_the_format_says() {
    let seen = |raw: &'static str| Frame::new(Bytes::from_static(raw.as_bytes()));
    assert_eq!(seen("data\n\n").data().as_deref(), Some(&b""[..]));
    assert_eq!(seen("data:\n\n").data_range(), Some(5..5));
    assert_eq!(seen("data: :x: y\n\n").data().as_deref(), Some(&b":x: y"[..]));
    assert_eq!(seen("data:\ndata:\n\n").data().as_deref(), Some(&b"\n"[..]));
    assert_eq!(seen("data :x\ndatas: x\n Data: x\nDATA: y\n\n").data(), None);
    assert_eq!(seen("event: a\nevent: b\ndata: x\n\n").event(), Some(&b"b"[..]));
    assert_eq!(seen("event:\ndata: x\n\n").event(), None);
}

#[test]
fn a_block_over_the_cap_ends_the_stream() {
    let fits = |length: usize| format!("data: {}\n\n", "x".repeat(length - 8)).into_bytes();
    for size in [1, 7, 1000] {
        let mut framer = Framer::new(100);
        for chunk in [fits(100), fits(100)].concat().chunks(size) {
            framer.push(Bytes::copy_from_slice(chunk));
            while framer.next().unwrap().is_some() {}
        }
        assert_eq!(framer.buffered(), 0);
        let mut failed = false;
        for chunk in [fits(101), fits(20)].concat().chunks(size) {
            framer.push(Bytes::copy_from_slice(chunk));
            assert!(framer.buffered() <= 100 + size);
            match framer.next() {
                Ok(frame) => assert_eq!(frame, None),
                Err(error) => {
                    assert_eq!(error, TooLong { max_event: 100 });
                    failed = true;
                }
            }
        }
        assert!(failed);
        assert_eq!(framer.buffered(), 0);
        assert!(framer.finish().is_err());
    }
    // Without any line end at all.
    let mut framer = Framer::new(100);
    framer.push(Bytes::from(vec![b'x'; 101]));
    assert!(framer.next().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn chunking_does_not_matter(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "\n", "\r", "\r\n", "\n\n", "data: x", "data:", ":", " ", "event: e", "id", "\u{feff}", "한", "\0",
        ]), 0..40),
        mark: bool,
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let stream = format!("{}{}", if mark { "\u{feff}" } else { "" }, pieces.concat());
        let mut rest = stream.as_bytes();
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, behind) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        let whole = frames([stream.as_bytes()]);
        prop_assert_eq!(&frames(chunks), &whole);
        prop_assert_eq!(raw(&whole), stream.as_bytes());
        prop_assert_eq!(said(&whole), events(stream.as_bytes()));
        prop_assert!(whole.iter().all(|frame| !frame.raw.is_empty()));
    }
}

/// One byte at a time must cost a constant per byte, however long the block. Prints what it costs; the bound only tells working from hung.
#[test]
fn time_is_linear_in_the_bytes() {
    let block = Bytes::from(format!("data: {}\n\n", "x".repeat(1 << 20)));
    let started = Instant::now();
    let mut framer = Framer::new(2 << 20);
    let mut count = 0;
    for at in 0..block.len() {
        framer.push(block.slice(at..at + 1));
        count += usize::from(framer.next().unwrap().is_some());
    }
    assert_eq!(count, 1);
    println!("1 MiB block in single bytes: {} ns a byte", started.elapsed().as_nanos() / block.len() as u128);
    assert!(started.elapsed() < Duration::from_secs(20));

    let stream = Bytes::from(RECORDED[3].repeat(1000));
    let started = Instant::now();
    let mut framer = Framer::new(CAP);
    framer.push(stream);
    let mut count = 0_u32;
    while framer.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 3000);
    println!("frames of one chunk: {} ns each", (started.elapsed() / count).as_nanos());
}
