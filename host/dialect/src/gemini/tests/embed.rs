//! Embeddings, by what providers really sent.

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::gemini::embed::{self, Form};

fn recorded(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/embeddings").join(file);
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_request_of_openai_for_each_form() {
    let body =
        json!({"model": "x", "input": ["a", "b", "c"], "dimensions": 256, "user": "u", "truncation": true}).to_string();
    let wanted = embed::from_openai(body.as_bytes(), "gemini-embedding-001", Form::Batch { most: 2 }).unwrap();
    let request = |text| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 256});
    assert_eq!(wanted.bodies.len(), 2);
    assert_eq!(parse(&wanted.bodies[0]), json!({"requests": [request("a"), request("b")]}));
    assert_eq!(parse(&wanted.bodies[1]), json!({"requests": [request("c")]}));
    let lost: Vec<(&str, bool)> = wanted.losses.iter().map(|loss| (&*loss.what, loss.hint)).collect();
    assert_eq!(lost, [("user", true), ("truncation", false)]);
    let single = embed::from_openai(body.as_bytes(), "m", Form::Single).unwrap();
    assert_eq!(parse(&single.bodies[2]), json!({"content": {"parts": [{"text": "c"}]}, "outputDimensionality": 256}));
    let predict = embed::from_openai(body.as_bytes(), "m", Form::Predict { most: 250 }).unwrap();
    let whole = json!({"instances": [{"content": "a"}, {"content": "b"}, {"content": "c"}], "parameters": {"outputDimensionality": 256}});
    assert_eq!(parse(&predict.bodies[0]), whole);
    for bad in [&b"{"[..], b"[]", b"{}", br#"{"input":[]}"#, br#"{"input":[1,2]}"#, br#"{"input":[[1],[2]]}"#] {
        assert_eq!(embed::from_openai(bad, "m", Form::Single).unwrap_err().status, 400);
    }
}

#[test]
fn recorded_replies_become_openai_ones_in_both_encodings() {
    let mut seen = 0;
    for case in recorded("gemini.jsonl").iter().chain(&recorded("vertex.jsonl")) {
        let body = Bytes::from(case["response"]["body"].as_str().unwrap().to_owned());
        let ask = |format: &str| {
            let body = json!({"input": "a", "encoding_format": format}).to_string();
            embed::from_openai(body.as_bytes(), "m", Form::Single).unwrap()
        };
        if case["response"]["status"] != 200 {
            let failure = ask("float").reply(&[body], "m").unwrap_err();
            assert_eq!(json!(failure.status), case["response"]["status"], "{}", case["name"]);
            continue;
        }
        let (float, usage) = ask("float").reply(&[body.clone(), body.clone()], "m").unwrap();
        let float = parse(&float);
        let provider = parse(&body);
        let values = [
            &provider["embeddings"][0]["values"],
            &provider["embedding"]["values"],
            &provider["predictions"][0]["embeddings"]["values"],
        ];
        let values = values.into_iter().find(|values| values.is_array()).unwrap();
        assert_eq!(float["data"].as_array().unwrap().len(), 2);
        assert_eq!((&float["data"][1]["embedding"], &float["data"][1]["index"]), (values, &json!(1)));
        assert_eq!(float["usage"]["prompt_tokens"], json!(usage.map_or(0, |usage| usage.input)));
        let (coded, _) = ask("base64").reply(std::slice::from_ref(&body), "m").unwrap();
        let coded = parse(&coded)["data"][0]["embedding"].as_str().unwrap().to_owned();
        let bytes = base64::engine::general_purpose::STANDARD.decode(coded).unwrap();
        let floats: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let expected: Vec<f32> =
            values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        assert_eq!(floats, expected);
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
    let wanted = embed::from_openai(br#"{"input":"a"}"#, "m", Form::Single).unwrap();
    for bad in ["", "{}", "[]", r#"{"embeddings":[]}"#, r#"{"embeddings":[{"values":"x"}]}"#] {
        assert_eq!(wanted.reply(&[Bytes::from(bad)], "m").unwrap_err().status, 502, "{bad}");
    }
}

#[test]
fn a_gemini_client_gets_vectors_of_openai_providers() {
    let batch = json!({"requests": [
        {"model": "models/m", "content": {"parts": [{"text": "a"}, {"text": "b"}]}, "output_dimensionality": 8, "taskType": "QUERY"},
        {"model": "models/m", "content": {"parts": {"text": "c"}}, "outputDimensionality": 8},
    ]});
    let (body, losses) = embed::to_openai(batch.to_string().as_bytes(), "text-embedding-3-small").unwrap();
    let whole =
        json!({"model": "text-embedding-3-small", "input": ["a\nb", "c"], "dimensions": 8, "encoding_format": "float"});
    assert_eq!(parse(&body), whole);
    assert_eq!(losses.iter().map(|loss| &*loss.what).collect::<Vec<_>>(), ["taskType"]);
    let image = json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}});
    assert_eq!(
        embed::to_openai(image.to_string().as_bytes(), "m").unwrap_err().class(),
        crate::failure::Class::Unsupported
    );

    let mut seen = 0;
    for file in ["openai.jsonl", "llamacpp.jsonl", "mistral.jsonl", "azure.jsonl", "voyage.jsonl"] {
        for case in recorded(file).iter().filter(|case| case["response"]["status"] == 200) {
            let body = case["response"]["body"].as_str().unwrap();
            let (batch, usage) = embed::from_openai_reply(body.as_bytes(), true).unwrap();
            let (batch, provider) = (parse(&batch), parse(body.as_bytes()));
            let data = provider["data"].as_array().unwrap();
            assert_eq!(batch["embeddings"].as_array().unwrap().len(), data.len());
            if data[0]["embedding"].is_array() {
                assert_eq!(batch["embeddings"][0]["values"], data[0]["embedding"]);
            } else {
                assert!(batch["embeddings"][0]["values"].as_array().unwrap().len() > 100);
            }
            if let Some(usage) = usage {
                assert_eq!(json!(usage.input), provider["usage"]["prompt_tokens"]);
            }
            let (single, _) = embed::from_openai_reply(body.as_bytes(), false).unwrap();
            assert_eq!(parse(&single)["embedding"], batch["embeddings"][0]);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}
