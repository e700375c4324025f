//! What loads, and as what.

use std::time::Duration;

use serde_json::json;

use super::*;

#[test]
fn the_sample_loads_and_shows_the_defaults() {
    let path = repository("docs/sluice.sample.yaml");
    let config = load(Some(&path), &some_env, &Overrides::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["openai", "llama", "azure", "vertex", "openai-research"]);
    // The sample says that its limits are the defaults.
    let defaults = defaults(&some_env, &Overrides::default()).result.unwrap();
    assert_eq!(format!("{:?}", config.server.limits), format!("{:?}", defaults.server.limits));
    assert_eq!(config.server.max_calls, defaults.server.max_calls);
    let (sample, default) = (&config.providers[0], &defaults.providers[0]);
    assert_eq!(format!("{:?}", sample.timeouts), format!("{:?}", default.timeouts));
    assert_eq!(format!("{:?}", sample.limits), format!("{:?}", default.limits));
    let block = &config.plugins.chain["deny-words-replies"];
    assert_eq!(block.limits, PluginBlock::default().limits);
    assert_eq!(block.settings.as_deref(), Some(r#"{"words":["internal"]}"#));
    assert_eq!(config.aliases[1], ("default".to_owned(), "openai/gpt-4o-mini".to_owned()));
    let proxy = config.network.proxy_for(true, "api.openai.com", 443).unwrap();
    assert_eq!(proxy.uri.to_string(), "http://proxy.corp:3128/");
    assert_eq!(proxy.authorization.as_ref().unwrap().expose(), "Basic c2x1aWNlOm5vbmU=");
}

#[test]
fn the_sample_names_every_field() {
    let sample = std::fs::read_to_string(repository("docs/sluice.sample.yaml")).unwrap();
    let reference = reference();
    let fields: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(field, _)| field))
        .collect();
    assert!(fields.len() > 50);
    for field in fields {
        assert!(sample.contains(&format!("{field}:")), "{field}");
    }
}

#[test]
fn the_reference_is_current() {
    let path = repository("docs/config.md");
    let current = reference();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == current,
        "docs/config.md is out of date: run the tests once with SLUICE_BLESS=1 to write it anew"
    );
}

#[test]
fn nothing_at_all_is_demo_mode() {
    let config = defaults(&no_env, &Overrides::default()).result.unwrap();
    assert!(config.demo && config.providers.is_empty() && config.file.is_none());
    assert_eq!(config.server.clients, Clients::Loopback);
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:8080", "[::1]:8080"]);
    assert!(config.server.default_listen && config.server.threads >= 1);
    assert_eq!(config.plugins.dir, Path::new("plugins"));
}

#[test]
fn a_key_a_file_or_an_open_address_ends_demo_mode() {
    let keyed = defaults(&some_env, &Overrides::default()).result.unwrap();
    assert!(!keyed.demo);
    assert_eq!((keyed.providers.len(), keyed.providers[0].name.as_str()), (1, "openai"));
    assert!(!good("").demo && !Folder::with("# nothing\n").load(&no_env).unwrap().demo);
    let listen = vec!["0.0.0.0:9000".to_owned()];
    let open = defaults(&no_env, &Overrides { listen, ..Overrides::default() }).result.unwrap();
    assert!(!open.demo && !open.server.default_listen);
    assert_eq!(open.server.clients, Clients::Keys);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let folder = Folder::with("server: { listen: 127.0.0.1:1111 }\nplugins: { dir: p }\n");
    let load = |overrides: Overrides| super::load(Some(&folder.path("c.yaml")), &no_env, &overrides).unwrap();
    let listen = |config: &Config| config.server.listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = load(Overrides::default());
    assert_eq!((listen(&config), config.plugins.dir), (vec!["127.0.0.1:1111".to_owned()], folder.path("p")));
    let config = load(Overrides { port: Some(2222), ..Overrides::default() });
    assert_eq!(listen(&config), ["127.0.0.1:2222"]);
    let config = load(Overrides {
        listen: vec!["localhost:3333".to_owned()],
        port: None,
        plugins_dir: Some("elsewhere".into()),
    });
    assert_eq!(
        (listen(&config), config.plugins.dir),
        (vec!["127.0.0.1:3333".to_owned(), "[::1]:3333".to_owned()], "elsewhere".into())
    );
}

