use super::*;

fn shown(json: &str) -> Vec<(Role, Kind, String, Option<String>)> {
    let bytes = json.as_bytes();
    json::validate(bytes).expect("test input");
    text_map(bytes)
        .pieces
        .into_iter()
        .map(|piece| {
            let text = |literal| json::string(bytes, literal).expect("a literal").into_owned();
            (piece.role, piece.kind, text(piece.literal), piece.tool_name.map(text))
        })
        .collect()
}

fn row(role: Role, kind: Kind, text: &str) -> (Role, Kind, String, Option<String>) {
    (role, kind, text.to_owned(), None)
}

fn tool(role: Role, kind: Kind, text: &str, name: &str) -> (Role, Kind, String, Option<String>) {
    (role, kind, text.to_owned(), Some(name.to_owned()))
}

#[test]
fn a_turn_with_tools_as_clients_replay_it() {
    let json = r#"{"model":"gpt-4o-mini","messages":[
        {"content":"Be brief.","role":"system"},{"role":"developer","content":[{"type":"text","text":"Obey."}]},
        {"role":"user","name":"ann","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]},
        {"role":"assistant","content":null,"refusal":null,"function_call":null,"audio":null,"tool_calls":[
            {"id":"call_1","type":"function","function":{"arguments":"{\"city\":\"Paris\"}","name":"weather"}},
            {"id":"call_2","type":"custom","custom":{"name":"shell","input":"ls"}}]},
        {"tool_call_id":"call_1","content":"18 degrees","role":"tool"},
        {"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"a.txt"}]},
        {"role":"tool","tool_call_id":"gone","content":"orphan"},
        {"role":"user","content":"Thanks"}],
        "tools":[{"type":"function","function":{"name":"weather","description":"Looks outside","parameters":{"type":"object","properties":{"city":{"type":"string","description":"Which city","enum":["Paris"]},"description":{"type":"string"}}}}}]}"#;
    use Kind::*;
    use Role::{Assistant, System, Tool, User};
    let expected = [
        row(System, Text, "Be brief."),
        row(System, Text, "Obey."),
        row(User, Text, "What is this?"),
        tool(Assistant, ToolArguments, "{\"city\":\"Paris\"}", "weather"),
        tool(Assistant, ToolArguments, "ls", "shell"),
        tool(Tool, ToolResult, "18 degrees", "weather"),
        tool(Tool, ToolResult, "a.txt", "shell"),
        row(Tool, ToolResult, "orphan"),
        row(User, Text, "Thanks"),
        row(System, Other, "Looks outside"),
        row(System, Other, "Which city"),
    ];
    assert_eq!(shown(json), expected);
    assert_eq!(last_user_text(json.as_bytes()).as_deref(), Some("Thanks"));
}

#[test]
fn reasoning_refusals_and_older_forms() {
    let json = r#"{"messages":[
        {"role":"assistant","content":"4","reasoning_content":"two and two"},
        {"role":"assistant","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm hm","signature":"c2ln","id":"r1"},{"type":"reasoning.encrypted","data":"AAAA"}]},
        {"role":"assistant","content":[{"type":"refusal","refusal":"I will not"},{"type":"thinking","thinking":[{"type":"text","text":"deep"}]}],"refusal":"No."},
        {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
        {"role":"function","name":"f","content":"result"},
        {"role":"critic","content":"odd"}],
        "prediction":{"type":"content","content":"int main"},"prompt":["p1","p2"],"documents":[{"title":"T","text":"body","id":"d1"}]}"#;
    use Kind::*;
    use Role::{Assistant, Tool, User};
    let expected = [
        row(Assistant, Text, "4"),
        row(Assistant, Reasoning, "two and two"),
        row(Assistant, Reasoning, "hm"),
        row(Assistant, Reasoning, "hm hm"),
        row(Assistant, Refusal, "I will not"),
        row(Assistant, Reasoning, "deep"),
        row(Assistant, Refusal, "No."),
        tool(Assistant, ToolArguments, "{}", "f"),
        tool(Tool, ToolResult, "result", "f"),
        row(Role::Other, Text, "odd"),
        row(Assistant, Text, "int main"),
        row(User, Text, "p1"),
        row(User, Text, "p2"),
        row(Role::Other, Other, "T"),
        row(Role::Other, Other, "body"),
    ];
    assert_eq!(shown(json), expected);
}

#[test]
fn nothing_hides_behind_spelling_duplicates_or_unknown_parts() {
    let json = r#"{"\u006dessages":[{"\u0072ole":"us\u0065r","\u0063ontent":"one","content":"two"},
        {"role":"user","content":[{"type":"image_url","type":"text","text":"three"},{"type":"new_kind","new_kind":{"body":"four"}},"five"]}],
        "messages":[{"content":"six","role":"assistant","role":"user"}]}"#;
    let texts: Vec<_> = shown(json).into_iter().map(|(role, _, text, _)| (role, text)).collect();
    let expected = ["one", "two", "three", "four", "five", "six"].map(|text| (Role::User, text.to_owned()));
    assert_eq!(texts, expected);
}

