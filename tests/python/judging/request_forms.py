"""What a request says, in one form for all dialects, read here from the JSON and by no code of Sluice's.

`system` (texts), `turns` (`[role, items]` of `user` and `assistant`; neighbours of one role are one turn), `tools`, `choice`, `params`,
`output`. Items are `["text", text]`, `["media", kind, content]`, `["call", ref, name, arguments]` and `["result", ref, value, error]`. A
`ref` counts calls: which call a result answers shows whatever the ids are. `ids` has them as they were said. Reasoning and what only one
dialect has (tools that the provider runs) are not in the form: they are losses between dialects by rule.
"""

import base64
import hashlib
import json

from . import forms


class Form:
    def __init__(self):
        self.system, self.turns, self.tools, self.params = [], [], {}, {}
        self.choice, self.output = None, None
        self.ids = []
        # Calls by what results may name, and those that were answered.
        self.waiting, self.answered = {}, set()

    def add(self, role, item):
        if item[0] == "text" and not item[1]:
            return
        if not self.turns or self.turns[-1][0] != role:
            self.turns.append([role, []])
        self.turns[-1][1].append(item)

    def text(self, role, text):
        if role in ("system", "developer"):
            self.system += [text] if text else []
        else:
            self.add(role, ["text", text])

    def call(self, identity, name, source):
        self.ids.append(identity)
        self.waiting.setdefault(identity if identity is not None else name, []).append(len(self.ids) - 1)
        self.add("assistant", ["call", len(self.ids) - 1, name, forms.arguments(source)])

    def result(self, key, text, error=False, media=()):
        """`key`: what the result says it answers; the oldest call without a result where it says nothing."""
        refs = range(len(self.ids)) if key is None else self.waiting.get(key, [None])
        ref = next((ref for ref in refs if ref not in self.answered), refs[-1] if refs else None)
        self.answered.add(ref)
        self.add("user", ["result", ref, parsed(text), bool(error)])
        for item in media:
            self.add("user", item)

    def tool(self, name, description, schema):
        self.tools[name] = [description or "", plain(schema)]

    def param(self, name, value):
        if value is not None and value != []:
            self.params[name] = value


def parsed(text):
    """A result that is a JSON object, whatever its spelling; else the text."""
    try:
        value = text if isinstance(text, dict) else json.loads(text)
    except ValueError:
        return text
    return unboxed(value) if isinstance(value, dict) else text


def unboxed(value):
    """Gemini has no results but objects; a text stands in one with one of these members."""
    inner = next((value[name] for name in ("result", "output", "error") if list(value) == [name]), None)
    return inner if isinstance(inner, str) else value or ""


def plain(schema):
    """A schema with the spellings of types made one; no schema is that of an empty object."""
    if schema in (None, {}):
        return {"type": "object", "properties": {}}
    return lowered(schema)


