"""Copies the recorded cases that the tests use from a folder of recordings into .jsonl files beside this script.

usage: copy.py FOLDER        (FOLDER holds index.jsonl and PROVIDER/OPERATION/SLUG.json)

Chat-completions cases go to PROVIDER.jsonl, the other dialects' to a folder each, as do embeddings, token counts and lists of models.
Kept of each case: where it comes from and under which licence, the request's path, headers and body, and the response as it was recorded.
"""

import collections
import json
import pathlib
import sys
from urllib.parse import urlsplit

# A longer list shows nothing that the others do not.
LONGEST_LIST = 100_000

# Where the cases of an API and its operations go; "" is beside this script.
FOLDERS = {
    ("openai-chat", "chat"): "",
    ("openai-chat", "chat-stream"): "",
    ("anthropic-messages", "chat"): "anthropic",
    ("anthropic-messages", "chat-stream"): "anthropic",
    ("openai-responses", "responses"): "responses",
    ("openai-responses", "responses-stream"): "responses",
    ("gemini-generate", "chat"): "gemini",
    ("gemini-generate", "chat-stream"): "gemini",
    ("openai-embeddings", "embeddings"): "embeddings",
    ("gemini-embed", "embeddings"): "embeddings",
    ("vertex-predict", "embeddings"): "embeddings",
    ("anthropic-messages", "count-tokens"): "counts",
    ("gemini-count", "count-tokens"): "counts",
    ("openai-responses", "responses-input-tokens"): "counts",
}


def row(path, case, folder):
    request, response = case["request"], case["response"]
    if "body" not in response:
        return None
    out = {"name": path.removesuffix(".json")}
    fields = ["source", "commit", "licence", "provider", "operation", "model", "tags", "fidelity", "edits"]
    # The oldest files have one API each and no need to say it.
    if folder not in ("", "lists"):
        fields.insert(4, "api")
        out["path"] = path_of(request["url"])
        if request.get("headers"):
            out["request_headers"] = request["headers"]
    for field in fields:
        if case.get(field):
            out[field] = case[field]
    out["request"] = request.get("body")
    out["response"] = {
        key: response[key] for key in ("status", "headers", "body", "chunk_lengths") if response.get(key) is not None
    }
    return out


def path_of(url):
    parts = urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


def listed(path, case):
    request = case["request"]
    if request["method"] != "GET" or not request["url"].endswith("/models"):
        return None
    found = row(path, case, "lists")
    return found if found and len(found["response"]["body"]) <= LONGEST_LIST else None


def chosen(entry, case):
    """The folder for a case and its line; none for cases that nothing here uses."""
    path, key = entry["path"], (entry["api"], entry["operation"])
    if entry["operation"] == "models":
        return "lists/models", listed(path, case)
    if key not in FOLDERS:
        return None, None
    folder = FOLDERS[key]
    asked = isinstance(case["request"].get("body"), dict)
    if not asked and folder == "":
        # Its source kept only what the provider said.
        folder = "replies"
    return f"{folder}/{entry['provider']}".lstrip("/"), row(path, case, folder)


def write(file, rows):
    rows.sort(key=lambda case: case["name"])
    text = "".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n" for case in rows)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return len(text.encode())


def main():
    folder = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    files = collections.defaultdict(list)
    for line in (folder / "index.jsonl").read_text().splitlines():
        entry = json.loads(line)
        name, found = chosen(entry, json.loads((folder / entry["path"]).read_text()))
        if found:
            files[name].append(found)
    for name, rows in sorted(files.items()):
        print(f"{name}: {len(rows)} cases, {write(here / f'{name}.jsonl', rows)} bytes")


if __name__ == "__main__":
    main()
