"""What any SDK says of a reply, in one form: `{"choices": [...], "usage": {...}}` or `{"error": {...}}`, or `{"raised": text}`.

A choice is `text`, `reasoning`, `refusal`, `calls` (name and parsed arguments, in order), `finish` and `state` (opaque reasoning state,
unwrapped where a translation wrapped it). The words are the judge's own; no dialect's are used here.
"""

import base64
import json

import jiter

# How each dialect's reason reads. What is not here stays as the provider's own word.
FINISHES = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "STOP": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "MAX_TOKENS": "length",
    "tool_calls": "calls",
    "function_call": "calls",
    "tool_use": "calls",
    "content_filter": "refused",
    "refusal": "refused",
    "SAFETY": "refused",
    "RECITATION": "refused",
    "BLOCKLIST": "refused",
    "PROHIBITED_CONTENT": "refused",
    "SPII": "refused",
    "IMAGE_SAFETY": "refused",
    "IMAGE_PROHIBITED_CONTENT": "refused",
    "MODEL_ARMOR": "refused",
    "pause_turn": "pause",
}

WRAPPED = b"sluice:1:"


def choice():
    return {"text": "", "reasoning": "", "refusal": "", "calls": [], "finish": None, "state": []}


def settle(found):
    """The rules that hold for every dialect: calls make a stop a wish for tools, a refusal is one whatever the reason says."""
    reason = found["finish"]
    finish = FINISHES.get(reason, reason) if reason else "stop"
    if finish == "stop" and found["calls"]:
        finish = "calls"
    if found["refusal"] and finish == "stop":
        finish = "refused"
    found["finish"] = finish
    return found


def arguments(source):
    """Parsed arguments; for what is no JSON object, what of it can be read."""
    if isinstance(source, dict):
        return source
    if source is None or not source.strip():
        return {}
    try:
        value = json.loads(source)
    except ValueError:
        return broken(source)
    return value if isinstance(value, dict) else {"arguments": source}


def broken(source):
    """What a limit cut: the source itself, since clients differ in what they make of it."""
    return {BROKEN: source}


BROKEN = "(broken)"


def readings(values):
    """All that the clients make of arguments: of broken ones, what is there of the object, or an object that holds the source."""
    if set(values) != {BROKEN}:
        return [values]
    source = values[BROKEN]
    try:
        partial = jiter.from_json(source.encode(), partial_mode=True)
    except ValueError:
        partial = {}
    return [values, {"arguments": source}, partial if isinstance(partial, dict) else {}]


def states(blob):
    """Opaque state as a list of none or one: the maker's inside a wrapping, the text itself where there is none.

    Base64 has two alphabets, and Gemini's client reads either: one of them is used here.
    """
    if not blob:
        return []
    blob = blob.replace("-", "+").replace("_", "/")
    try:
        plain = base64.b64decode(blob, validate=True)
    except ValueError:
        return [blob]
    if not plain.startswith(WRAPPED):
        return [blob]
    inner = json.loads(plain[len(WRAPPED) :])[3]
    try:
        # What chat providers say in several members is wrapped as they say it.
        detail = json.loads(inner)
        inner = detail.get("data") or detail.get("signature") if isinstance(detail, dict) else inner
    except ValueError:
        pass
    return states(inner)


def usage(inputs=0, cache_read=0, cache_write=0, output=0, reasoning=0):
    """From counts whose classes are disjoint."""
    return {"input": inputs, "cache_read": cache_read, "cache_write": cache_write, "output": output, "reasoning": reasoning}


def whole(prompt, cache_read, cache_write, completion, reasoning):
    """From a prompt and a completion that include their parts."""
    return usage(
        max(0, (prompt or 0) - (cache_read or 0) - (cache_write or 0)),
        cache_read or 0,
        cache_write or 0,
        max(0, (completion or 0) - (reasoning or 0)),
        reasoning or 0,
    )


def error(status, message):
    """`message`: the provider's own sentence; none where the client found no such thing and made one up."""
    return {"error": {"status": status, "message": message if isinstance(message, str) else None}}
