//! How hard a prompt looks: from 0 to 100, by its length, its words, code, the turns before it and what is asked of the reply.

use sluice::{Call, Role};

/// What is seldom asked for where a short answer would do.
const HARD: [&str; 14] = [
    "analyse",
    "analyze",
    "architecture",
    "compare",
    "debug",
    "derive",
    "explain why",
    "optimise",
    "optimize",
    "prove",
    "refactor",
    "step by step",
    "trade-off",
    "why",
];

/// Each sign has a most that it can add, so that none decides alone.
pub(crate) fn of(call: &Call, hard_words: &[String]) -> u32 {
    let text = call.last_user_text().unwrap_or_default();
    let texts = call.texts();
    let all: usize = texts.iter().map(|piece| piece.text.len()).sum();
    let turns = texts.iter().filter(|piece| piece.role == Role::Assistant).count();
    let is_there = |pointer: &str| call.get_json(pointer).is_some_and(|json| !matches!(json.as_str(), "null" | "[]"));
    let mut score = capped(text.len() / 100, 25) + capped(all / 1_000, 15);
    score += capped(5 * words(&text.to_lowercase(), hard_words), 20);
    score += capped(2 * text.matches('?').count().saturating_sub(1), 5);
    score += capped(8 * text.matches("```").count(), 15) + capped(2 * turns, 10);
    score += if is_there("/tools") { 5 } else { 0 };
    score + if is_there("/response_format") { 5 } else { 0 }
}

fn words(text: &str, more: &[String]) -> usize {
    HARD.into_iter().chain(more.iter().map(String::as_str)).filter(|word| has_word(text, word)).count()
}

/// Whether the text has the word by itself, and not within another.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

fn capped(value: usize, most: u32) -> u32 {
    u32::try_from(value).unwrap_or(most).min(most)
}
