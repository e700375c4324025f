//! Feeding the dialects with damaged recordings: no input may make a panic, and no cut of the bytes a difference.
//!
//! Mutations are of what providers and clients really sent, since random bytes never get past the first brace. A panic is the finding; the
//! seed is printed with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;
use sluice_dialect::hub::{Asked, Delta, Target, tell};
use sluice_dialect::sse::Framer;

use crate::wire::{self, Case};

/// What one dialect is fed with.
pub struct Corpus {
    dialect: Dialect,
    cases: Vec<Case>,
}

impl Corpus {
    /// The recordings of that dialect.
    pub fn of(dialect: Dialect) -> Corpus {
        let cases = match dialect {
            Dialect::OpenaiChat => wire::load(),
            Dialect::OpenaiResponses => wire::under("responses"),
            Dialect::Anthropic => wire::under("anthropic"),
            Dialect::Gemini => wire::under("gemini"),
        };
        Corpus { dialect, cases }
    }

    /// Feeds mutations until the time is over or `rounds` are done. Says how many there were.
    ///
    /// # Panics
    /// On a finding, with the seed that leads to it.
    pub fn run(&self, seed: u64, time: Duration, rounds: u64) -> u64 {
        let began = Instant::now();
        let mut done = 0;
        while done < rounds && began.elapsed() < time {
            let round = seed.wrapping_add(done);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.round(round))) {
                let what = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
                let what = panic.downcast_ref::<&str>().copied().unwrap_or(what);
                panic!("{} with seed {round}: {what}", self.dialect.as_str());
            }
            done += 1;
        }
        done
    }

    fn round(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let Some(case) = random.choice(&self.cases) else { return };
        let other = random.choice(&self.cases).unwrap_or(case);
        match random.u8(0..8) {
            0..=2 => self.request(&mutated(&case.request, &other.request, &mut random)),
            3 => {
                let _ =
                    self.dialect.api().read_error(random.u16(..), None, &mutated(&case.body, &other.body, &mut random));
            }
            _ if case.stream => self.stream(mutated(&case.body, &other.body, &mut random), &mut random),
            _ => self.reply(&mutated(&case.body, &other.body, &mut random)),
        }
    }

    fn request(&self, body: &[u8]) {
        let api = self.dialect.api();
        let said = Said { model: Some("m".into()), stream: true, sse: true };
        let _ = api.request_texts(body);
        let _ = api.last_user_text(body);
        if api.peek(body, &said).is_err() {
            return;
        }
        let mut document = self.dialect.request_document(Bytes::copy_from_slice(body), usize::MAX);
        let _ = document.get("/messages/0");
        let _ = document.set_text(0, "changed");
        let _ = document.set("/temperature", "1");
        let _ = document.commit();
        let Ok(chat) = api.read_request(body, &said) else { return };
        for target in Dialect::ALL {
            for canonical in [false, true] {
                let facts = Target { provider: "p", model: "m", canonical, ..Target::default() };
                if let Ok((written, _)) = target.api().write_request(&chat, &facts) {
                    is_json(target, &written);
                }
            }
        }
    }

    fn reply(&self, body: &[u8]) {
        let api = self.dialect.api();
        let _ = api.check_reply(body);
        let _ = api.reply_texts(body);
        let Ok(reply) = api.read_reply(body) else { return };
        for client in Dialect::ALL {
            let (written, _) = client.api().write_reply(&reply, &Asked::default());
            is_json(client, &written);
            let mut encoder = client.api().encoder(&Asked::default());
            let mut out = Vec::new();
            tell(&reply).iter().for_each(|delta| encoder.delta(delta, &mut out));
        }
    }

    fn stream(&self, body: Vec<u8>, random: &mut fastrand::Rng) {
        let body = Bytes::from(body);
        let whole = self.decode([body.clone()]);
        let at = random.usize(0..=body.len());
        assert_eq!(whole, self.decode([body.slice(..at), body.slice(at..)]), "cut at {at}");
        for client in Dialect::ALL {
            let mut encoder = client.api().encoder(&Asked::default());
            let mut out = Vec::new();
            whole.iter().for_each(|delta| encoder.delta(delta, &mut out));
        }
    }

    fn decode(&self, pieces: impl IntoIterator<Item = Bytes>) -> Vec<Delta> {
        let mut framer = Framer::new(1 << 20);
        let mut decoder = self.dialect.api().decoder();
        let mut out = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Ok(Some(frame)) = framer.next() {
                let Some(data) = frame.data() else { continue };
                let _ = self.dialect.api().glance(frame.event(), &data);
                if data.trim_ascii() != b"[DONE]" {
                    decoder.event(frame.event(), &data, &mut out);
                }
            }
        }
        decoder.end(&mut out);
        out
    }
}

fn is_json(dialect: Dialect, written: &[u8]) {
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(written) {
        panic!("not JSON for {dialect:?}: {error} in {}", String::from_utf8_lossy(written));
    }
}

/// Some damage: bytes, numbers, words, pieces of another body, and cuts.
fn mutated(body: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    const WORDS: [&[u8]; 16] = [
        b"null",
        b"[]",
        b"{}",
        b"\"\"",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"true",
        b"[[[[[[",
        b"\\ud800",
        b"\xff",
        b"\"index\":99999999",
        b"\r\n",
        b"\n\n",
        b"data: {}\n\n",
        b"\"type\":\"text\"",
    ];
    let mut out = body.to_vec();
    for _ in 0..random.usize(0..6) {
        let at = random.usize(0..=out.len());
        let end = (at + random.usize(0..40)).min(out.len());
        match random.u8(0..7) {
            0 => out.truncate(at),
            1 => drop(out.drain(at..end)),
            2 => drop(out.splice(at..end, WORDS[random.usize(0..WORDS.len())].iter().copied())),
            3 if at < out.len() => out[at] = random.u8(..),
            4 => {
                let from = random.usize(0..=other.len());
                let to = (from + random.usize(0..400)).min(other.len());
                drop(out.splice(at..at, other[from..to].iter().copied()));
            }
            _ => value(&mut out, at, random),
        }
    }
    out
}

/// Replaces the JSON value behind the next colon by another one.
fn value(out: &mut Vec<u8>, at: usize, random: &mut fastrand::Rng) {
    const VALUES: [&str; 9] =
        ["null", "[]", "{}", "\"x\"", "7", "-0.5", "[null]", "{\"type\":null}", "[{\"type\":\"text\"}]"];
    let Some(colon) = out[at..].iter().position(|byte| *byte == b':').map(|found| at + found + 1) else { return };
    let length =
        match serde_json::Deserializer::from_slice(&out[colon..]).into_iter::<&serde_json::value::RawValue>().next() {
            Some(Ok(raw)) => raw.get().len(),
            _ => return,
        };
    let new = VALUES[random.usize(0..VALUES.len())].bytes();
    drop(out.splice(colon..colon + length, new));
}
