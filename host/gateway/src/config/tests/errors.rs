//! What does not load: every error with its exact place and text.

use super::*;

#[test]
fn many_errors_are_reported_at_once_in_the_order_of_the_file() {
    bad(
        "server:\n  lisen: x\n  threads: many\n  limits: { head: 10 }\nproviders:\n  openai:\n    base_ur: http://x\n    keys: [env:NOPE]\n\
         aliases: { a: opnai/x }\nkeys:\n  - { name: k, value: env:GONE }\n",
        &[
            "c.yaml:2:3: unknown field `lisen`, did you mean `listen`?",
            "c.yaml:3:12: expected a whole number, found `many`",
            "c.yaml:4:19: expected a duration such as `10s`, found the number 10, did you mean `10s`?",
            "c.yaml:7:5: unknown field `base_ur`, did you mean `base_url`?",
            "c.yaml:8:12: environment variable NOPE is not set, set NOPE",
            "c.yaml:9:15: there is no provider `opnai`, did you mean `openai`?",
            "c.yaml:11:23: environment variable GONE is not set, set GONE",
        ],
    );
}

#[test]
fn broken_yaml_has_a_place() {
    bad("a: b: c\n", &["c.yaml:1:5: not valid YAML: mapping values are not allowed in this context"]);
    bad(
        "server:\n\tthreads: 1\n",
        &["c.yaml:2:2: not valid YAML: tabs disallowed within this context (block indentation)"],
    );
    bad("aliases: *none\n", &["c.yaml:1:10: not valid YAML: alias references unknown anchor"]);
    let errors = Folder::with("server: [1, 2\nkeys: 3\n").errors(&no_env);
    assert!(errors.starts_with("c.yaml:2:") && errors.lines().count() == 1, "{errors}");
    let errors = Folder::with("a: 1\n---\nb: 2\n").errors(&no_env);
    assert!(errors.starts_with("c.yaml:3:1: not valid YAML: multiple YAML documents"), "{errors}");
}

#[test]
fn hostile_documents_end_in_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Folder::with(&deep).errors(&no_env).contains("not valid YAML"));
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for i in 1..30 {
        bomb.push_str(&format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1));
    }
    assert!(Folder::with(&bomb).errors(&no_env).contains("not valid YAML"));
    let many = "x: 1\n".repeat(5000);
    assert_eq!(Folder::with(&many).load(&no_env).unwrap_err().0.len(), 200);
}

#[test]
fn wrong_types_say_what_was_expected() {
    bad("[]\n", &["c.yaml:1:1: expected a mapping, found a list"]);
    bad("server: 5\n", &["c.yaml:1:9: expected a mapping, found the number 5"]);
    bad("server: { plugin_header: perhaps }\n", &["c.yaml:1:26: expected `true` or `false`, found `perhaps`"]);
    bad("server: { names: { a: b } }\n", &["c.yaml:1:18: expected a list, found a mapping"]);
    bad("server: { names: [5] }\n", &["c.yaml:1:19: expected a text, found the number 5, write `\"5\"`"]);
    bad(
        "keys: [{ name: k, value: env:WORD, labels: { a: true } }]\n",
        &["c.yaml:1:49: expected a text, found `true`, put it in quotes"],
    );
    bad("server: { listen: { a: b } }\n", &["c.yaml:1:19: expected a text or a list, found a mapping"]);
    bad("aliases: { a: }\n", &["c.yaml:1:13: expected a text, found nothing"]);
}

