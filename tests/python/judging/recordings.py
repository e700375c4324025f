"""The recorded cases of the four dialects, from `tests/wire`."""

import json
import pathlib

FOLDERS = (
    ("openai-chat", "."),
    ("openai-chat", "replies"),
    ("openai-responses", "responses"),
    ("anthropic", "anthropic"),
    ("gemini", "gemini"),
)

# Whose images were cut by the fixture's authors in a way that no base64 reader takes.
CUT_MEDIA = ("openai/responses-stream/ai--openai-image-generation-tool-1-chunks--0-2be62a",)

# Vertex writes enumerations as numbers where it is asked to, which its official client never does and cannot read.
FINISHES = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}


def load(folder):
    """Every case as `name`, `dialect`, `stream`, `path`, `tags`, `request` (a text; none where not kept) and `reply`."""
    for dialect, name in FOLDERS:
        for file in sorted((pathlib.Path(folder) / name).glob("*.jsonl")):
            for line in file.read_text().splitlines():
                yield case(dialect, json.loads(line))


def case(dialect, row):
    response = row["response"]
    stream = row["operation"].endswith("-stream")
    headers = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
    default = "text/event-stream" if stream and response["status"] == 200 else "application/json"
    return {
        "name": row["name"],
        "provider": row["provider"],
        "dialect": dialect,
        "stream": stream,
        "path": row.get("path", ""),
        "tags": row.get("tags", []),
        "request": row["request"] if isinstance(row["request"], dict) else None,
        "reply": {
            "status": response["status"],
            "content_type": headers.get("content-type", default),
            "body": response["body"],
        },
    }


def readable(case):
    """The reply for the direct reading, without what the dialect's own client cannot read of it."""
    reply = case["reply"]
    if case["dialect"] == "gemini" and "enum-encoding" in case["path"]:
        body = json.loads(reply["body"])
        for candidate in body.get("candidates", []):
            reason = candidate.get("finishReason")
            candidate["finishReason"] = FINISHES.get(reason, reason)
            candidate.pop("safetyRatings", None)
        counts = body.get("usageMetadata", {})
        body["usageMetadata"] = {name: counts[name] for name in counts if name.endswith("TokenCount")}
        return {**reply, "body": json.dumps(body)}
    if case["dialect"] == "anthropic" and "[DONE]" in reply["body"]:
        # OpenRouter ends Anthropic's streams as it ends OpenAI's.
        return {**reply, "body": reply["body"].replace("data: [DONE]", ": end")}
    return reply
