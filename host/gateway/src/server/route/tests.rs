use super::*;

fn with(method: Method, target: &str, headers: &[(&'static str, &'static str)]) -> Result<Route, Missed> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    super::find(&method, &target.parse().unwrap(), &headers)
}

fn at(method: Method, target: &str) -> Result<Route, Missed> {
    with(method, target, &[])
}

/// The road in short: operation, provider, dialect, model of the path, stream and query.
#[track_caller]
fn road(method: Method, target: &str) -> String {
    match at(method, target) {
        Ok(Route::Road(road)) => short(&road),
        other => panic!("{target}: {other:?}"),
    }
}

fn short(road: &Road) -> String {
    let operation = match &road.operation {
        Operation::Model(name) => format!("model {name}"),
        Operation::Raw(raw) => format!("raw {} {}", raw.method, raw.path),
        operation => operation.as_str().to_owned(),
    };
    let mut out = format!("{operation} {} {}", road.provider.unwrap_or("-"), road.dialect.as_str());
    let Said { model, stream, sse } = &road.said;
    for more in [model.as_deref(), stream.then_some("stream"), sse.then_some("sse"), road.query.as_deref()] {
        out.extend(more.map(|more| format!(" {more}")));
    }
    out
}

#[test]
fn openai_paths() {
    for (prefix, provider) in [
        ("/v1", "-"),
        ("/openai/v1", "openai"),
        ("/openai", "openai"),
        ("/litellm", "-"),
        ("/langchain/openai/v1", "openai"),
    ] {
        let is = |method, tail: &str, expected: &str| {
            assert_eq!(road(method, &format!("{prefix}{tail}")), expected.replace('@', provider), "{prefix}{tail}");
        };
        is(Method::POST, "/chat/completions", "chat @ openai-chat");
        is(Method::POST, "/chat/completions/", "chat @ openai-chat");
        is(Method::POST, "/responses", "chat @ openai-responses");
        is(Method::POST, "/responses/input_tokens", "count-tokens @ openai-responses");
        is(Method::POST, "/embeddings", "embeddings @ openai-chat");
        is(Method::GET, "/models?limit=1", "models @ openai-chat limit=1");
        is(Method::HEAD, "/models/", "models @ openai-chat");
        is(Method::GET, "/models/meta-llama/Llama-3%3A70b", "model meta-llama/Llama-3:70b @ openai-chat");
        is(Method::GET, "/models/a%2Fb%20%ED%95%9C", "model a/b \u{d55c} @ openai-chat");
        assert_eq!(at(Method::GET, &format!("{prefix}/models/%ff")), Err(Missed::Name));
        assert_eq!(at(Method::GET, &format!("{prefix}/models/a%0d%0ab")), Err(Missed::Name));
        assert_eq!(at(Method::OPTIONS, &format!("{prefix}/models")), Err(Missed::Method(GET)));
        assert_eq!(at(Method::OPTIONS, &format!("{prefix}/responses")), Err(Missed::Method(POST)));
        assert!(at(Method::POST, prefix).is_err());
    }
    assert_eq!(road(Method::POST, "/v1/messages?beta=true"), "chat - anthropic beta=true");
    assert_eq!(at(Method::GET, "/v1/chat/completions"), Err(Missed::Method(POST)));
    assert_eq!(at(Method::DELETE, "/v1/models/x"), Err(Missed::Method(GET)));
    assert_eq!(at(Method::POST, "/v1/chat/completions/x"), Err(Missed::Path));
}

