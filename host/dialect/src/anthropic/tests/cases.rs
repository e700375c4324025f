//! All recorded exchanges, read and written.

use super::*;

/// What may differ when a request is written again: a false `strict` is the default, and the message list's form is free.
fn same_chat(mut chat: Chat) -> Chat {
    for tool in &mut chat.tools {
        if let ToolKind::Function { strict, .. } = &mut tool.kind {
            strict.take_if(|strict| !*strict);
        }
    }
    let mut turns: Vec<Turn> = Vec::new();
    for turn in chat.turns {
        match turns.last_mut() {
            Some(last) if last.role == turn.role => last.parts.extend(turn.parts),
            _ => turns.push(turn),
        }
    }
    chat.turns = turns;
    chat
}

#[test]
fn recorded_requests_are_read_and_written_without_a_loss() {
    let mut seen = 0;
    for case in recorded() {
        if !case.request.is_object() || case.status == 400 {
            continue;
        }
        let body = case.request.to_string();
        let chat = match Api.read_request(body.as_bytes(), &Said::default()) {
            Ok(chat) => chat,
            Err(failure) => panic!("{}: {failure:?}", case.name),
        };
        let (written, losses) = Api.write_request(&chat, &native(&chat)).unwrap();
        let lost: Vec<_> = losses.iter().filter(|loss| !loss.hint).collect();
        assert!(lost.is_empty(), "{}: {lost:?}", case.name);
        crate::json::validate(&written).unwrap();
        let again = Api.read_request(&written, &Said::default()).unwrap();
        let (mut first, second) = (same_chat(chat), same_chat(again));
        if first.params.max_tokens.is_none() {
            first.params.max_tokens.clone_from(&second.params.max_tokens);
        }
        assert_eq!(first, second, "{}", case.name);
        seen += 1;
    }
    assert!(seen > 140, "{seen}");
}

#[test]
fn recorded_requests_keep_every_member() {
    for case in recorded() {
        let Value::Object(request) = &case.request else { continue };
        let chat = Api.read_request(case.request.to_string().as_bytes(), &Said::default()).unwrap();
        let (written, _) = Api.write_request(&chat, &native(&chat)).unwrap();
        let written: Value = serde_json::from_slice(&written).unwrap();
        for (name, value) in request {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                // Their forms are free: tested above by what they mean.
                ("messages" | "system" | "output_format", _) | ("stream", Value::Bool(false)) => {}
                (_, Value::Array(list)) if list.is_empty() => {}
                ("tools", _) => {
                    let names = |list: &Value| -> Vec<Value> {
                        list.as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect()
                    };
                    assert_eq!(names(value), names(&written["tools"]), "{}", case.name);
                }
                _ => assert_eq!(Some(value), written.get(name), "{}: {name}", case.name),
            }
        }
    }
}

#[test]
fn recorded_replies_are_read_and_written_the_same() {
    let mut seen = 0;
    for case in recorded() {
        if case.status != 200 || is_stream(&case) || !case.body.contains("\"content\"") {
            continue;
        }
        let reply = Api.read_reply(case.body.as_bytes()).unwrap();
        let checked = Api.check_reply(case.body.as_bytes()).unwrap();
        assert_eq!(checked, reply.usage, "{}", case.name);
        let (written, losses) = Api.write_reply(&reply, &Asked::default());
        assert!(losses.is_empty(), "{}: {losses:?}", case.name);
        assert_eq!(Api.read_reply(&written).unwrap(), reply, "{}", case.name);
        let (was, is): (Value, Value) =
            (serde_json::from_str(&case.body).unwrap(), serde_json::from_slice(&written).unwrap());
        for field in ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence"] {
            assert_eq!(without_nulls(&was[field]), without_nulls(&is[field]), "{}: {field}", case.name);
        }
        seen += 1;
    }
    assert!(seen > 80, "{seen}");
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().filter(|(_, it)| !it.is_null()).map(|(name, it)| (name.clone(), without_nulls(it))).collect()
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The whole message that an SDK would gather from the events, by the rules of Anthropic's own.
pub(super) fn accumulate(body: &[u8]) -> Value {
    let mut message = Value::Null;
    let mut held: Vec<String> = Vec::new();
    for (_, data) in events(body) {
        let event: Value = serde_json::from_slice(&data).unwrap();
        let at = event["index"].as_u64().unwrap_or_default() as usize;
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), at, "blocks begin in order");
                content.push(event["content_block"].clone());
                held.push(String::new());
            }
            "content_block_delta" => {
                let block = &mut message["content"][at];
                let delta = &event["delta"];
                let mut add = |name: &str| {
                    let text = format!("{}{}", block[name].as_str().unwrap_or_default(), delta[name].as_str().unwrap());
                    block[name] = text.into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "compaction_delta" => add("content"),
                    "citations_delta" => match &mut block["citations"] {
                        Value::Array(list) => list.push(delta["citation"].clone()),
                        none => *none = json!([delta["citation"]]),
                    },
                    "input_json_delta" => {
                        held[at].push_str(delta["partial_json"].as_str().unwrap());
                        if let Ok(input) = serde_json::from_str(&held[at]) {
                            block["input"] = input;
                        }
                    }
                    other => panic!("{other}"),
                }
            }
            "message_delta" => {
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name] = value.clone();
                }
                for (name, value) in event["usage"].as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
                    message["usage"][name] = value.clone();
                }
                if let Some(management) = event.get("context_management") {
                    message["context_management"] = management.clone();
                }
            }
            _ => {}
        }
    }
    message
}