#[test]
fn providers_take_what_they_lack_from_their_row() {
    let config = good(
        "providers:\n  openai:\n  eu: { like: openai, keys: [env:OTHER_KEY], base_url: \"https://EU.example:8443/v2/\" }\n  \
         local: { dialect: openai-chat, base_url: \"http://[::1]:8000\" }\n  moved: { like: openai, base_url: http://h/v1 }\n  \
         mute: { like: openai, keys: [] }\n",
    );
    let base = |i: usize| {
        let BaseUrl { https, host, port, path } = config.providers[i].base.clone();
        (https, host, port, path)
    };
    assert_eq!(base(0), (true, "api.openai.com".to_owned(), 443, "/v1".to_owned()));
    assert_eq!(base(1), (true, "eu.example".to_owned(), 8443, "/v2".to_owned()));
    assert_eq!(base(2), (false, "[::1]".to_owned(), 8000, String::new()));
    let keys: Vec<Vec<&str>> =
        config.providers.iter().map(|provider| provider.keys.iter().map(|key| key.name.as_str()).collect()).collect();
    // A key of the environment goes nowhere but to the built-in address.
    assert_eq!(keys, [vec!["OPENAI_API_KEY"], vec!["OTHER_KEY"], vec![], vec![], vec![]]);
    assert!(
        config
            .providers
            .iter()
            .all(|provider| provider.meter && provider.dialects[0].0 == sluice_dialect::Dialect::OpenaiChat)
    );
}

#[test]
fn secrets_come_from_three_places_and_literals_are_warned_of() {
    let folder = Folder::with("providers:\n  openai:\n    keys: [env:OTHER_KEY, file:key, sk-literal, 'x${WORD}']\n");
    folder.add("key", "from-file\r\n");
    let config = folder.load(&some_env).unwrap();
    let keys: Vec<(&str, &str)> =
        config.providers[0].keys.iter().map(|key| (key.name.as_str(), key.secret.expose())).collect();
    let expanded = format!("x{SECRET}");
    let other = format!("{SECRET}-OTHER_KEY");
    assert_eq!(
        keys,
        [("OTHER_KEY", other.as_str()), ("key-2", "from-file"), ("key-3", "sk-literal"), ("key-4", &expanded)]
    );
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(
        config.warnings[0].ends_with("c.yaml:3:37: a secret is written in the file; use `env:NAME` or `file:PATH`")
    );
}

#[test]
fn no_secret_prints() {
    let folder = Folder::with(
        "server: { admin_token: env:OTHER_KEY }\nnetwork: { proxy: 'http://u:${WORD}@h:1' }\nproviders:\n  openai:\n    keys: ['${WORD}']\n    \
         headers: { x-a: env:WORD, x-b: 'b${WORD}' }\nkeys: [{ name: a, value: env:WORD }]\n\
         plugins: { chain: { p: { settings: { token: '${WORD}' } } } }\n",
    );
    let config = folder.load(&some_env).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!format!("{config:?} {config:#?}").contains(SECRET));
    let settings = config.plugins.chain["p"].settings.clone().unwrap();
    assert_eq!(settings, format!("{{\"token\":\"{SECRET}\"}}"));
    assert_eq!(config.keys[0].checks, [sha256(SECRET.as_bytes())]);
    assert!(config.server.admin_token.unwrap().is(format!("{SECRET}-OTHER_KEY").as_bytes()));
    assert_eq!(config.providers[0].headers[1].1.as_bytes(), format!("b{SECRET}").as_bytes());
}

#[test]
fn values_take_every_form_they_are_documented_in() {
    let config = good(
        "server:\n  listen: 'localhost:9000'\n  threads: ${COUNT}\n  names: [Gate.Corp.]\n  limits: { head: 500ms, body_size: 1MB }\n\
         providers: { openai: { meter: false, timeouts: { total: 2m } } }\n",
    );
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!((config.server.threads, config.server.names[0].as_str()), (3, "gate.corp"));
    assert_eq!((config.server.limits.head, config.server.limits.body_size), (Duration::from_millis(500), 1_000_000));
    assert_eq!(config.server.limits.idle, Duration::from_secs(75));
    assert!(!config.providers[0].meter);
    assert_eq!(config.providers[0].timeouts.total, Duration::from_secs(120));
}

#[test]
fn json_is_a_configuration_too() {
    let config = good(
        "{\n\t\"aliases\": {\"a\": \"openai/x\"},\r\n\t\"server\": {\"max_calls\": 5, \"names\": [\"\\u0061.corp\"]}\n}\n",
    );
    assert_eq!((config.server.max_calls, config.server.names[0].as_str()), (5, "a.corp"));
    assert_eq!(config.aliases, [("a".to_owned(), "openai/x".to_owned())]);
}

