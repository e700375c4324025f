use super::*;

fn map_of(bytes: &[u8]) -> TextMap {
    let mut map = TextMap::default();
    strings(
        bytes,
        0..bytes.len(),
        true,
        |_, _| Visit::Take,
        |literal| {
            map.push(bytes, Role::User, Kind::Text, 0, literal);
        },
    );
    map
}

#[test]
fn joined_separates_decodes_and_hides_separators_inside() {
    let json = r#"["one","t\u0077o","a\u001eb\u001e","",7,"한글 \ud83d\ude00"]"#.as_bytes();
    let map = map_of(json);
    assert_eq!(map.pieces.len(), 4, "an empty string is no piece");
    assert_eq!(joined(json, &map), "one\u{1e}two\u{1e}a\u{fffd}b\u{fffd}\u{1e}한글 😀");
    assert_eq!(joined(b"[]", &TextMap::default()), "");
}

#[test]
fn strings_visits_every_level_and_skips_by_key() {
    let json = br#"{"a" : "x","skip":{"b":["no","\"}"]},"deep":[{"a":["y",{"a":"z"}]},"bare"],"desc":"d"}"#;
    let found = |bare: bool, visit: fn(&str, usize) -> Visit| {
        let mut texts = Vec::new();
        strings(json, 0..json.len(), bare, visit, |literal| {
            texts.push(json::string(json, literal).map(|text| text.into_owned()).unwrap_or_default());
        });
        texts
    };
    let all = found(true, |key, _| if key == "skip" { Visit::Skip } else { Visit::Take });
    assert_eq!(all, ["x", "y", "z", "bare", "d"]);
    let named = found(false, |key, _| if key == "desc" { Visit::Take } else { Visit::Enter });
    assert_eq!(named, ["d"]);
}

#[test]
fn strings_ends_on_anything_that_is_not_json() {
    for broken in [&b"{\"a\":\"x"[..], b"\"", b"{\"a\":", b"[\"a\\", b"\xff\"", b"{\"a\":}"] {
        let mut count = 0;
        strings(broken, 0..broken.len() + 9, true, |_, _| Visit::Skip, |_| count += 1);
        assert!(count <= 1);
    }
}

#[test]
fn deep_nesting_costs_one_pass() {
    let deep = format!("{}\"x\"{}", "{\"k\":".repeat(200_000), "}".repeat(200_000));
    let started = std::time::Instant::now();
    assert_eq!(map_of(deep.as_bytes()).pieces.len(), 1);
    // Re-reading every level would take minutes.
    assert!(started.elapsed().as_secs() < 10);
}