#[test]
fn anthropic_paths() {
    for (prefix, provider) in [
        ("/anthropic/v1", "anthropic"),
        ("/anthropic", "anthropic"),
        ("/pydanticai/anthropic/v1", "anthropic"),
        ("/langchain/v1", "-"),
    ] {
        let is = |method, tail: &str, expected: &str| {
            assert_eq!(road(method, &format!("{prefix}{tail}")), expected.replace('@', provider), "{prefix}{tail}");
        };
        is(Method::POST, "/messages?beta=true", "chat @ anthropic beta=true");
        is(Method::POST, "/messages/count_tokens?beta=true", "count-tokens @ anthropic beta=true");
    }
    assert_eq!(road(Method::GET, "/anthropic/v1/models?limit=1000"), "models anthropic anthropic limit=1000");
    let listed = with(Method::GET, "/v1/models", &[("anthropic-version", "2023-06-01")]);
    assert!(matches!(listed, Ok(Route::Road(road)) if road.dialect == Dialect::Anthropic));
    assert_eq!(at(Method::HEAD, "/anthropic/api/hello"), Err(Missed::Path));
}

#[test]
fn gemini_paths() {
    for (prefix, provider) in [
        ("/genai/v1beta", "gemini"),
        ("/genai/v1", "gemini"),
        ("/genai", "gemini"),
        ("/v1beta", "-"),
        ("/v1", "-"),
        ("/litellm/v1beta", "-"),
        ("/langchain/genai/v1beta", "gemini"),
    ] {
        for (tail, expected) in [
            ("/models/gemini-2.5-flash:generateContent", "chat @ gemini gemini-2.5-flash"),
            ("/models/a/b:streamGenerateContent?alt=sse", "chat @ gemini a/b stream sse alt=sse"),
            ("/gemini/gemini-2.5-flash:generateContent?key=secret", "chat @ gemini gemini/gemini-2.5-flash"),
            ("/models/x:streamGenerateContent?key=k&$alt=json", "chat @ gemini x stream $alt=json"),
            ("/models/x%3Afree:countTokens", "count-tokens @ gemini x:free"),
            ("/models/x:embedContent", "embeddings @ gemini x"),
            ("/models/x:batchEmbedContents", "embeddings @ gemini x"),
        ] {
            assert_eq!(
                road(Method::POST, &format!("{prefix}{tail}")),
                expected.replace('@', provider),
                "{prefix}{tail}"
            );
        }
    }
    assert_eq!(road(Method::GET, "/genai/v1beta/models"), "models gemini gemini");
    assert_eq!(road(Method::GET, "/v1beta/models?key=k"), "models - gemini");
    let vertex = "/projects/p/locations/us/publishers";
    let gemini = format!("/genai/v1beta1{vertex}/google/models/gemini-2.5-pro:generateContent");
    assert_eq!(road(Method::POST, &gemini), "chat vertex gemini gemini-2.5-pro");
    let anthropic = format!("/v1{vertex}/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict");
    assert_eq!(road(Method::POST, &anthropic), "chat vertex anthropic claude-sonnet-4-5@20250929 stream");
}

#[test]
fn a_key_in_the_query_counts_as_the_header_does_and_goes_no_further() {
    let uri: Uri = "/v1beta/models/m:generateContent?key=a%2Bb&alt=json".parse().unwrap();
    let (name, value) = credential(&uri, &HeaderMap::new()).unwrap();
    assert_eq!((name.as_str(), value.as_bytes(), value.is_sensitive()), ("x-goog-api-key", &b"a+b"[..], true));
    let sent = [(name, value)].into_iter().collect();
    assert!(credential(&uri, &sent).is_none(), "the header goes before");
    assert!(credential(&"/v1/models?keys=x&key=".parse().unwrap(), &HeaderMap::new()).is_none());
}

#[test]
fn azure_paths() {
    for prefix in ["/openai", "/openai/openai", "/azure/openai", "/azure", "/litellm/openai"] {
        let chat = format!("{prefix}/deployments/my-gpt/chat/completions?api-version=2024-10-21");
        assert_eq!(road(Method::POST, &chat), "chat azure openai-chat my-gpt api-version=2024-10-21");
        let embeddings = format!("{prefix}/deployments/e/embeddings");
        assert_eq!(road(Method::POST, &embeddings), "embeddings azure openai-chat e");
    }
    assert_eq!(road(Method::POST, "/azure/openai/v1/responses"), "chat azure openai-responses");
}

