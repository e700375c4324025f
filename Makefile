# Thin names over cargo. `make run` and `make test` do everything on a machine with Rust, a C compiler and Python 3.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PLUGINS := deny-words rate-limit-by-header response-cache route-by-complexity route-cheapest-capable route-rules usage-log
GUESTS := nop reads-all delta-nop response-guard delta-guard answers hostile tagger finisher kv-probe
WASM := target/wasm32-wasip2/plugin
CARGO := cargo
HOST := -p sluice-dialect -p sluice-sandbox -p sluice -p sluice-sdk

.PHONY: help run check test lint fmt unit wasm plugins guests build bench fuzz venv node agents go release deny clean

help:
	@sed -n 's/^## //p' Makefile

## make run      build host and plugins, serve on 127.0.0.1:8080
run: build plugins
	target/release/sluice

## make check    formatting, lints, unit tests: about a minute when warm
check: fmt lint unit

## make test     every check a contributor needs
test: check build plugins guests venv node agents go
	$(CARGO) test --release -p sluice-tests $(addprefix -p ,$(PLUGINS)) --no-fail-fast

## make lint     clippy, warnings are errors
lint: wasm
	$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --profile plugin --locked --target wasm32-wasip2 $(addprefix -p ,$(PLUGINS) $(GUESTS)) -- -D warnings

fmt:
	$(CARGO) fmt --all --check

unit:
	$(CARGO) test --release --locked $(HOST)

build:
	$(CARGO) build --release --locked -p sluice -p sluice-tests

wasm:
	@rustup target list --installed 2>/dev/null | grep -q '^wasm32-wasip2$$' || rustup target add wasm32-wasip2

## make plugins  the shipped plugins, into target/plugins
plugins: wasm
	$(CARGO) build --profile plugin --locked --target wasm32-wasip2 $(addprefix -p ,$(PLUGINS))
	@mkdir -p target/plugins
	@for name in $(PLUGINS); do cp $(WASM)/$${name//-/_}.wasm target/plugins/.$$name.tmp && mv target/plugins/.$$name.tmp target/plugins/$$name.wasm; done

guests: wasm
	$(CARGO) build --profile plugin --locked --target wasm32-wasip2 $(addprefix -p ,$(GUESTS))
	@mkdir -p target/guests
	@for name in $(GUESTS); do cp $(WASM)/$${name//-/_}.wasm target/guests/$$name.wasm; done

## make bench    speed against nginx in one run; needs nginx and wrk
bench: build plugins guests
	target/release/sluice-bench

## make fuzz     damaged recordings against every dialect, ten minutes each (SECONDS=600)
fuzz: build
	target/release/fuzz-dialects $(or $(SECONDS),600)

# Three environments, because LlamaIndex and the frameworks want other versions of the same libraries.
venv: .venv/.done .venv-frameworks/.done .venv-llama/.done
.venv/.done: tests/python/requirements.txt
.venv-frameworks/.done: tests/python/requirements-frameworks.txt
.venv-llama/.done: tests/python/requirements-llama.txt
.venv/.done .venv-frameworks/.done .venv-llama/.done:
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Without npm the tests that need Node say that they were skipped.
node: tests/node/node_modules/.done
tests/node/node_modules/.done: tests/node/package.json tests/node/package-lock.json
	@if command -v npm >/dev/null; then cd tests/node && npm ci --silent && touch node_modules/.done; \
	else echo "no npm: tests that need Node will be skipped"; fi

# Coding agents, 870 MB: in a folder of their own, so that who needs Node alone need not have them.
agents: tests/agents/node_modules/.done
tests/agents/node_modules/.done: tests/agents/package.json tests/agents/package-lock.json
	@if command -v npm >/dev/null; then cd tests/agents && npm ci --silent && touch node_modules/.done; \
	else echo "no npm: tests that need coding agents will be skipped"; fi

# Without Go the tests that need it say that they were skipped. Go checks what it downloads against go.sum.
go: target/go/openai-client
target/go/openai-client: tests/go/main.go tests/go/go.mod tests/go/go.sum
	@cd tests/go && go build -trimpath -buildvcs=false -o ../../$@ . || echo "no Go 1.26: tests that need it will be skipped"

## make release  what is given to others: one small binary, target/dist/sluice; takes many minutes
release:
	$(CARGO) build --profile dist --locked -p sluice
	@ls -lh target/dist/sluice

## make deny     licences, bans and sources of all dependencies (needs cargo-deny)
deny:
	cargo deny --offline check licenses bans sources

clean:
	$(CARGO) clean
