"""Replies in OpenAI's two dialects as the official `openai` client sees them, in the judge's form."""

import json

import openai

from . import forms


def client(url):
    return openai.OpenAI(api_key="dummy", base_url=f"{url}/v1", max_retries=0, timeout=60)


def failed(caught):
    body = caught.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    message = body.get("message") if isinstance(body, dict) else None
    return forms.error(getattr(caught, "status_code", None), message)


# ---- chat

QUESTION = [{"role": "user", "content": "hi"}]


def chat(client, stream, model="m"):
    """The whole reply, or what the client's own accumulator makes of a stream."""
    if not stream:
        return chat_form(client.chat.completions.create(model=model, messages=QUESTION).to_dict(warnings=False))
    with client.chat.completions.stream(model=model, messages=QUESTION, stream_options={"include_usage": True}) as events:
        # Not the final completion: asking for that raises where a limit cut the answer.
        events.until_done()
        return chat_form(events.current_completion_snapshot.to_dict(warnings=False))


def chat_form(completion):
    if completion.get("error") or completion.get("object") == "error":
        return forms.error(None, sentence(completion.get("error") or completion))
    for choice in completion.get("choices") or []:
        if choice.get("error"):
            return forms.error(None, sentence(choice["error"]))
    choices = [chat_choice(choice) for choice in sorted(completion.get("choices") or [], key=lambda one: one.get("index", 0))]
    return {"choices": choices, "usage": chat_usage(completion)}


def sentence(error):
    return error.get("message") if isinstance(error, dict) else error


def chat_choice(choice):
    # Azure leaves out the message that it filtered.
    message, found = choice.get("message") or {}, forms.choice()
    add_content(found, message.get("content"))
    add_thoughts(found, message)
    found["state"] += google_state(message)
    found["refusal"] = message.get("refusal") or ""
    for call in message.get("tool_calls") or []:
        found["calls"].append(chat_call(call))
        found["state"] += google_state(call)
    old = message.get("function_call")
    if old and old.get("name"):
        found["calls"].append([old["name"], forms.arguments(old["arguments"])])
    found["finish"] = choice.get("finish_reason")
    return forms.settle(found)


def google_state(holder):
    """Gemini's own place for it on OpenAI's road."""
    return forms.states(((holder.get("extra_content") or {}).get("google") or {}).get("thought_signature"))


def chat_call(call):
    if call.get("type") == "custom":
        return [call["custom"]["name"], {"input": call["custom"]["input"]}]
    return [call["function"]["name"], forms.arguments(call["function"].get("arguments"))]


def add_content(found, content):
    """Text, a list of parts (Mistral's thoughts among them), or the object that Cloudflare says for a schema."""
    if isinstance(content, dict):
        found["text"] += json.dumps(content)
        return
    if isinstance(content, str):
        found["text"] += content
        return
    for part in content or []:
        if part.get("type") == "thinking":
            thought = part["thinking"]
            found["reasoning"] += thought if isinstance(thought, str) else "".join(item.get("text", "") for item in thought)
        else:
            found["text"] += part.get("text") or ""


def add_thoughts(found, message):
    details = [detail for detail in message.get("reasoning_details") or [] if isinstance(detail, dict)]
    plain = message.get("reasoning_content") or message.get("reasoning")
    if not plain:
        plain = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    found["reasoning"] += plain
    for detail in details:
        found["state"] += forms.states(detail.get("data") or detail.get("signature"))


def chat_usage(completion):
    counts = completion.get("usage") or (completion.get("x_groq") or {}).get("usage")
    if not counts or (counts.get("prompt_tokens") is None and counts.get("completion_tokens") is None):
        return None
    prompt, completed = counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0
    inside, outside = counts.get("prompt_tokens_details") or {}, counts.get("completion_tokens_details") or {}
    read = most(
        inside.get("cached_tokens"),
        counts.get("prompt_cache_hit_tokens"),
        counts.get("cache_read_input_tokens"),
        counts.get("cached_tokens"),
        counts.get("num_cached_tokens"),
    )
    write = most(inside.get("cache_write_tokens"), counts.get("cache_creation_input_tokens"))
    reasoning = most(outside.get("reasoning_tokens"), counts.get("reasoning_tokens"))
    if reasoning and counts.get("total_tokens") == prompt + completed + reasoning:
        # xAI counts thoughts beside the completion, and only the total tells.
        completed += reasoning
    return forms.whole(prompt, read, write, completed, reasoning)


def most(*counts):
    return max((count for count in counts if isinstance(count, (int, float))), default=0)


def chat_folded(client, ended):
    """A provider's raw stream: the client's chunks, put together here, since its accumulator takes OpenAI's own ways for granted.

    `ended`: the stream said that it was over (`[DONE]`).
    """
    fold = Fold()
    for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
        chunk = chunk.to_dict(warnings=False)
        fold.usage = {key: chunk[key] for key in ("usage", "x_groq") if chunk.get(key)} or fold.usage
        for choice in chunk.get("choices") or []:
            if choice.get("error"):
                return forms.error(None, sentence(choice["error"]))
            fold.add(choice)
    return fold.form(ended)