#[test]
fn what_is_not_served_below_a_providers_prefix_passes() {
    for (method, target, expected) in [
        (Method::DELETE, "/openai/v1/models/ft:x", "raw DELETE /v1/models/ft:x openai openai-chat"),
        (Method::GET, "/openai/chat/completions", "raw GET /chat/completions openai openai-chat"),
        (Method::POST, "/openai/v1/chat/completions/x", "raw POST /v1/chat/completions/x openai openai-chat"),
        (Method::GET, "/anthropic/v1/files?limit=2", "raw GET /v1/files anthropic anthropic limit=2"),
        (Method::POST, "/genai/v1beta/cachedContents?key=k", "raw POST /v1beta/cachedContents gemini gemini"),
        (Method::POST, "/genai/upload/v1beta/files", "raw POST /upload/v1beta/files gemini gemini"),
        (Method::POST, "/mistral/v1/ocr", "raw POST /v1/ocr mistral openai-chat"),
        (Method::POST, "/v1/moderations", "raw POST /v1/moderations - openai-chat"),
        (Method::GET, "/v1/responses/resp_1", "raw GET /v1/responses/resp_1 - openai-chat"),
    ] {
        assert_eq!(road(method, target), expected);
    }
    for up in
        ["/openai/v1/../x", "/openai/files/%2e%2e/x", "/openai/files/..%2fx", "/openai/files/a%5c..%5cx", "/openai/./x"]
    {
        assert_eq!(at(Method::GET, up), Err(Missed::Unclean), "{up}");
    }
    for spelled in [
        "/openai/v1/%63hat/completions",
        "/openai/v1/chat//completions",
        "/openai/v1/Chat/Completions",
        "/openai/v1/chat%2Fcompletions",
        "/anthropic/v1//messages",
        "/genai/v1beta/models/x%3AgenerateContent",
        "/genai/v1beta/models/x:GenerateContent",
    ] {
        assert_eq!(at(Method::POST, spelled), Err(Missed::Unclean), "{spelled}");
    }
    let kind = |path: &str| Operation::Raw(Raw { method: Method::POST, path: path.to_owned() }).as_str();
    assert_eq!([kind("/v1/audio/speech"), kind("/files"), kind("/v1/ocr")], ["audio", "files", "raw"]);
}

#[test]
fn finds_pages_and_nothing_else() {
    for (path, page) in PAGES {
        if page.takes_body() {
            assert_eq!(at(Method::POST, path), Ok(Route::Page(*page)));
            assert_eq!(at(Method::GET, path), Err(Missed::Method(POST)));
            continue;
        }
        assert_eq!(at(Method::GET, path), Ok(Route::Page(*page)));
        assert_eq!(at(Method::HEAD, path), Ok(Route::Page(*page)));
        assert_eq!(at(Method::POST, path), Err(Missed::Method(GET)));
    }
    for path in [
        "/v1",
        "/v2/models/",
        "/openai",
        "/v1models",
        "/openaiv1/models",
        "//livez",
        "*",
        "/nobody/v1/chat/completions",
    ] {
        assert!(matches!(at(Method::PUT, path), Err(Missed::Path | Missed::Method(_))), "{path}");
    }
    assert_eq!(at(Method::GET, "/nothing/here"), Err(Missed::Path));
}

#[test]
fn refusals_are_in_the_dialect_of_the_place() {
    for (target, dialect) in [
        ("/anthropic/api/hello", Dialect::Anthropic),
        ("/v1/messages", Dialect::Anthropic),
        ("/genai/v1beta/nothing", Dialect::Gemini),
        ("/v1beta/nothing", Dialect::Gemini),
        ("/openai/x/../y", Dialect::OpenaiChat),
        ("/nothing", Dialect::OpenaiChat),
    ] {
        assert_eq!(dialect_of(&target.parse().unwrap(), &HeaderMap::new()), dialect, "{target}");
    }
}
