"""Copies the recorded chat-completions cases from a folder of recordings into one .jsonl file per provider beside this script.

usage: copy.py FOLDER        (FOLDER holds index.jsonl and PROVIDER/OPERATION/SLUG.json)

Kept of each case: where it comes from and under which licence, the request's body, and the response as it was recorded.
"""

import collections
import json
import pathlib
import sys


def row(folder, path):
    case = json.loads((folder / path).read_text())
    request, response = case["request"], case["response"]
    if request.get("missing") or not isinstance(request.get("body"), dict) or "body" not in response:
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


def main():
    folder = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    files = collections.defaultdict(list)
    for line in (folder / "index.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["api"] == "openai-chat" and entry["operation"] in ("chat", "chat-stream"):
            found = row(folder, entry["path"])
            if found:
                files[entry["provider"]].append(found)
    for provider, rows in sorted(files.items()):
        rows.sort(key=lambda case: case["name"])
        text = "".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n" for case in rows)
        (here / f"{provider}.jsonl").write_text(text)
        print(f"{provider}: {len(rows)} cases, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
