#!/bin/sh
# The first call: whole, then streamed.
set -eu

curl --fail --silent --show-error http://localhost:8080/v1/chat/completions \
  -H 'content-type: application/json' \
  -d '{"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}'
echo

curl --fail --silent --show-error --no-buffer http://localhost:8080/v1/chat/completions \
  -H 'content-type: application/json' \
  -d '{"model": "openai/gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Say hello."}]}'