#[test]
fn wrong_values_say_what_was_expected() {
    bad("server: { clients: opn }\n", &["c.yaml:1:20: expected `keys` or `open`, found `opn`, did you mean `open`?"]);
    bad("server: { threads: 0 }\n", &["c.yaml:1:20: expected a number from 1 to 1024, found the number 0"]);
    bad("server: { threads: 1.5 }\n", &["c.yaml:1:20: expected a whole number, found the number 1.5"]);
    bad("server: { limits: { idle: 48h } }\n", &["c.yaml:1:27: expected a duration from 1ms to 24h, found `48h`"]);
    bad(
        "server: { limits: { body_size: 64 } }\n",
        &["c.yaml:1:32: expected a size such as `64MiB`, found the number 64, did you mean `64B`?"],
    );
    bad("server: { limits: { head_size: 1KiB } }\n", &["c.yaml:1:32: expected a size from 8KiB to 16MiB"]);
    bad(
        "plugins: { chain: { p: { on_error: close, order: 3000000000, limits: { memory: 1KiB } } } }\n",
        &[
            "c.yaml:1:36: expected `closed` or `open`, found `close`, did you mean `closed`?",
            "c.yaml:1:50: expected a number from -2147483648 to 2147483647, found the number 3000000000",
            "c.yaml:1:80: expected a size from 1MiB to 4GiB",
        ],
    );
    bad("sever: {}\n", &["c.yaml:1:1: unknown field `sever`, did you mean `server`?"]);
    bad(
        "wallets: {}\n",
        &[
            "c.yaml:1:1: unknown field `wallets`, expected `server`, `network`, `providers`, `catalog`, `aliases`, `routes`, `keys`, `teams` or `plugins`",
        ],
    );
}

#[test]
fn addresses_to_listen_on_are_repaired_by_the_suggestion() {
    for (text, suggestion) in [
        ("'8080'", "write `127.0.0.1:8080`"),
        ("':80'", "write `0.0.0.0:80`"),
        ("127.0.0.1", "write `127.0.0.1:8080`"),
        ("'::1'", "write `\"[::1]:8080\"`"),
        ("host:99999", "write it as `127.0.0.1:8080` or `\"[::1]:8080\"`"),
    ] {
        let plain = text.trim_matches('\'');
        let expected = format!("c.yaml:2:5: expected an address with a port, found `{plain}`, {suggestion}");
        bad(&format!("server: {{ listen: [ 127.0.0.1:1,\n    {text}] }}\n"), &[&expected]);
    }
    bad(
        "server: { listen: [8080.1.1.1:1] }\n",
        &[
            "c.yaml:1:20: expected an address with a port, found `8080.1.1.1:1`, write it as `127.0.0.1:8080` or `\"[::1]:8080\"`",
        ],
    );
    bad("server: { listen: 5 }\n", &["c.yaml:1:19: expected a text or a list, found the number 5, write `\"5\"`"]);
    bad("server: { listen: [] }\n", &["c.yaml:1:19: `listen` is empty, name an address or leave `listen` out"]);
    bad(
        "server: { names: ['http://a'] }\n",
        &["c.yaml:1:19: expected a host name, found `http://a`, write it without scheme, port and path"],
    );
    let overrides = Overrides { listen: vec!["nowhere".to_owned()], ..Overrides::default() };
    let errors = defaults(&no_env, &overrides).result.unwrap_err().to_string();
    assert_eq!(
        errors,
        "command line: `--listen nowhere` is not an address with a port, write it as `127.0.0.1:8080` or `\"[::1]:8080\"`"
    );
}

#[test]
fn repeated_names_are_errors() {
    bad(
        "aliases: { a: openai/x }\naliases: {}\n",
        &["c.yaml:2:1: `aliases` is here twice (first on line 1), keep one of them"],
    );
    bad(
        "plugins: { chain: { p: { settings: { a: 1,\n  a: 2 } } } }\n",
        &["c.yaml:2:3: `a` is here twice (first on line 1), keep one of them"],
    );
    bad(
        "providers:\n  openai: {}\n  openai: {}\n",
        &["c.yaml:3:3: `openai` is here twice (first on line 2), keep one of them"],
    );
    bad(
        "keys:\n  - { name: k, value: env:WORD }\n  - { name: k, value: env:OTHER_KEY }\n  - { name: l, value: '${WORD}' }\n",
        &[
            "c.yaml:3:13: the key `k` is here twice (first on line 2), names must be unique",
            "c.yaml:4:23: the keys `k` and `l` are the same, issue another one",
        ],
    );
    bad(
        "providers: { openai: { keys: [env:WORD, env:WORD] } }\n",
        &["c.yaml:1:41: the key `WORD` is here twice (first on line 1), names must be unique"],
    );
}