/// The reply with the white space of its arguments taken out.
fn even(mut reply: Reply) -> Reply {
    for part in reply.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::Call(call) = part
            && let Ok(arguments) = serde_json::from_str::<Value>(&call.arguments)
        {
            call.arguments = arguments.to_string();
        }
    }
    reply
}

#[test]
fn recorded_streams_read_as_the_whole_message_does() {
    let mut seen = 0;
    for case in recorded().iter().filter(|case| is_stream(case)) {
        let deltas = decode(case.body.as_bytes());
        assert_eq!(deltas.last(), Some(&Delta::Done), "{}", case.name);
        let gathered = gather(&deltas);
        let whole = accumulate(case.body.as_bytes());
        let mut read = Api.read_reply(whole.to_string().as_bytes()).unwrap();
        // What the beginning says beside is kept there.
        read.rest = gathered.rest.clone();
        for (name, _) in gathered.rest.of(Dialect::Anthropic) {
            assert_eq!(read.choices[0].rest.get(name), gathered.rest.get(name), "{}", case.name);
            read.choices[0].rest = gathered.choices[0].rest.clone();
        }
        assert_eq!(even(gathered), even(read), "{}", case.name);
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn recorded_streams_are_written_as_an_sdk_reads_them() {
    for case in recorded().iter().filter(|case| is_stream(case)) {
        let deltas = decode(case.body.as_bytes());
        let written = encode(&deltas, &Asked::default());
        let mut names: Vec<_> = events(&written).into_iter().map(|(name, _)| name.unwrap()).collect();
        names.dedup();
        assert_eq!(names.first().map(Vec::as_slice), Some(&b"message_start"[..]), "{}", case.name);
        assert!(names.ends_with(&[b"message_delta".to_vec(), b"message_stop".to_vec()]), "{}", case.name);
        let (was, is) = (accumulate(case.body.as_bytes()), accumulate(&written));
        for field in ["id", "type", "role", "model", "stop_reason", "stop_sequence"] {
            assert_eq!(was[field], is[field], "{}: {field}", case.name);
        }
        for count in ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
            let counted = was["usage"][count].as_u64().unwrap_or_default();
            assert_eq!(Some(counted), is["usage"][count].as_u64(), "{}: {count}", case.name);
        }
        let drop_empty = |content: &Value| -> Vec<Value> {
            let list = content.as_array().unwrap().iter().map(without_nulls);
            let bare = |mut block: Value| {
                let citations = block.get("citations").is_some_and(|list| list == &json!([]));
                if citations {
                    block.as_object_mut().unwrap().shift_remove("citations");
                }
                block
            };
            list.map(bare).filter(|block| block != &json!({"type": "text", "text": ""})).collect()
        };
        assert_eq!(drop_empty(&was["content"]), drop_empty(&is["content"]), "{}", case.name);
        assert_eq!(gather(&decode(&written)).choices[0].finish, gather(&deltas).choices[0].finish, "{}", case.name);
    }
}

#[test]
fn glances_see_content_the_end_and_the_usage() {
    for case in recorded().iter().filter(|case| is_stream(case)) {
        let (mut content, mut finished, mut done) = (false, 0, false);
        let mut last = None;
        for (event, data) in events(case.body.as_bytes()) {
            let glance = Api.glance(event.as_deref(), &data).unwrap();
            assert!(!glance.error && !glance.only_usage, "{}", case.name);
            content |= glance.content;
            finished += glance.finished;
            done |= glance.done;
            last = glance.usage.or(last);
        }
        let read = gather(&decode(case.body.as_bytes()));
        assert_eq!(content, !read.choices[0].parts.is_empty(), "{}", case.name);
        assert!(done && finished == 1, "{}", case.name);
        let read = read.usage.unwrap();
        assert_eq!(last.unwrap().output, read.output, "{}", case.name);
    }
}

#[test]
fn recorded_errors_keep_their_words() {
    let mut seen = 0;
    for case in recorded().iter().filter(|case| case.status >= 400) {
        let failure = Api.read_error(case.status as u16, Some("application/json"), case.body.as_bytes());
        let body: Value = serde_json::from_str(&case.body).unwrap();
        assert_eq!(failure.message, body["error"]["message"].as_str().unwrap(), "{}", case.name);
        assert_eq!(u64::from(failure.status), case.status);
        let again: Value = serde_json::from_slice(&Api.write_error(&failure, "call")).unwrap();
        assert_eq!(again, body, "{}", case.name);
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn broken_bodies_never_panic() {
    let pick: Vec<Case> = recorded().into_iter().step_by(11).collect();
    for case in &pick {
        let request = case.request.to_string();
        for body in [request.as_bytes(), case.body.as_bytes()] {
            for cut in (0..body.len()).step_by(body.len() / 12 + 1) {
                let mut broken = body.to_vec();
                everything(&broken[..cut]);
                broken[cut] = b'"';
                everything(&broken);
                broken[cut] = b'}';
                everything(&broken);
            }
        }
    }
}

fn everything(body: &[u8]) {
    let _ = Api.peek(body, &Said::default());
    let _ = Api.request_texts(body);
    let _ = Api.last_user_text(body);
    if let Ok(chat) = Api.read_request(body, &Said::default()) {
        let _ = Api.write_request(&chat, &native(&chat));
    }
    let _ = Api.check_reply(body);
    let _ = Api.reply_texts(body);
    if let Ok(reply) = Api.read_reply(body) {
        Api.write_reply(&reply, &Asked::default());
    }
    let _ = Api.read_error(400, None, body);
    let _ = vertex_body(&Bytes::copy_from_slice(body));
    for (event, data) in events(body) {
        let _ = Api.glance(event.as_deref(), &data);
        let _ = Api.stream_failure(event.as_deref(), &data);
    }
    let deltas = decode(body);
    encode(&deltas, &Asked::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_events_in_any_order_are_read(picks in proptest::collection::vec((0usize..64, 0u64..4), 0..20)) {
        let shapes = [
            json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1}}}),
            json!({"type": "content_block_start", "content_block": {"type": "text", "text": "a"}}),
            json!({"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}),
            json!({"type": "content_block_start", "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_start", "content_block": {"type": "server_tool_use", "id": "s", "name": "w", "input": {}}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "b"}}),
            json!({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
            json!({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}}),
            json!({"type": "content_block_stop"}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
            json!({"type": "message_stop"}),
            json!({"type": "ping"}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            json!({"type": 3, "index": "x", "delta": []}),
        ];
        let mut decoder = Api.decoder();
        let mut deltas = Vec::new();
        for (pick, index) in picks {
            let mut event = shapes[pick % shapes.len()].clone();
            event["index"] = index.into();
            decoder.event(None, event.to_string().as_bytes(), &mut deltas);
        }
        decoder.end(&mut deltas);
        let ends = deltas.iter().filter(|delta| matches!(delta, Delta::Done | Delta::Failed(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(matches!(deltas.last(), Some(Delta::Done | Delta::Failed(_))));
        let mut open = std::collections::BTreeSet::new();
        for delta in &deltas {
            match delta {
                Delta::Open { block, .. } => prop_assert!(open.insert(*block)),
                Delta::Text { block, text, .. } => prop_assert!(open.contains(block) && !text.is_empty()),
                _ => {}
            }
        }
        encode(&deltas, &Asked::default());
    }
}
