use super::*;

fn shown(json: &str) -> Vec<(Role, Kind, String, Option<String>)> {
    let bytes = json.as_bytes();
    json::validate(bytes).expect("test input");
    let text = |literal| json::string(bytes, literal).expect("a literal").into_owned();
    let pieces = text_map(bytes).pieces.into_iter();
    pieces.map(|piece| (piece.role, piece.kind, text(piece.literal), piece.tool_name.map(text))).collect()
}

fn row(role: Role, kind: Kind, text: &str) -> (Role, Kind, String, Option<String>) {
    (role, kind, text.to_owned(), None)
}

fn tool(role: Role, kind: Kind, text: &str, name: &str) -> (Role, Kind, String, Option<String>) {
    (role, kind, text.to_owned(), Some(name.to_owned()))
}

#[test]
fn a_turn_with_tools_as_clients_replay_it() {
    let json = r#"{"model":"gpt-5.5","store":false,"instructions":"Be brief.","input":[
        {"type":"additional_tools","role":"developer","id":"at_1","tools":[{"type":"namespace","name":"fs","description":"Files","tools":[{"type":"custom","name":"exec","description":"Runs","format":{"type":"grammar","definition":"start: x"}}]}]},
        {"role":"developer","content":"Obey."},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"What is this?"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}],"internal_chat_message_metadata_passthrough":{"turn_id":"t1"}},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Look outside."}],"encrypted_content":"gAAA"},
        {"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Paris\"}","status":"completed"},
        {"type":"custom_tool_call","call_id":"call_2","name":"exec","input":"ls"},
        {"type":"function_call","call_id":"call_3","name":"now","arguments":""},
        {"type":"function_call_output","call_id":"call_1","output":"18 degrees"},
        {"type":"custom_tool_call_output","call_id":"call_2","output":[{"type":"input_text","text":"a.txt"}]},
        {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"paris"}},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Mild.","annotations":[]},{"type":"refusal","refusal":"No."}]},
        {"role":"user","content":"Thanks"}],
        "tools":[{"type":"function","name":"weather","description":"Looks outside","parameters":{"type":"object","properties":{"city":{"type":"string","description":"Which city"}}}}],
        "text":{"format":{"type":"json_schema","name":"out","description":"A form","schema":{}}}}"#;
    use Kind::*;
    use Role::{Assistant, System, Tool, User};
    let expected = [
        row(System, Text, "Be brief."),
        row(System, Other, "Files"),
        row(System, Other, "Runs"),
        row(System, Text, "Obey."),
        row(User, Text, "What is this?"),
        row(Assistant, Reasoning, "Look outside."),
        tool(Assistant, ToolArguments, "{\"city\":\"Paris\"}", "weather"),
        tool(Assistant, ToolArguments, "ls", "exec"),
        tool(Assistant, ToolArguments, "", "now"),
        tool(Tool, ToolResult, "18 degrees", "weather"),
        tool(Tool, ToolResult, "a.txt", "exec"),
        row(Assistant, ToolArguments, "paris"),
        row(Assistant, Text, "Mild."),
        row(Assistant, Refusal, "No."),
        row(User, Text, "Thanks"),
        row(System, Other, "Looks outside"),
        row(System, Other, "Which city"),
        row(System, Other, "A form"),
    ];
    assert_eq!(shown(json), expected);
    assert_eq!(last_user_text(json.as_bytes()).as_deref(), Some("Thanks"));
}

#[test]
fn short_forms() {
    let plain = r#"{"input":"Hello","instructions":null}"#;
    assert_eq!(shown(plain), [row(Role::User, Kind::Text, "Hello")]);
    assert_eq!(last_user_text(plain.as_bytes()).as_deref(), Some("Hello"));
    let parts = r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},"b"]},{"role":"assistant","content":"c"}]}"#;
    assert_eq!(last_user_text(parts.as_bytes()).as_deref(), Some("a\nb"));
    assert_eq!(last_user_text(br#"{"input":[{"role":"assistant","content":"c"}]}"#), None);
    let prompt = r#"{"prompt":{"id":"pmpt_1","version":"2","variables":{"name":"Ann","note":{"type":"input_text","text":"hi"}}}}"#;
    assert_eq!(shown(prompt), [row(Role::User, Kind::Text, "Ann"), row(Role::User, Kind::Text, "hi")]);
    assert_eq!(shown("[1]"), []);
}

#[test]
fn nothing_unknown_is_a_way_around_a_guard() {
    let odd = [
        r#"{"input":[{"type":"brand_new","payload":{"deep":["WORD"]}}]}"#,
        r#"{"input":[{"type":"message","role":"user","content":[{"type":"brand_new","body":"WORD"}]}]}"#,
        r#"{"input":[{"type":"additional_tools","role":"user","content":"WORD","type":"message"}]}"#,
        r#"{"input":[{"type":"additional_tools","note":"WORD"}]}"#,
        r#"{"input":{"role":"user","content":"WORD"}}"#,
        r#"{"input":[["WORD"]]}"#,
        r#"{"input":[{"role":"user","content":{"type":"input_text","text":"WORD"}}]}"#,
        r#"{"input":[{"role":"user","content":[["WORD"]]}]}"#,
        r#"{"input":[{"role":"user","content":"x","note":"WORD"}]}"#,
        r#"{"input":[{"type":"function_call_output","call_id":"c","output":{"a":"WORD"}}]}"#,
        r#"{"input":[{"type":"function_call","call_id":"c","name":"n","arguments":{"type":"WORD"}}]}"#,
        r#"{"input":[{"type":"mcp_call","name":"n","arguments":"{}","output":"WORD"}]}"#,
        r#"{"input":[{"type":"image_generation_call","result":"WORD"}]}"#,
        r#"{"input":[{"type":"shell_call","action":{"commands":["WORD"]}}]}"#,
        r#"{"instructions":[{"role":"user","content":"WORD"}]}"#,
        r#"{"brand_new":{"text":"WORD"}}"#,
        r#"{"\u0069nput":"WORD"}"#,
        r#"{"input":[{"role":"user","\u0063ontent":"WORD"}]}"#,
    ];
    for json in odd {
        assert!(shown(json).iter().any(|(_, _, text, _)| text == "WORD"), "{json}");
    }
}

#[test]
fn machines_talk_to_machines() {
    let json = r#"{"model":"m","metadata":{"a":"b"},"user":"u","previous_response_id":"resp_1","input":[
        {"type":"message","id":"msg_1","role":"user","status":"completed","content":[{"type":"input_file","file_id":"f","file_url":"https://x.example/a.pdf"}]},
        {"type":"compaction","id":"c","encrypted_content":"gAAA"},{"type":"item_reference","id":"msg_1"}]}"#;
    assert_eq!(shown(json), []);
}

#[test]
fn a_peek_asks_for_no_usage() {
    let peek = peek(br#"{"model":"m","stream":true,"n":4,"stream_options":{"include_obfuscation":false}}"#).unwrap();
    assert_eq!((peek.model.as_ref().unwrap().name.as_str(), peek.stream, peek.n), ("m", true, 1));
    assert_eq!(crate::peek::ask_usage(&peek), None);
    assert_eq!(super::peek(br#"{"model":1}"#).unwrap_err().status, 400);
}