#[test]
fn secrets_that_cannot_be_read_are_named() {
    let folder = Folder::with(
        "providers:\n  openai:\n    keys:\n      - file:none\n      - { value: file:empty }\n      - env:BLANK\n      - $OPENAI_API_KEY\n      - env:LINES\n",
    );
    folder.add("empty", "\n");
    let errors = folder.errors(&some_env);
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        [
            "c.yaml:4:9: cannot read the secret file none: No such file or directory (os error 2)",
            "c.yaml:5:18: cannot read the secret file empty: the file is empty",
            "c.yaml:6:9: environment variable BLANK is empty, set BLANK",
            "c.yaml:7:9: `$OPENAI_API_KEY` is not expanded here, write `env:OPENAI_API_KEY`",
            "c.yaml:8:9: the key holds a blank, a line break or a character outside ASCII, which no provider takes",
        ]
    );
}

#[test]
fn a_built_in_provider_without_its_key_names_the_variable() {
    let errors = Folder::with("providers:\n  openai: {}\n").errors(&no_env);
    assert_eq!(
        errors,
        "c.yaml:2:3: provider `openai` has no key: environment variable OPENAI_API_KEY is not set, set OPENAI_API_KEY or add `keys:`"
    );
}

#[test]
fn no_error_shows_a_secret_or_an_expanded_value() {
    for text in [
        "server: { admin_token: [sk-do-not-print-5f1c] }",
        "server: { threads: '${WORD}' }",
        "server: { clients: '${WORD}', listen: '${WORD}', names: ['${WORD} x'], limits: { head: '${WORD}', idle: 'x${WORD}' } }",
        "network: { proxy: 'ftp://u:${WORD}@h', ca: ['${WORD}'] }",
        "network: { proxy: 'http://u:sk-do-not-print-5f1c@h/x' }",
        "providers: { openai: { base_url: 'http://u:${WORD}@h', like: '${WORD}', dialect: '${WORD}' } }",
        "providers: { openai: { base_url: 'ftp://${WORD}', headers: { a b: '${WORD}', x: \"a\\n${WORD}\" } } }",
        "providers: { openai: { keys: ['env:${WORD}', 'file:${WORD}', 'a ${WORD}', 'sk-do-not-print-5f1c x'] } }",
        "providers: { openai: { keys: [{ value: [sk-do-not-print-5f1c] }] } }",
        "aliases: { a: '${WORD}/x', b: '${WORD}' }\nproviders: { x: { like: openai } }",
        "keys: [{ name: a, hash: '${WORD}' }, { name: b, hash: 'sha256:sk-do-not-print-5f1c' }]",
        "plugins: { required: ['../${WORD}'], chain: { p: { component: '/${WORD}', order: '${WORD}', streams: '${WORD}' } } }",
    ] {
        let errors = Folder::with(text).load(&some_env).expect_err(text);
        assert!(!format!("{errors} {errors:?}").contains(SECRET), "{errors}");
    }
    let big = |name: &str| (name == "BIG").then(|| "987654321".to_owned());
    let errors = Folder::with("server: { threads: '${BIG}' }").errors(&big);
    assert_eq!(errors, "c.yaml:1:20: expected a number from 1 to 1024, found `${BIG}`");
    let number = Folder::with("providers: { openai: { keys: [123456] } }").errors(&some_env);
    assert_eq!(
        number,
        "c.yaml:1:31: expected a secret (`env:NAME` or `file:PATH`) or a mapping, found a number, put it in quotes"
    );
}

#[test]
fn variables_that_are_missing_are_reported_once() {
    bad(
        "providers:\n  a: { dialect: openai-chat, base_url: 'http://${HOST}/v1' }\nkeys: [{ name: '${NAME}', value: '${VALUE}' }]\n",
        &[
            "c.yaml:2:40: environment variable HOST is not set, set it or write `${HOST:-default}`",
            "c.yaml:3:16: environment variable NAME is not set, set it or write `${NAME:-default}`",
            "c.yaml:3:34: environment variable VALUE is not set, set it or write `${VALUE:-default}`",
        ],
    );
}