#[test]
fn yaml_anchors_and_merges_work() {
    let config = good(
        "providers:\n  a: &base { dialect: openai-chat, base_url: http://h/v1, meter: false }\n  b: { <<: *base, base_url: http://i/v1 }\n",
    );
    assert_eq!(config.providers[1].base.host, "i");
    assert!(!config.providers[1].meter);
}

#[test]
fn callers_are_keys_as_soon_as_there_are_keys() {
    let text = "keys: [{ name: a, value: env:WORD, labels: { region: eu } }]\n";
    assert_eq!(good(text).server.clients, Clients::Keys);
    assert_eq!(good(&format!("server: {{ clients: open }}\n{text}")).server.clients, Clients::Open);
    assert_eq!(good("server: { listen: '0.0.0.0:80' }").server.clients, Clients::Keys);
    assert_eq!(good("server: { listen: '127.0.0.9:80' }").server.clients, Clients::Loopback);
}

#[test]
fn the_environment_stands_in_for_the_network() {
    let folder = Folder::with("-----BEGIN CERTIFICATE-----\n");
    let path = folder.path("c.yaml").display().to_string();
    let env = |name: &str| match name {
        "https_proxy" => Some("proxy.corp:3128".to_owned()),
        "ALL_PROXY" => Some("http://all.corp:1".to_owned()),
        "NO_PROXY" => Some("localhost, .corp".to_owned()),
        "SSL_CERT_FILE" => Some(path.clone()),
        _ => None,
    };
    let network = defaults(&env, &Overrides::default()).result.unwrap().network;
    assert_eq!(network.https_proxy.as_ref().unwrap().uri.to_string(), "http://proxy.corp:3128/");
    assert_eq!(network.http_proxy.as_ref().unwrap().uri.to_string(), "http://all.corp:1/");
    assert_eq!(network.no_proxy, ["localhost", ".corp"]);
    assert_eq!(network.ca, [folder.path("c.yaml")]);
    assert!(network.proxy_for(true, "llm.corp", 443).is_none());
}

