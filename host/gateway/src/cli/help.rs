//! The longer texts of `--help`: what a first reader needs beside the list of commands and arguments.

/// Below `sluice --help`.
pub const SLUICE: &str = "\
First steps:
  sluice                             serve on http://localhost:8080; without a key and a file, in demo mode
  export OPENAI_API_KEY=...; sluice  with the real models: a provider whose key is set is on
  sluice connect openai              what to set in an application
  sluice plugin new my-guard         a plugin of your own, as a project that works
  cp guard.wasm plugins/             a plugin is live within a second, without a restart
  sluice check                       every mistake of sluice.yaml, with line and column
  sluice status; sluice tail         what a running gateway does; http://localhost:8080/ is the same as a page

Files:
  ./sluice.yaml                      the configuration, or what --config names; docs/config.md has every field
  ./plugins/NAME.wasm, NAME.yaml     plugins and their settings, or where `plugins.dir` or --plugins says
  $XDG_STATE_HOME/sluice             what the gateway itself keeps; ~/.local/state/sluice where that is not set

Environment:
  OPENAI_API_KEY                     turns the provider on, and is its key
  SLUICE_LOG                         how much to tell on standard error, as --log
  SLUICE_URL, SLUICE_ADMIN_TOKEN     which gateway `sluice status` and `sluice tail` ask, and with which token
  HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE  how to reach providers, where `network:` says nothing

Exit codes:
  0  all is well
  1  failed while running
  2  a command line or configuration that cannot be used";

/// Below `sluice serve --help`.
pub const SERVE: &str = "\
Signals:
  TERM, INT  finish the calls in flight, then stop; a second one stops at once

Examples:
  sluice serve --config /etc/sluice/sluice.yaml --plugins /var/lib/sluice/plugins
  sluice serve --listen 0.0.0.0:8080        past loopback a first key is made and printed once
  sluice serve --access-log json --log info,sluice::plugins=debug";

/// Below `sluice check --help`.
pub const CHECK: &str = "\
With --diff each line is a field: PATH: OLD -> NEW, and whether a running gateway takes it at once or after a restart.

Examples:
  sluice check --diff
  sluice check --config new.yaml --diff --against sluice.yaml

Exit codes:
  0  the files can be used; with --diff: and nothing would change
  1  with --diff: they can be used, and something would change
  2  they cannot; every mistake is on standard error, as FILE:LINE:COLUMN: what, and what to do";

/// Below `sluice config explain --help`.
pub const EXPLAIN: &str = "\
Examples:
  sluice config explain providers.openai.timeouts
  sluice config explain server.listen --port 9000
  sluice config explain 'keys[search-prod]'";

/// Below `sluice schema --help`.
pub const SCHEMA: &str = "\
Examples:
  sluice schema > sluice.schema.json
  sluice schema --plugin > plugin.schema.json

Then the first line of sluice.yaml makes editors complete and explain it:
  # yaml-language-server: $schema=./sluice.schema.json";

/// Below `sluice connect --help`.
pub const CONNECT: &str = "\
Examples:
  eval \"$(sluice connect openai)\"
  sluice connect openai --url https://llm.corp --key env:SLUICE_KEY
  sluice connect langchain > model.py

Exit codes:
  0  the lines are on standard output
  1  this version cannot serve that client; standard error says why
  2  an argument that cannot be used";

/// Below `sluice completions --help`.
pub const COMPLETIONS: &str = "\
Examples:
  source <(sluice completions bash)                                  in ~/.bashrc
  sluice completions zsh > \"${fpath[1]}/_sluice\"
  sluice completions fish > ~/.config/fish/completions/sluice.fish";

/// Below `sluice status --help`.
pub const STATUS: &str = "\
Examples:
  sluice status
  sluice status --url https://llm.corp --token-file /run/secrets/admin
  sluice status --json | jq .status.providers
  sluice status --ready

Exit codes:
  0  it serves, and all is as its files say
  1  no gateway answers there
  2  it cannot be asked this way: the address, or the admin token
  3  it is degraded or not ready; the output says why";

/// Below `sluice explain --help`.
pub const DECISION: &str = "\
The gateway decides as it would for the call, and sends nothing: whether the key may use the model, the route and its rule, each
tier's targets and how they stand, what was left out and why, the providers' keys, the plugins that would run, and what is tried again.
Routing plugins are named and not run, so they may order the targets otherwise.

Examples:
  sluice explain --key search-prod --model smart
  sluice explain --model smart --header 'x-tenant: eu' --stream
  sluice explain --key search-prod --body request.json --json | jq .targets

Exit codes:
  0  the call would be sent
  1  no gateway answers there
  2  the question cannot be asked this way
  3  the call would be refused; the output says why";

/// Below `sluice drain --help`.
pub const DRAIN: &str = "\
Calls under way go on to their end; new ones go to the other targets of their route. Where there is no other one they are refused with
503 `target_drained`. A restart of the gateway ends it too.

Examples:
  sluice drain openai/gpt-4o --for 30m
  sluice drain openai --for 2h
  sluice drain openai/gpt-4o --undo";

/// Below `sluice tail --help`.
pub const TAIL: &str = "\
Each line: time (UTC), ending and status, model and target, tokens in>out, total time, Sluice's own part of it, receipt, key, earlier
attempts with their reasons, error.

Examples:
  sluice tail
  sluice tail -n 200 --once
  sluice tail --json | jq 'select(.outcome != \"ok\")'";