#[test]
fn providers_need_a_dialect_an_address_and_a_good_name() {
    bad(
        "providers:\n  opnai: {}\n  mine: { dialect: openai-chat }\n  v1: { like: openai }\n  A/b: { like: openai }\n  \
         c: { like: opnai }\n  d: { dialect: openai, base_url: http://h }\n",
        &[
            "c.yaml:2:3: provider `opnai` is not built in and has no dialect, did you mean `openai`? Else add `dialect: openai-chat`",
            "c.yaml:2:3: provider `opnai` has no address, add `base_url: http://HOST:PORT/v1`",
            "c.yaml:3:3: provider `mine` has no address, add `base_url: http://HOST:PORT/v1`",
            "c.yaml:4:3: `v1` cannot be a provider's name: it is a path of the gateway itself, choose another name",
            "c.yaml:5:3: `A/b` cannot be a provider's name, use small letters, digits, `-`, `_` and `.`",
            "c.yaml:6:14: there is no built-in provider `opnai`, did you mean `openai`?",
            "c.yaml:7:17: expected `openai-chat`, `openai-responses`, `anthropic` or `gemini`, found `openai`",
        ],
    );
}

#[test]
fn addresses_of_providers_are_checked() {
    let start = "c.yaml:1:36: expected an address such as `https://llm.corp/v1`";
    for (url, rest) in [
        ("llm.corp/v1", ""),
        ("ftp://llm.corp", ", with http or https"),
        ("http://", ""),
        ("http:///v1", ""),
        ("http://u:p@llm.corp", ", without a user; keys belong under `keys:`"),
        ("http://llm.corp?x=1", ", without a query or fragment"),
        ("http://llm.corp/#x", ", without a query or fragment"),
        ("http://llm.corp:99999", ", with a port up to 65535"),
        ("http://llm.corp:0", ", with a port above 0"),
        ("http://llm corp", ""),
        ("http://llm.corp/a/../b", ", without `.` and `..` in its path"),
    ] {
        bad(&format!("providers: {{ openai: {{ base_url:   '{url}' }} }}\n"), &[&format!("{start}{rest}")]);
    }
}

#[test]
fn keys_and_headers_of_providers_are_checked() {
    bad(
        "providers:\n  openai:\n    keys: [{ name: a }, { value: env:WORD, weight: 0, models: [''] }]\n    \
         headers: { host: x, 'a b': x, X-A: x, x-a: y, x-b: \"a\\nb\" }\n",
        &[
            "c.yaml:3:12: `value` is missing, add `value:`",
            "c.yaml:3:52: expected a weight above 0",
            "c.yaml:3:64: expected a name, found an empty text",
            "c.yaml:4:16: header `host` is set by Sluice, leave it out",
            "c.yaml:4:25: `a b` is not a header's name",
            "c.yaml:4:43: header `x-a` is here twice",
            "c.yaml:4:56: the value does not fit into header `x-b`",
        ],
    );
}

#[test]
fn aliases_end_at_a_model() {
    bad(
        "aliases:\n  a: b\n  b: c\n  c: b\n  self: self\n  d: nobody/x\n  e: d\n  f: openai/\n  g: nothing\n\
         providers: { openai: {}, local: { dialect: openai-chat, base_url: http://h, models: [m/x, y] } }\n",
        &[
            "c.yaml:3:6: alias `b` leads back to itself: b -> c -> b",
            "c.yaml:4:6: alias `c` leads back to itself: c -> b -> c",
            "c.yaml:5:9: alias `self` leads back to itself: self -> self",
            "c.yaml:6:6: there is no provider `nobody`, write `PROVIDER/MODEL` with a configured provider",
            "c.yaml:8:6: `openai/` names no model",
            "c.yaml:9:6: `nothing` is neither an alias nor a model that a provider lists, write `PROVIDER/MODEL`",
        ],
    );
    let chain: String = (0..18).map(|i| format!("  a{i}: a{}\n", i + 1)).collect();
    bad(
        &format!("providers: {{ openai: {{}} }}\naliases:\n{chain}  a18: openai/x\n"),
        &[
            "c.yaml:3:7: alias `a0` leads through more than 16 others",
            "c.yaml:4:7: alias `a1` leads through more than 16 others",
        ],
    );
    let config = good("aliases: { a: b, b: y, c: m/x, d: only }\nproviders: { openai: { models: [m/x, y] } }\n");
    let ends: Vec<&str> = config.aliases.iter().map(|(_, end)| end.as_str()).collect();
    assert_eq!(ends, ["y", "y", "m/x", "only"]);
}