#[test]
fn a_plugin_has_its_block_in_a_file_of_its_own() {
    let folder = Folder::with("");
    folder.add(
        "p.yaml",
        "order: -5\non_error: open\nstreams: refuse\nsettings: [1, {b: 1.50, a: on}]\nlimits: { wall: 2s }\n",
    );
    let block = plugin_block(&folder.path("p.yaml"), &no_env).unwrap().0;
    assert_eq!(
        (block.order, block.enabled, block.on_error, block.streams),
        (-5, true, Some(OnError::Open), Some(Streams::Refuse))
    );
    assert_eq!(block.settings.as_deref(), Some(r#"[1,{"b":1.5,"a":"on"}]"#));
    assert_eq!((block.limits.wall, block.limits.concurrency), (Duration::from_secs(2), 64));
    folder.add("p.yaml", "ordr: 5\n");
    let errors = plugin_block(&folder.path("p.yaml"), &no_env).unwrap_err();
    assert_eq!((errors.0.len(), errors.0[0].line, errors.0[0].column), (1, 1, 1));
    assert_eq!(errors.0[0].suggestion.as_deref(), Some("did you mean `order`?"));
    assert_eq!(plugin_block(&folder.path("none.yaml"), &no_env).unwrap_err().0[0].line, 0);
}

#[test]
fn a_plugin_says_which_calls_what_it_may_do_and_when_it_is_stopped() {
    let config = good(
        "plugins:\n  chain:\n    a: { match: { model: gpt-*, label: { region: [eu, ch] }, header: { X-App: '*' } }, grants: { kv: {} } }\n    \
         b: { match: {}, grants: { kv: { max: 1MiB } }, breaker: { enabled: false } }\n    c: { grants: { kv: } }\n",
    );
    let block = |name: &str| config.plugins.chain[name].clone();
    let (a, b, c) = (block("a"), block("b"), block("c"));
    assert_eq!(a.matching.model, ["gpt-*"]);
    assert_eq!(a.matching.label, [("region".to_owned(), vec!["eu".to_owned(), "ch".to_owned()])]);
    assert_eq!(a.matching.header, [(http::HeaderName::from_static("x-app"), vec!["*".to_owned()])]);
    assert!(!a.matching.is_any() && b.matching.is_any() && c.matching.is_any());
    assert_eq!(a.grants.kv, Some(KvGrant { max: 16 << 20 }));
    assert_eq!(b.grants.kv, Some(KvGrant { max: 1 << 20 }));
    assert_eq!(c.grants, Grants::default(), "a grant without a value is none");
    let ten = Duration::from_secs(10);
    assert_eq!(a.breaker, Some(Breaker { errors: 50, min: 20, window: ten, pause: ten / 2 }));
    assert_eq!(b.breaker, None);
}

#[test]
fn clouds_say_where_they_are_and_who_gives_tokens() {
    let account =
        json!({ "client_email": "me@p.iam", "private_key": "PEM", "project_id": "own", "token_uri": "https://t" });
    let folder = Folder::with(
        "providers:\n  azure: { azure: { resource: res, tenant_id: t, client_id: c, client_secret: 'env:OTHER_KEY', deployments: { a: b } } }\n  \
         eu: { like: vertex, vertex: { location: global, credentials: sa.json } }\n  \
         own: { like: vertex, vertex: { project: p } }\n  deepseek: { base_url: 'http://h', params: reject, keys: [] }\n",
    );
    folder.add("sa.json", &account.to_string());
    let config = folder.load(&some_env).unwrap_or_else(|errors| panic!("{errors}"));
    let named = |name: &str| config.providers.iter().find(|provider| provider.name == name).unwrap();
    let azure = named("azure");
    assert_eq!(azure.base.to_string(), "https://res.openai.azure.com");
    assert!(matches!(&azure.tokens, Some(TokenSource::Entra { tenant, .. }) if tenant == "t") && azure.keys.is_empty());
    assert_eq!(azure.deployments, [("a".to_owned(), "b".to_owned())]);
    let eu = named("eu");
    assert_eq!(eu.base.to_string(), "https://aiplatform.googleapis.com");
    assert_eq!(eu.place, Some(Place::Vertex { project: "own".into(), location: "global".into() }));
    assert!(matches!(&eu.tokens, Some(TokenSource::ServiceAccount { email, .. }) if email == "me@p.iam"));
    let own = named("own");
    assert_eq!(own.base.to_string(), "https://us-central1-aiplatform.googleapis.com");
    assert!(matches!(&own.tokens, Some(TokenSource::Metadata { host }) if host == "metadata.google.internal"));
    assert_eq!(named("deepseek").params, sluice_dialect::hub::Policy::Reject);
    assert!(!format!("{config:?}").contains("PEM"), "a private key prints");
}

#[test]
fn what_the_operator_says_of_a_model_goes_over_the_catalog() {
    let config =
        good("catalog: { openai/gpt-4o: { max_output: 7, input_price: 0.075 }, openai/ft: { sampling: false } }\n");
    let openai = config.providers.iter().find(|provider| provider.name == "openai").unwrap();
    let known = |name: &str| &openai.catalog.iter().find(|(model, _)| model == name).unwrap().1;
    let (listed, own) = (known("gpt-4o"), known("ft"));
    assert_eq!((listed.output, listed.window, listed.price.input), (Some(7), Some(128_000), Some(75_000_000)));
    assert_eq!((own.refuses_sampling, own.window, own.price.input), (true, None, None));
}

#[test]
fn callers_have_teams_limits_and_two_keys() {
    let config = good(
        "teams: { search: { labels: { cost: '7' }, routes: [smart], tokens: 1M/day } }\n\
         keys:\n  - { name: a, value: env:WORD, also: env:OTHER_KEY, team: search, rate: 600/min, expires: 2099-12-31 }\n  \
         - { name: b, hash: 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', enabled: false }\n",
    );
    let (team, a, b) = (&config.teams[0], &config.keys[0], &config.keys[1]);
    assert_eq!((team.name.as_str(), team.scope.routes[0].as_str(), team.rate), ("search", "smart", None));
    assert_eq!(team.tokens.map(show_rate).as_deref(), Some("1M/day"));
    let digest = |text: &str| sha256(text.as_bytes());
    assert_eq!(a.checks, [digest(SECRET), digest(&format!("{SECRET}-OTHER_KEY"))]);
    assert_eq!((a.rate.map(show_rate).as_deref(), a.disabled, b.disabled), (Some("600/min"), false, true));
    let ends = a.expires.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(ends, Duration::from_secs(4_102_444_800), "the end of that day");
    assert_eq!(b.checks, [digest("abc")]);
    let free = good("keys: [{ name: a, value: env:WORD, team: anything }]\n");
    assert_eq!(free.keys[0].team.as_deref(), Some("anything"), "without a list of teams any name is one");
}

#[test]
fn a_key_that_has_expired_is_a_warning() {
    let config = good(
        "keys: [{ name: a, hash: 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', expires: 2020-01-01 }]\n",
    );
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].ends_with("c.yaml:1:109: the key `a` has expired"), "{:?}", config.warnings);
}
