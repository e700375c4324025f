"""Replies as the official `anthropic` and `google-genai` clients see them, in the judge's form."""

import base64
import re

import anthropic
from google import genai
from google.genai import errors, types

from . import forms

# ---- Anthropic


def anthropic_client(url):
    return anthropic.Anthropic(api_key="dummy", base_url=url, max_retries=0, timeout=60)


def anthropic_failed(caught):
    body = caught.body if isinstance(caught.body, dict) else {}
    inner = body.get("error") if isinstance(body.get("error"), dict) else body
    return forms.error(getattr(caught, "status_code", None), inner.get("message"))


def messages(client, stream, model="m"):
    """The whole message, or what the client's own accumulator makes of a stream."""
    asked = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}
    if not stream:
        return messages_form(client.messages.create(**asked).to_dict(warnings=False))
    with client.messages.stream(**asked) as events:
        return messages_form(events.get_final_message().to_dict(warnings=False))


def messages_form(message):
    if message.get("type") == "error":
        return forms.error(None, str((message.get("error") or {}).get("message")))
    found = forms.choice()
    for block in message.get("content") or []:
        kind = block.get("type")
        if kind == "text":
            found["text"] += block["text"]
        elif kind == "thinking":
            found["reasoning"] += block["thinking"]
            found["state"] += forms.states(block.get("signature"))
        elif kind == "redacted_thinking":
            found["state"] += forms.states(block["data"])
        elif kind == "tool_use":
            found["calls"].append([block["name"], forms.arguments(block.get("input"))])
    found["finish"] = message.get("stop_reason")
    return {"choices": [forms.settle(found)], "usage": messages_usage(message.get("usage"))}


def messages_usage(counts):
    if not counts:
        return None
    thoughts = (counts.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return forms.usage(
        counts.get("input_tokens") or 0,
        counts.get("cache_read_input_tokens") or 0,
        counts.get("cache_creation_input_tokens") or 0,
        (counts.get("output_tokens") or 0) - thoughts,
        thoughts,
    )


# ---- Gemini


def gemini_client(url):
    options = types.HttpOptions(base_url=url, timeout=60_000, retry_options=types.HttpRetryOptions(attempts=1))
    return genai.Client(api_key="dummy", http_options=options)


def gemini_failed(caught):
    assert isinstance(caught, errors.APIError)
    return forms.error(caught.code, caught.message)


def generated(client, stream, model="m"):
    """The reply; of a stream, its chunks put together as the client's chats do it: part by part, the last usage and reason standing."""
    if not stream:
        replies = [client.models.generate_content(model=model, contents="hi")]
    else:
        replies = list(client.models.generate_content_stream(model=model, contents="hi"))
    choices, counts, blocked = {}, None, None
    for reply in replies:
        counts = reply.usage_metadata or counts
        if reply.prompt_feedback is not None and reply.prompt_feedback.block_reason is not None:
            blocked = {**forms.choice(), "finish": "SAFETY", "refusal": reply.prompt_feedback.block_reason_message or ""}
        for candidate in reply.candidates or []:
            found = choices.setdefault(candidate.index or 0, forms.choice())
            for part in (candidate.content and candidate.content.parts) or []:
                gemini_part(found, part)
            if candidate.finish_reason is not None:
                found["finish"] = candidate.finish_reason.value
    if blocked and not choices:
        choices[0] = blocked
    for found in choices.values():
        # The client cannot tell a stream that broke off from one that ended.
        found["finish"] = found["finish"] or ("cut" if stream else None)
        forms.settle(found)
    return {"choices": [found for _, found in sorted(choices.items())], "usage": gemini_usage(counts)}


def gemini_part(found, part):
    if part.function_call is None and part.text is None:
        # What only Gemini has; its state goes with it.
        return
    call = part.function_call
    if call is not None and (call.partial_args or call.name is None):
        partial(found, call)
    elif call is not None:
        found["calls"].append([call.name, call.args or {}])
    elif part.text is not None:
        found["reasoning" if part.thought else "text"] += part.text
    if part.thought_signature:
        found["state"] += forms.states(base64.b64encode(part.thought_signature).decode())


def partial(found, call):
    """Vertex streams arguments leaf by leaf, each with its JSON path; the client leaves it to its user to put them together."""
    if call.name:
        found["calls"].append([call.name, {}])
    for leaf in call.partial_args or []:
        values = [leaf.string_value, leaf.number_value, leaf.bool_value]
        value = next((value for value in values if value is not None), None)
        keys = [int(index) if index else name for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", leaf.json_path)]
        into = found["calls"][-1][1]
        for key, following in zip(keys, keys[1:]):
            into = at(into, key, [] if isinstance(following, int) else {})
        last = at(into, keys[-1], "" if isinstance(value, str) else None)
        into[keys[-1]] = last + value if isinstance(value, str) else value


def at(into, key, empty):
    if isinstance(into, list):
        into += [empty] * (key + 1 - len(into))
        return into[key]
    return into.setdefault(key, empty)


def gemini_usage(counts):
    if counts is None:
        return None
    read = counts.cached_content_token_count or 0
    prompt = (counts.prompt_token_count or 0) + (counts.tool_use_prompt_token_count or 0)
    return forms.usage(max(0, prompt - read), read, 0, counts.candidates_token_count or 0, counts.thoughts_token_count or 0)