#[test]
fn an_alias_to_a_provider_with_errors_is_no_further_error() {
    bad("providers: { x: 5 }\naliases: { a: x/m }\n", &["c.yaml:1:17: expected a mapping, found the number 5"]);
}

#[test]
fn client_keys_have_a_name_and_one_of_value_and_hash() {
    bad(
        "keys:\n  - value: env:WORD\n  - name: b\n  - { name: c, value: env:OTHER_KEY, hash: x }\n  - { name: d, hash: 'sha256:12' }\n  \
         - { name: e, hash: abc }\n  - { name: '', hash: 'sha256:9F86D081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08' }\n",
        &[
            "c.yaml:2:5: `name` is missing, add `name:`",
            "c.yaml:3:5: `value` is missing, add `value: env:NAME` or `hash: \"sha256:...\"`",
            "c.yaml:4:44: both `value` and `hash` are given, keep one of them",
            "c.yaml:5:22: expected `sha256:` and 64 hexadecimal digits, found another length or other digits",
            "c.yaml:6:22: expected `sha256:` and 64 hexadecimal digits, found no `sha256:`",
            "c.yaml:7:13: expected a name, found an empty text",
        ],
    );
}

#[test]
fn the_network_is_checked() {
    bad(
        "network: { proxy: socks5://h:1, ca: [c.yaml, none.pem] }\n",
        &[
            "c.yaml:1:19: expected a proxy's address such as `http://proxy.corp:3128`; SOCKS proxies are not supported",
            "c.yaml:1:38: cannot use the certificate file `c.yaml`: it holds no PEM certificate",
            "c.yaml:1:46: cannot use the certificate file `none.pem`: No such file or directory (os error 2)",
        ],
    );
    let env = |name: &str| (name == "HTTPS_PROXY").then(|| "socks5://u:secret@h:1".to_owned());
    let errors = defaults(&env, &Overrides::default()).result.unwrap_err().to_string();
    assert_eq!(
        errors,
        "environment: HTTPS_PROXY: expected a proxy's address such as `http://proxy.corp:3128`; SOCKS proxies are not supported"
    );
}

#[test]
fn plugins_are_checked() {
    bad(
        "plugins:\n  required: [a/b, off]\n  chain:\n    off: { enabled: false }\n    x.wasm:\n    y: { component: ../y.wasm }\n    z: { component: z }\n",
        &[
            "c.yaml:2:14: `a/b` cannot be a plugin's name",
            "c.yaml:2:19: plugin `off` is required, yet not enabled",
            "c.yaml:5:5: a plugin's name has no `.wasm`, did you mean `x`?",
            "c.yaml:6:21: expected a file in the plugin directory, found `../y.wasm`, write it as `NAME.wasm`",
            "c.yaml:7:21: expected a file in the plugin directory, found `z`, write it as `NAME.wasm`",
        ],
    );
}