class Fold:
    """Chunks of any provider's spelling, by choice."""

    def __init__(self):
        self.choices = {}
        self.usage = {}

    def add(self, choice):
        found = self.choices.setdefault(choice.get("index") or 0, {"message": {"tool_calls": []}, "slots": {}, "finish_reason": None})
        delta, message = choice.get("delta") or {}, found["message"]
        for name in ("reasoning_content", "reasoning", "refusal"):
            if isinstance(delta.get(name), str):
                message[name] = message.get(name, "") + delta[name]
        content = delta.get("content")
        if content:
            message.setdefault("content", []).append(content)
        message.setdefault("reasoning_details", []).extend(delta.get("reasoning_details") or [])
        for call in delta.get("tool_calls") or []:
            self.call(found, call)
        old = delta.get("function_call")
        if old:
            slot = message.setdefault("function_call", {"name": "", "arguments": ""})
            slot["name"] += old.get("name") or ""
            slot["arguments"] += old.get("arguments") or ""
        found["finish_reason"] = choice.get("finish_reason") or found["finish_reason"]

    @staticmethod
    def call(found, piece):
        calls, slots = found["message"]["tool_calls"], found["slots"]
        # Without an index an id begins a call.
        key = piece.get("index") if piece.get("index") is not None else piece.get("id") or len(calls) - 1
        if key not in slots:
            slots[key] = {"function": {"name": "", "arguments": ""}}
            calls.append(slots[key])
        function, told = slots[key]["function"], piece.get("function") or {}
        function["name"] = function["name"] or told.get("name") or ""
        more = told.get("arguments")
        function["arguments"] += more if isinstance(more, str) else json.dumps(more) if more else ""
        slots[key].update({name: piece[name] for name in ("extra_content",) if piece.get(name)})

    def form(self, ended):
        choices = []
        for _, found in sorted(self.choices.items()):
            message = found["message"]
            contents = message.pop("content", [])
            folded = {"message": message, "finish_reason": found["finish_reason"]}
            one = chat_choice(folded)
            for content in contents:
                add_content(one, content)
            if not found["finish_reason"] and not ended:
                one["finish"] = "cut"
            choices.append(one)
        return {"choices": choices, "usage": chat_usage(self.usage)}


# ---- Responses


def responses(client, stream, model="m"):
    if not stream:
        return responses_form(client.responses.create(model=model, input="hi").to_dict(warnings=False))
    final = None
    with client.responses.stream(model=model, input="hi") as events:
        for event in events:
            if event.type == "error":
                return forms.error(None, getattr(event, "message", None) or str(event.to_dict(warnings=False)))
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = event.response.to_dict(warnings=False)
    return responses_form(final) if final else {"choices": [cut()], "usage": None}


def cut():
    return {**forms.choice(), "finish": "cut"}


def responses_folded(client):
    """A provider's raw stream, item by item, for providers whose last event does not repeat what was said."""
    final, items = None, {}
    for event in client.responses.create(model="m", input="hi", stream=True):
        event = event.to_dict(warnings=False)
        kind = event.get("type")
        if kind == "error":
            inner = event.get("error") or event
            return forms.error(None, inner.get("message") or json.dumps(inner))
        if kind == "response.output_item.done":
            items[event.get("output_index")] = event["item"]
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            final = event["response"]
    if final is None:
        return {"choices": [cut()], "usage": None}
    if not final.get("output"):
        final["output"] = [item for _, item in sorted(items.items())]
    for index, item in enumerate(final["output"]):
        # Some encrypt their state anew for the last event; what was said first is as good.
        if "encrypted_content" in items.get(index, {}):
            item["encrypted_content"] = items[index]["encrypted_content"]
    return responses_form(final)


def responses_form(response):
    if response.get("status") in ("queued", "in_progress"):
        return {"raised": "the response is still being made"}
    if response.get("status") == "failed" or response.get("error"):
        told = response.get("error") or {}
        return forms.error(None, told.get("message") or told.get("code") or "failed")
    found = forms.choice()
    for item in response.get("output") or []:
        responses_item(found, item)
    reason = (response.get("incomplete_details") or {}).get("reason") if response.get("status") == "incomplete" else "stop"
    found["finish"] = reason or "incomplete"
    return {"choices": [forms.settle(found)], "usage": responses_usage(response.get("usage"))}


def responses_item(found, item):
    kind, name = item.get("type"), item.get("name")
    if item.get("namespace"):
        name = f"{item['namespace']}__{name}"
    if kind == "message":
        for part in item.get("content") or []:
            found["text"] += part.get("text") or ""
            found["refusal"] += part.get("refusal") or ""
    elif kind == "function_call":
        found["calls"].append([name, forms.arguments(item.get("arguments"))])
    elif kind == "custom_tool_call":
        found["calls"].append([name, {"input": item.get("input") or ""}])
    elif kind == "reasoning":
        # The thoughts themselves where they are told, else what sums them up.
        whole = "".join(part.get("text") or "" for part in item.get("content") or [])
        found["reasoning"] += whole or "".join(part.get("text") or "" for part in item.get("summary") or [])
        found["state"] += forms.states(item.get("encrypted_content"))


def responses_usage(counts):
    if not counts:
        return None
    inside, outside = counts.get("input_tokens_details") or {}, counts.get("output_tokens_details") or {}
    return forms.whole(
        counts.get("input_tokens"),
        inside.get("cached_tokens"),
        inside.get("cache_write_tokens"),
        counts.get("output_tokens"),
        outside.get("reasoning_tokens"),
    )