def lowered(value):
    if isinstance(value, list):
        return [lowered(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = ((SNAKES.get(key, key), item) for key, item in value.items() if key not in ("propertyOrdering", "property_ordering"))
    return {key: lower_type(item) if key == "type" else lowered(item) for key, item in named}


# Gemini's own words in other cases; the order of properties is in no one else's schemas.
SNAKES = {"any_of": "anyOf", "max_items": "maxItems", "min_items": "minItems"}


# Vertex takes types by their numbers.
NUMBERED = (None, "string", "number", "integer", "boolean", "array", "object")


def lower_type(item):
    if isinstance(item, int) and 0 < item < len(NUMBERED):
        return NUMBERED[item]
    return item.lower() if isinstance(item, str) else lowered(item)


def media(kind, content, mime=""):
    """Bytes by their hash, addresses as they are. A document that is plain text is that text."""
    if content and content.startswith("data:") and "," in content:
        head, content = content.split(",", 1)
        mime = mime or head[5:]
    if mime.startswith("text/") and content and "://" not in content[:12]:
        return ["text", base64.b64decode(content).decode()]
    if content and "://" not in content[:12]:
        # The end of shortened base64 may be spelt in two ways.
        content = hashlib.sha1(content.replace("-", "+").replace("_", "/").rstrip("=").encode()).hexdigest()
    return ["media", kind, content]


# ---- OpenAI chat


def chat(body):
    form = Form()
    for message in body.get("messages") or []:
        chat_message(form, message)
    for tool in body.get("tools") or []:
        function = tool.get(tool.get("type", "function")) or {}
        if tool.get("type", "function") in ("function", "custom") and function:
            form.tool(function["name"], function.get("description"), text_schema(tool) or function.get("parameters"))
    for function in body.get("functions") or []:
        form.tool(function["name"], function.get("description"), function.get("parameters"))
    form.choice = openai_choice(body.get("tool_choice"))
    sampling(form, body, max_tokens=first(body, "max_completion_tokens", "max_tokens"), stop=listed(body.get("stop")))
    for name in ("seed", "n", "presence_penalty", "frequency_penalty"):
        form.param(name, body.get(name) if body.get(name) != DEFAULTS.get(name) else None)
    form.param("thinking", thinking(body.get("reasoning_effort")))
    form.output = openai_output(body.get("response_format"), "json_schema")
    return form


def text_schema(tool):
    """A tool that takes free text is, for others, a function with one text."""
    return TEXT_TOOL if tool.get("type") == "custom" else None


TEXT_TOOL = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


# What is as good as not said.
DEFAULTS = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0}


def first(body, *names):
    return next((body[name] for name in names if body.get(name) is not None), None)


def listed(value):
    return [value] if isinstance(value, str) else value


def thinking(effort):
    """Whether the model is to think; how much is said in words by some and in tokens by others."""
    return effort and ("off" if str(effort).lower() == "none" else "on")


def sampling(form, body, max_tokens, stop):
    form.param("max_tokens", max_tokens)
    form.param("stop", stop)
    for name in ("temperature", "top_p", "top_k"):
        form.param(name, body.get(name))


def chat_message(form, message):
    role = message.get("role")
    if role in ("tool", "function"):
        text, found = chat_content(message.get("content"))
        form.result(message.get("tool_call_id") or message.get("name"), text, media=found)
        return
    content = message.get("content")
    for part in [content] if isinstance(content, str) else content or []:
        if isinstance(part, str):
            form.text(role, part)
        elif (item := chat_part(part)) is not None:
            form.add(role, item) if item[0] == "media" else form.text(role, item[1])
    if message.get("refusal"):
        form.text(role, message["refusal"])
    for call in message.get("tool_calls") or []:
        if call.get("custom"):
            form.call(call.get("id"), call["custom"]["name"], {"input": call["custom"]["input"]})
        else:
            form.call(call.get("id"), call["function"]["name"], call["function"].get("arguments"))
    old = message.get("function_call")
    if old:
        form.call(None, old["name"], old["arguments"])


def chat_content(content):
    if isinstance(content, str) or content is None:
        return content or "", []
    items = [item for item in map(chat_part, content) if item]
    return "".join(item[1] for item in items if item[0] == "text"), [item for item in items if item[0] == "media"]


def chat_part(part):
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return ["text", part.get("text") or part.get("refusal") or ""]
    if kind == "image_url":
        image = part["image_url"]
        return media("image", image if isinstance(image, str) else image["url"])
    if kind == "input_audio":
        audio = part["input_audio"]
        return media("audio", audio if isinstance(audio, str) else audio["data"])
    if kind in ("video_url", "audio_url"):
        return media(kind.removesuffix("_url"), part[kind]["url"])
    if kind in ("file", "document_url"):
        file = part.get("file") or {"file_data": part.get("document_url")}
        return media("file", file.get("file_data") or file.get("file_id"))
    return None


def openai_choice(choice):
    if not isinstance(choice, dict):
        return {"any": "required"}.get(choice, choice)
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or choice
        names = sorted((tool.get("function") or tool).get("name") or "" for tool in allowed["tools"])
        return [allowed.get("mode", "auto"), names]
    named = choice.get("function") or choice.get("custom") or choice
    return ["required", [named["name"]]] if named.get("name") else None


def openai_output(form, inside):
    if not form or form.get("type") in (None, "text"):
        return None
    if form["type"] == "json_object":
        return "json"
    return plain((form.get(inside) or form).get("schema")) if form["type"] == "json_schema" else None


# ---- Responses


def responses(body):
    form = Form()
    if body.get("instructions"):
        form.text("system", body["instructions"])
    items = body.get("input")
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items or []:
        responses_item(form, item)
    for tool in body.get("tools") or []:
        responses_tool(form, tool, "")
    form.choice = openai_choice(body.get("tool_choice"))
    sampling(form, body, max_tokens=body.get("max_output_tokens"), stop=None)
    form.param("thinking", thinking((body.get("reasoning") or {}).get("effort")))
    form.output = openai_output((body.get("text") or {}).get("format"), "json_schema")
    return form


def responses_tool(form, tool, namespace):
    if tool.get("type") == "namespace":
        for inner in tool.get("tools") or []:
            responses_tool(form, inner, f"{tool['name']}__")
    elif tool.get("type") in ("function", "custom"):
        inner = tool.get("function") or tool
        form.tool(namespace + inner["name"], inner.get("description"), text_schema(tool) or inner.get("parameters"))


def responses_item(form, item):
    kind = item.get("type") or "message"
    name = f"{item['namespace']}__{item['name']}" if item.get("namespace") else item.get("name")
    if kind == "message":
        content, role = item.get("content"), item.get("role", "user")
        for part in [content] if isinstance(content, str) else content or []:
            found = ["text", part] if isinstance(part, str) else responses_part(part)
            if found:
                form.add(role, found) if found[0] == "media" else form.text(role, found[1])
    elif kind == "function_call":
        form.call(item.get("call_id"), name, item.get("arguments"))
    elif kind == "custom_tool_call":
        form.call(item.get("call_id"), name, {"input": item.get("input") or ""})
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = item.get("output")
        parts = [] if isinstance(output, str) else [found for found in map(responses_part, output or []) if found]
        text = output if isinstance(output, str) else "".join(part[1] for part in parts if part[0] == "text")
        form.result(item.get("call_id"), text, media=[part for part in parts if part[0] == "media"])
    elif kind == "additional_tools":
        for tool in item.get("tools") or []:
            responses_tool(form, tool, "")


def responses_part(part):
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return ["text", part["text"]]
    if kind == "refusal":
        return ["text", part["refusal"]]
    if kind == "input_image":
        return media("image", part.get("image_url") or part.get("file_id"))
    if kind == "input_audio":
        return media("audio", part["input_audio"]["data"])
    if kind == "input_file":
        return media("file", part.get("file_data") or part.get("file_url") or part.get("file_id"))
    return None