#[test]
fn a_match_that_could_fit_nothing_and_grants_out_of_range_are_errors() {
    bad(
        "plugins:\n  chain:\n    a:\n      match: { model: [], team: '', key: [x, ' '], label: { region: [''] }, modl: x }\n    \
         b:\n      match: { header: { Authorization: x, 'a b': x, X-App: [] } }\n    \
         c:\n      grants: { kv: { max: 1KiB }, http: {} }\n      breaker: { errors: 100, min: 0, window: 1ms, pause: 61s }\n",
        &[
            "c.yaml:4:23: expected a pattern, found an empty list, leave the field out to fit every call",
            "c.yaml:4:33: expected a pattern, found an empty text",
            "c.yaml:4:46: expected a pattern, found an empty text",
            "c.yaml:4:70: expected a pattern, found an empty text",
            "c.yaml:4:77: unknown field `modl`, did you mean `model`?",
            "c.yaml:6:26: `authorization` holds a credential, which nothing is chosen by, match the caller's `key`, `team` or `label`",
            "c.yaml:6:44: `a b` is not a header's name",
            "c.yaml:6:61: expected a pattern, found an empty list, leave the field out to fit every call",
            "c.yaml:8:28: expected a size from 64KiB to 1GiB",
            "c.yaml:8:36: unknown field `http`, expected `kv`",
            "c.yaml:9:26: expected a number from 1 to 99, found the number 100",
            "c.yaml:9:36: expected a number from 1 to 100000, found the number 0",
            "c.yaml:9:47: expected a duration from 100ms to 10m",
            "c.yaml:9:59: expected a duration from 10ms to 60s",
        ],
    );
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let errors = load(Some(Path::new("/nowhere/c.yaml")), &no_env, &Overrides::default()).unwrap_err();
    assert_eq!(errors.to_string(), "/nowhere/c.yaml: cannot read it: No such file or directory (os error 2)");
}

#[test]
fn clouds_and_the_catalog_say_what_they_miss() {
    bad(
        "providers:\n  azure: { keys: [] }\n  vertex: {}\n  openai: { keys: [], azure: { resource: r } }\n  \
         eu: { like: azure, azure: { resource: 'a/b', client_id: c }, keys: [] }\ncatalog: { nobody/m: {}, openai: {} }\n",
        &[
            "c.yaml:2:3: provider `azure` has no address, add `azure: { resource: NAME }`",
            "c.yaml:3:11: Vertex needs the project that calls are made in, add `vertex: { project: NAME }`",
            "c.yaml:4:23: `azure` belongs to a provider that is `azure` or like it, add `like: azure`",
            "c.yaml:5:29: a token of Entra needs `tenant_id`, `client_id` and `client_secret`",
            "c.yaml:5:41: expected letters, digits, `-`, `.` and `_`",
            "c.yaml:6:12: `nobody/m` names no model of a configured provider, write `PROVIDER/MODEL`",
            "c.yaml:6:26: `openai` names no model of a configured provider, write `PROVIDER/MODEL`",
        ],
    );
}

#[test]
fn callers_limits_teams_and_dates_are_checked() {
    bad(
        "keys: [{ name: k, value: env:WORD, rate: 600, tokens: 5/week, expires: soon, enabled: perhaps }]\n",
        &[
            "c.yaml:1:42: expected a rate such as `600/min`, found the number 600, did you mean `600/min`?",
            "c.yaml:1:55: expected an amount in a time, such as `10/s`, `600/min`, `100k/min` or `1M/day`, found `5/week`",
            "c.yaml:1:72: expected a date or a time such as `2027-01-31` or `2027-01-31T18:00:00Z`, found `soon`",
            "c.yaml:1:87: expected `true` or `false`, found `perhaps`",
        ],
    );
    bad(
        "teams: { search: {}, ads: { models: [''] } }\nkeys: [{ name: k, value: env:WORD, team: serch }, { name: l, value: env:OTHER_KEY, team: xxxxxxxxx }]\n",
        &[
            "c.yaml:1:38: expected a name, found an empty text",
            "c.yaml:2:42: there is no team `serch`, did you mean `search`?",
            "c.yaml:2:90: there is no team `xxxxxxxxx`, add it to `teams:`",
        ],
    );
    bad(
        "keys: [{ name: k, value: env:WORD, also: env:WORD }, { name: l, value: env:OTHER_KEY, also: 'sha256:12' }]\n",
        &[
            "c.yaml:1:42: both keys of `k` are the same, issue another one",
            "c.yaml:1:93: expected `sha256:` and 64 hexadecimal digits, found another length or other digits",
        ],
    );
}
