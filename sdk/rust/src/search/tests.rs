use super::*;
use crate::types::Kind;

fn window(text: &str, last: bool) -> Window {
    Window { choice: 0, part: 0, kind: Kind::Text, name: None, text: text.to_owned(), last }
}

#[test]
fn ascii_case_is_folded_and_other_letters_are_not() {
    let words = Words::new(["Bomb", "각하"]).unwrap();
    assert!(words.is_match("a BOMB"));
    assert!(words.is_match("저 각하 님"));
    assert!(!words.is_match("bo mb"));
    assert!(!Words::exact(["Bomb"]).unwrap().is_match("bomb"));
}

#[test]
fn overlapping_words_are_one_span_and_touching_words_two() {
    let words = Words::new(["abc", "cde", "ab"]).unwrap();
    assert_eq!(words.spans("xabcdex"), [1..6]);
    assert_eq!(words.spans("abab"), [0..2, 2..4]);
    assert_eq!(words.masked("abcde ab", "*").unwrap(), "* *");
    assert_eq!(words.masked("nothing", "*"), None);
}

#[test]
fn what_could_begin_a_word_is_held() {
    let words = Words::new(["secret", "sesame", "비밀"]).unwrap();
    for (text, held) in
        [("", 0), ("a se", 2), ("SECRE", 5), ("secret", 0), ("x", 0), ("secres", 1), ("비", 3), ("비밀", 0)]
    {
        assert_eq!(words.unfinished(text), held, "{text}");
    }
    assert_eq!(words.hold(&window("것 비", false)), DeltaVerdict::Release { hold: 1 });
    assert_eq!(words.hold(&window("것 비", true)), DeltaVerdict::Release { hold: 0 });
}

#[test]
fn a_match_that_a_longer_word_could_swallow_is_not_decided() {
    let words = Words::new(["ab", "abc", "bx"]).unwrap();
    assert_eq!(words.mask_window(&window("ab", false), "*"), DeltaVerdict::Release { hold: 2 });
    assert_eq!(words.mask_window(&window("ab", true), "*"), DeltaVerdict::Replace { text: "*".to_owned(), hold: 0 });
    assert_eq!(
        words.mask_window(&window("abc ab", false), "*"),
        DeltaVerdict::Replace { text: "* ab".to_owned(), hold: 2 }
    );
}

#[test]
fn no_words_match_nothing() {
    let words = Words::new(Vec::<String>::new()).unwrap();
    assert!(words.is_empty());
    assert!(!words.is_match("anything"));
    assert_eq!(words.unfinished("anything"), 0);
}

#[test]
fn an_empty_word_is_refused_by_its_place() {
    assert!(Words::new(["a", ""]).unwrap_err().message().contains("words[1]"));
}

#[test]
fn words_are_found_wherever_they_stand_in_a_long_text() {
    let words = Words::new(["codename", "bluebird", "비밀번호", "🦊🦊"]).unwrap();
    assert!(words.filter.is_some());
    for word in ["CodeName", "bluebird", "비밀번호", "🦊🦊"] {
        for before in 0..70 {
            for after in [0, 1, 2, 3, 5, 15, 16, 17, 40] {
                let text = format!("{}{word}{}", "b".repeat(before), "c".repeat(after));
                let found: Vec<_> = words.matches(&text).map(|found| found.range).collect();
                assert_eq!(found, [before..before + word.len()], "{text}");
                assert!(words.is_match(&text));
            }
        }
    }
}

#[test]
fn a_text_made_of_beginnings_is_still_searched_once() {
    let words = Words::new([format!("{}b", "a".repeat(200)), "aab".to_owned()]).unwrap();
    let text = "a".repeat(100_000);
    assert!(!words.is_match(&text));
    assert!(words.is_match(&(text + "b")));
}

use proptest::prelude::*;

proptest! {
    #[test]
    fn the_same_is_found_as_by_another_search(
        words in prop::collection::vec(prop_oneof!["[abcAé가]{1,4}", "[abé]{3,6}", "[abé]{3,6}"], 0..8),
        text in "[abcABx é가]{0,60}",
        any_case: bool,
    ) {
        let ours = Words::build(&words, any_case).unwrap();
        let theirs = aho_corasick::AhoCorasick::builder().ascii_case_insensitive(any_case).build(&words).unwrap();
        let mut expected: Vec<_> = theirs.find_overlapping_iter(&text).map(|found| found.range()).collect();
        let mut found: Vec<_> = ours.matches(&text).map(|found| found.range).collect();
        for list in [&mut expected, &mut found] {
            list.sort_by_key(|range| (range.start, range.end));
            list.dedup();
        }
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(ours.is_match(&text), !expected.is_empty());
        // Longest first, by definition.
        let fold = |text: &str| if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let held = (0..=text.len())
            .filter(|at| text.is_char_boundary(*at))
            .find(|at| words.iter().any(|word| {
                let rest = fold(&text[*at..]);
                fold(word).starts_with(&rest) && word.len() > rest.len()
            }))
            .map_or(0, |at| text.len() - at);
        prop_assert_eq!(ours.unfinished(&text), held);
    }
}
