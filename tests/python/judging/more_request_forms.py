"""The requests of Anthropic and Gemini in the form of `request_forms`."""

from .request_forms import DEFAULTS, Form, first, media, plain, sampling, thinking

# ---- Anthropic


def anthropic(body):
    form = Form()
    for text in blocks(body.get("system")):
        form.text("system", text.get("text", ""))
    for message in body.get("messages") or []:
        for block in blocks(message.get("content")):
            anthropic_block(form, message["role"], block)
    for tool in body.get("tools") or []:
        if tool.get("type", "custom") == "custom":
            form.tool(tool["name"], tool.get("description"), tool.get("input_schema") or tool.get("parameters"))
    form.choice = anthropic_choice(body.get("tool_choice"))
    sampling(form, body, max_tokens=body.get("max_tokens"), stop=body.get("stop_sequences"))
    config = body.get("output_config") or {}
    thoughts = body.get("thinking") or {}
    # A model that decides by itself was asked for nothing.
    said = {"disabled": "off", "enabled": "on"}.get(thoughts.get("type"))
    form.param("thinking", thinking(config.get("effort")) or said)
    schema = config.get("format") or body.get("output_format")
    form.output = plain(schema.get("schema")) if schema else None
    return form


def blocks(content):
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [content] if isinstance(content, dict) else content or []


def anthropic_block(form, role, block):
    kind = block.get("type")
    if kind == "text":
        form.text(role, block["text"])
    elif kind in ("image", "document"):
        form.add(role, source(kind, block))
    elif kind == "tool_use":
        form.call(block["id"], block["name"], block.get("input"))
    elif kind == "tool_result":
        inner = [found for part in blocks(block.get("content")) for found in anthropic_inner(part)]
        text = "".join(found[1] for found in inner if found[0] == "text")
        form.result(block["tool_use_id"], text, block.get("is_error"), [found for found in inner if found[0] != "text"])


def anthropic_inner(part):
    """A part of a result. Documents that are text belong to its text."""
    if part["type"] == "text":
        return [["text", part["text"]]]
    if part["type"] == "search_result":
        return [["text", inner["text"]] for inner in part["content"]]
    return [source(part["type"], part)] if part["type"] in ("image", "document") else []


def source(kind, block):
    inside = block["source"]
    if inside.get("type") == "text":
        return ["text", inside["data"]]
    content = first(inside, "data", "url", "file_id") or str(inside.get("content"))
    return media("image" if kind == "image" else "file", content, inside.get("media_type", ""))


def anthropic_choice(choice):
    if not choice:
        return None
    if choice["type"] == "tool":
        return ["required", [choice["name"]]]
    return {"any": "required"}.get(choice["type"], choice["type"])


# ---- Gemini


def gemini(body):
    form = Form()
    system = pick(body, "systemInstruction", "system_instruction")
    for part in parts(system):
        form.text("system", part if isinstance(part, str) else part.get("text") or "")
    contents = body.get("contents")
    for content in [contents] if isinstance(contents, (str, dict)) else contents or []:
        content = {"parts": [{"text": content}]} if isinstance(content, str) else content
        role = "assistant" if content.get("role") == "model" else "user"
        for part in parts(content):
            gemini_part(form, role, part)
    tools = body.get("tools")
    for tool in [tools] if isinstance(tools, dict) else tools or []:
        for function in pick(tool, "functionDeclarations", "function_declarations") or []:
            schema = pick(function, "parametersJsonSchema", "parameters_json_schema", "parameters")
            form.tool(function["name"], function.get("description"), schema)
    calling = pick(pick(body, "toolConfig", "tool_config") or {}, "functionCallingConfig", "function_calling_config")
    form.choice = gemini_choice(calling)
    gemini_config(form, pick(body, "generationConfig", "generation_config") or {})
    return form


def pick(body, *names):
    return first(body, *names)


def parts(content):
    if content is None or isinstance(content, str):
        return [content] if content else []
    if isinstance(content, list):
        return content
    inner = content.get("parts") if "parts" in content else content
    return [inner] if isinstance(inner, dict) else inner or []


def gemini_part(form, role, part):
    inline, file = pick(part, "inlineData", "inline_data"), pick(part, "fileData", "file_data")
    call, result = pick(part, "functionCall", "function_call"), pick(part, "functionResponse", "function_response")
    if part.get("thought"):
        return
    if call:
        form.call(call.get("id"), call["name"], call.get("args") or {})
    elif result:
        key = result["id"] if result.get("id") in form.waiting else result["name"]
        inner = [gemini_media(pick(one, "inlineData", "inline_data") or pick(one, "fileData", "file_data")) for one in result.get("parts") or []]
        form.result(key, result.get("response") or {}, media=inner)
    elif inline or file:
        form.add(role, gemini_media(inline or file))
    elif part.get("text") is not None:
        form.text(role, part["text"])


def gemini_media(data):
    mime = pick(data, "mimeType", "mime_type") or ""
    kind = mime.split("/")[0]
    return media(kind if kind in ("image", "audio", "video") else "file", pick(data, "data", "fileUri", "file_uri"), mime)


def gemini_choice(calling):
    if not calling:
        return None
    mode = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}.get(str(calling.get("mode", "AUTO")).upper(), "auto")
    names = pick(calling, "allowedFunctionNames", "allowed_function_names")
    return [mode, sorted(names)] if names else mode


def gemini_config(form, config):
    spelt = {name: pick(config, *names) for name, names in CONFIG.items()}
    sampling(form, spelt, max_tokens=spelt["max_tokens"], stop=spelt["stop"])
    for name in ("seed", "n", "presence_penalty", "frequency_penalty"):
        form.param(name, spelt[name] if spelt[name] != DEFAULTS.get(name) else None)
    thoughts = pick(config, "thinkingConfig", "thinking_config") or {}
    budget = pick(thoughts, "thinkingBudget", "thinking_budget")
    said = None if budget in (None, -1) else "off" if budget == 0 else "on"
    form.param("thinking", thinking(pick(thoughts, "thinkingLevel", "thinking_level")) or said)
    schema = pick(config, "responseJsonSchema", "response_json_schema", "responseSchema", "response_schema")
    json_wanted = pick(config, "responseMimeType", "response_mime_type") == "application/json"
    form.output = plain(schema) if schema else ("json" if json_wanted else None)


CONFIG = {
    "max_tokens": ("maxOutputTokens", "max_output_tokens"),
    "temperature": ("temperature",),
    "top_p": ("topP", "top_p"),
    "top_k": ("topK", "top_k"),
    "stop": ("stopSequences", "stop_sequences"),
    "seed": ("seed",),
    "n": ("candidateCount", "candidate_count"),
    "presence_penalty": ("presencePenalty", "presence_penalty"),
    "frequency_penalty": ("frequencyPenalty", "frequency_penalty"),
}
