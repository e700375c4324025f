"""Copies the recorded chat-completions cases from a folder of recordings into one .jsonl file per provider beside this script, and the
recorded lists of models into lists/models.jsonl.

usage: copy.py FOLDER        (FOLDER holds index.jsonl and PROVIDER/OPERATION/SLUG.json)

Kept of each case: where it comes from and under which licence, the request's body, and the response as it was recorded.
"""

import collections
import json
import pathlib
import sys


# A longer list shows nothing that the others do not.
LONGEST_LIST = 100_000


def row(folder, path):
    case = json.loads((folder / path).read_text())
    request, response = case["request"], case["response"]
    if case["operation"] == "models":
        if request["method"] != "GET" or not request["url"].endswith("/models") or len(response["body"]) > LONGEST_LIST:
            return None
    elif request.get("missing") or not isinstance(request.get("body"), dict) or "body" not in response:
        return None
    out = {"name": path.removesuffix(".json")}
    for field in ("source", "commit", "licence", "provider", "operation", "model", "tags", "fidelity", "edits"):
        if case.get(field):
            out[field] = case[field]
    out["request"] = request["body"]
    out["response"] = {
        key: response[key] for key in ("status", "headers", "body", "chunk_lengths") if response.get(key) is not None
    }
    return out


def write(file, rows):
    rows.sort(key=lambda case: case["name"])
    text = "".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n" for case in rows)
    file.write_text(text)
    print(f"{file.name}: {len(rows)} cases, {len(text.encode())} bytes")


def main():
    folder = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    files = collections.defaultdict(list)
    lists = []
    for line in (folder / "index.jsonl").read_text().splitlines():
        entry = json.loads(line)
        chat = entry["api"] == "openai-chat" and entry["operation"] in ("chat", "chat-stream")
        if chat or entry["operation"] == "models":
            found = row(folder, entry["path"])
            if found:
                (files[entry["provider"]] if chat else lists).append(found)
    for provider, rows in files.items():
        write(here / f"{provider}.jsonl", rows)
    (here / "lists").mkdir(exist_ok=True)
    write(here / "lists" / "models.jsonl", lists)


if __name__ == "__main__":
    main()
