"""Takes the schemas that the tests need out of OpenAI's API description and writes them compactly beside this script.

usage: extract.py DOCUMENT        (DOCUMENT is the description as JSON, possibly gzipped)

What only people read (descriptions, examples, vendor extensions) is left out; nothing else is changed.
"""

import gzip
import json
import pathlib
import sys

ROOTS = (
    "CreateChatCompletionRequest",
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateResponse",
    "Response",
    "ResponseStreamEvent",
    "CreateEmbeddingRequest",
    "CreateEmbeddingResponse",
    "ErrorResponse",
)
FOR_PEOPLE = ("description", "example", "examples", "title", "externalDocs", "deprecated")


def compact(value, names=False):
    """`names`: the keys are names of fields and not words of the schema language."""
    if isinstance(value, list):
        return [compact(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if names or not (key.startswith("x-") or key in FOR_PEOPLE)}
    return {key: compact(item, not names and key in ("properties", "patternProperties", "mapping")) for key, item in kept.items()}


def references(value):
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item.rsplit("/", 1)[1]
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def main():
    raw = pathlib.Path(sys.argv[1]).read_bytes()
    document = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    found, wanted = {}, list(ROOTS)
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = compact(document["components"]["schemas"][name])
            wanted += references(found[name])
    info = {key: document["info"][key] for key in ("title", "version", "license")}
    lines = [f"{json.dumps(name)}:{json.dumps(found[name], separators=(',', ':'))}" for name in sorted(found)]
    text = f'{{"openapi":{json.dumps(document["openapi"])},"info":{json.dumps(info)},"components":{{"schemas":{{\n' + ",\n".join(lines) + "\n}}}\n"
    (pathlib.Path(__file__).parent / "openai.json").write_text(text)
    print(f"{len(found)} schemas, {len(text)} bytes")


if __name__ == "__main__":
    main()