#[test]
fn last_user_text_is_the_newest_users() {
    let last = |json: &str| last_user_text(json.as_bytes());
    let parts = r#"{"messages":[{"role":"user","content":"old"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]},{"role":"assistant","content":"no"}]}"#;
    assert_eq!(last(parts).as_deref(), Some("a\nb"));
    assert_eq!(last(r#"{"messages":[{"role":"system","content":"x"}]}"#), None);
    assert_eq!(last(r#"{"messages":[{"role":"user","content":null}]}"#), None);
    assert_eq!(last("[]"), None);
}

#[test]
fn what_is_not_a_request_has_no_pieces() {
    for odd in ["[]", "null", "7", r#"{"messages":7}"#, r#"{"messages":[7,null,[]]}"#, r#"{"messages":[{"role":7}]}"#] {
        assert_eq!(text_map(odd.as_bytes()), TextMap::default(), "{odd}");
    }
    for broken in [r#"{"messages":[{"role":"user","content":"x"#, "{", ""] {
        text_map(broken.as_bytes());
        last_user_text(broken.as_bytes());
    }
}

#[test]
fn many_tool_results_find_their_calls_quickly() {
    let call =
        |n: usize| format!(r#"{{"id":"c{n}","type":"function","function":{{"name":"f{n}","arguments":"{{}}"}}}}"#);
    let calls: Vec<_> = (0..20_000).map(call).collect();
    let results: Vec<_> =
        (0..20_000).map(|n| format!(r#"{{"role":"tool","tool_call_id":"c{n}","content":"r"}}"#)).collect();
    let json =
        format!(r#"{{"messages":[{{"role":"assistant","tool_calls":[{}]}},{}]}}"#, calls.join(","), results.join(","));
    let started = std::time::Instant::now();
    let map = text_map(json.as_bytes());
    assert_eq!(map.pieces.len(), 40_000);
    let name = map.pieces.last().and_then(|piece| piece.tool_name.clone()).unwrap();
    assert_eq!(json::string(json.as_bytes(), name).as_deref(), Some("f19999"));
    assert!(started.elapsed().as_secs() < 10);
}

/// Every guarded call pays for this. Bounded only to tell a linear scan from one that reads again and again.
#[test]
fn scan_and_join_of_a_usual_request_is_cheap() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(5);
    let messages: Vec<_> = (0..8)
        .map(|n| format!(r#"{{"role":"{}","content":"{text}"}}"#, if n % 2 == 0 { "user" } else { "assistant" }))
        .collect();
    let json = format!(r#"{{"model":"gpt-4o-mini","messages":[{}],"stream":false}}"#, messages.join(","));
    let rounds = 20_000_u32;
    let mut total = 0;
    let started = std::time::Instant::now();
    for _ in 0..rounds {
        let bytes = std::hint::black_box(json.as_bytes());
        total += text::joined(bytes, &text_map(bytes)).len();
    }
    let each = started.elapsed() / rounds;
    assert_eq!(total, rounds as usize * (8 * text.len() + 7));
    assert!(each.as_micros() < 500, "{} bytes took {each:?}", json.len());
}

#[test]
fn plain_text_in_data_is_seen_and_media_is_not() {
    let json = r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a plain secret"}},{"type":"document","document":{"data":{"text":"nested"}}},{"type":"input_audio","input_audio":{"data":"a b","format":"wav"}},{"type":"file","file":{"filename":"q.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}]}]}"#;
    let texts: Vec<_> = shown(json).into_iter().map(|(_, _, text, _)| text).collect();
    assert_eq!(texts, ["a plain secret", "nested", "q.pdf"]);
}

#[test]
fn what_nobody_has_described_is_not_a_way_around_a_guard() {
    use Kind::{Other, Text, ToolArguments};
    let shown_texts = |json: &str| shown(json).into_iter().map(|(_, kind, text, _)| (kind, text)).collect::<Vec<_>>();
    let one = |kind, text: &str| vec![(kind, text.to_owned())];
    let message = |member: &str| format!(r#"{{"messages":[{{"role":"user","name":"n","id":"i",{member}}}]}}"#);
    assert_eq!(shown_texts(&message(r#""thinking":"hidden""#)), one(Other, "hidden"));
    assert_eq!(shown_texts(&message(r#""audio":{"id":"a","transcript":"said"}"#)), one(Other, "said"));
    assert_eq!(
        shown_texts(&message(r#""tool_calls":[{"id":"t","type":"mcp","mcp":{"input":"x"}}]"#)),
        one(ToolArguments, "x")
    );
    assert_eq!(shown_texts(&message(r#""tool_calls":{"function":{"arguments":"y"}}"#)), one(ToolArguments, "y"));
    assert_eq!(shown_texts(r#"{"messages":"bare"}"#), one(Text, "bare"));
    assert_eq!(shown_texts(r#"{"messages":["bare",[{"role":"user","content":"deep"}]]}"#).len(), 2);
}

#[test]
fn a_call_without_arguments_is_shown() {
    let call = r#"{"id":"t","type":"function","function":{"name":"erase","arguments":""}}"#;
    let json = format!(r#"{{"messages":[{{"role":"assistant","tool_calls":[{call}]}}]}}"#);
    assert_eq!(shown(&json), [tool(Role::Assistant, Kind::ToolArguments, "", "erase")]);
}
