use super::*;

fn provider(name: &str, base: &str) -> Addresses {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.yaml");
    std::fs::write(&file, format!("providers: {{ {name}: {{ keys: [], base_url: '{base}' }} }}")).unwrap();
    let config = config::load(Some(&file), &|_| None, &config::Overrides::default()).unwrap();
    Addresses::new(&config.providers[0]).unwrap()
}

fn chat(name: &str, base: &str, dialect: Dialect, model: &str, stream: bool, query: Option<&str>) -> String {
    provider(name, base).chat(dialect, model, stream, query).unwrap().to_string()
}

#[test]
fn a_version_stands_once_however_the_address_is_written() {
    use Dialect::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
    for base in ["http://h", "http://h/", "http://h/v1", "http://h/v1/"] {
        assert_eq!(chat("anthropic", base, Anthropic, "m", false, None), "http://h/v1/messages");
        let expected = "http://h/v1beta/models/m:generateContent";
        assert_eq!(chat("gemini", base, Gemini, "m", false, None), expected);
        assert_eq!(chat("deepseek", base, Anthropic, "m", true, None), "http://h/anthropic/v1/messages");
    }
    for base in ["http://h", "http://h/openai", "http://h/openai/v1"] {
        assert_eq!(chat("azure", base, OpenaiResponses, "m", false, None), "http://h/openai/v1/responses");
    }
    assert_eq!(chat("openai", "http://h", OpenaiChat, "m", false, None), "http://h/chat/completions");
    assert_eq!(chat("openai", "http://h/x/v4", OpenaiChat, "m", false, None), "http://h/x/v4/chat/completions");
}

#[test]
fn models_and_queries_are_part_of_an_address_and_change_nothing_else() {
    let gemini = |model, stream, query| chat("gemini", "http://h", Dialect::Gemini, model, stream, query);
    assert_eq!(gemini("m", true, None), "http://h/v1beta/models/m:streamGenerateContent?alt=sse");
    assert_eq!(gemini("m", true, Some("alt=json&x=y")), "http://h/v1beta/models/m:streamGenerateContent?alt=sse&x=y");
    assert_eq!(gemini("models/m", false, None), "http://h/v1beta/models/m:generateContent");
    assert_eq!(gemini("tunedModels/m", false, None), "http://h/v1beta/tunedModels/m:generateContent");
    assert_eq!(gemini("a/../b?c#d:e", false, None), "http://h/v1beta/models/a%2F..%2Fb%3Fc%23d%3Ae:generateContent");
    assert!(provider("gemini", "http://h").chat(Dialect::Gemini, "", false, None).is_none());
    let beta = chat("anthropic", "http://h", Dialect::Anthropic, "m", true, Some("beta=true"));
    assert_eq!(beta, "http://h/v1/messages?beta=true");
}

#[test]
fn raw_paths_go_below_the_address() {
    let raw = |name: &str, base: &str, path: &str| provider(name, base).raw(path, Some("a=b")).unwrap().to_string();
    for path in ["/v1/files/x", "/files/x"] {
        assert_eq!(raw("openai", "http://h/v1", path), "http://h/v1/files/x?a=b");
        assert_eq!(raw("groq", "http://h/openai/v1", path), "http://h/openai/v1/files/x?a=b");
        assert_eq!(raw("zai", "http://h/api/paas/v4", path), "http://h/api/paas/v4/files/x?a=b");
    }
    assert_eq!(raw("anthropic", "http://h", "/v1/files"), "http://h/v1/files?a=b");
    assert_eq!(raw("anthropic", "http://h/v1", "/v1/files"), "http://h/v1/files?a=b");
    assert_eq!(raw("gemini", "http://h", "/v1beta/cachedContents"), "http://h/v1beta/cachedContents?a=b");
    assert_eq!(raw("gemini", "http://h", "/upload/v1beta/files"), "http://h/upload/v1beta/files?a=b");
}
