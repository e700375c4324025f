"""Requests across dialects: what the target's own types say of them, and whether they ask for the same."""

import json
import re
import typing

import anthropic.types
from google.genai import types as gemini_types
from pydantic import ConfigDict, TypeAdapter, ValidationError

from . import more_request_forms, request_forms
from .comparing import Verdict
from .schemas import Schemas

FEATURES = ("turns", "ids", "tools", "choice", "params", "output", "valid")

FORMS = {
    "openai-chat": request_forms.chat,
    "openai-responses": request_forms.responses,
    "anthropic": more_request_forms.anthropic,
    "gemini": more_request_forms.gemini,
}

# What each dialect has no word for at all.
SPEECHLESS = {
    "openai-chat": {"top_k"},
    "openai-responses": {"top_k", "stop", "seed", "n", "presence_penalty", "frequency_penalty"},
    "anthropic": {"seed", "n", "presence_penalty", "frequency_penalty"},
    "gemini": set(),
}


# Members of Gemini's requests that the client writes and has no type for.
PLAIN = {"serviceTier": str, "cachedContent": str, "labels": dict}


class Types:
    """Validation by the target's own types, which know no other members."""

    def __init__(self):
        self.schemas = Schemas()
        for value in vars(anthropic.types).values():
            if typing.is_typeddict(value):
                value.__pydantic_config__ = ConfigDict(extra="forbid")
        kinds = anthropic.types.message_create_params
        self.anthropic = [TypeAdapter(kinds.MessageCreateParamsNonStreaming), TypeAdapter(kinds.MessageCreateParamsStreaming)]
        one = gemini_types
        self.gemini = {
            "contents": TypeAdapter(list[one.Content]),
            "systemInstruction": TypeAdapter(one.Content),
            "generationConfig": TypeAdapter(one.GenerationConfig),
            "tools": TypeAdapter(list[one.Tool]),
            "toolConfig": TypeAdapter(one.ToolConfig),
            "safetySettings": TypeAdapter(list[one.SafetySetting]),
        }

    def complaint(self, dialect, body):
        if dialect.startswith("openai"):
            return self.schemas.request(dialect, body)
        try:
            if dialect == "anthropic":
                drain(self.anthropic[body.get("stream") is True].validate_python(body))
            for name, value in body.items() if dialect == "gemini" else ():
                if isinstance(value, PLAIN.get(name, ())):
                    continue
                if name not in self.gemini:
                    return f"no member {name}"
                self.gemini[name].validate_python(value)
        except ValidationError as wrong:
            return "; ".join(f"{'/'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()[:3])
        except AttributeError as wrong:
            # Gemini's types stumble over numbers where a word must stand.
            return str(wrong)
        return None


def drain(value):
    """Lists in Anthropic's types are checked only when they are read."""
    if isinstance(value, dict):
        for item in value.values():
            drain(item)
    elif not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
        for item in value:
            drain(item)


def compare(case, answer, to, kinds):
    """`answer`: what the translation said: a body with its losses, or a refusal."""
    verdict = Verdict()
    if "panic" in answer:
        verdict.wrong.append(("valid", f"panic: {answer['panic']}"))
        return verdict
    if "refused" in answer:
        rule = next((rule for rule, words in REFUSALS.items() if words in answer["refused"]), None)
        if rule:
            verdict.lose("turns", rule)
        else:
            verdict.wrong.append(("turns", f"refused: {answer['refused']}"))
        return verdict
    body = json.loads(answer["body"])
    complaint = kinds.complaint(to, body)
    if complaint and to == "openai-chat" and ("video_url" in answer["body"] or "audio_url" in answer["body"]):
        # Parts that many chat providers take, and OpenAI's document does not have.
        verdict.lose("valid", "video-parts")
    else:
        verdict.check("valid", None, complaint)
    want, got = FORMS[case["dialect"]](case["request"]), FORMS[to](body)
    for form in (want, got):
        settle_choice(form)
    if want.system and not want.turns and turns(got) == [["user", [["text", text] for text in want.system]]]:
        # Some dialects have no conversation of instructions alone.
        verdict.lose("turns", "instructions-alone")
    else:
        verdict.check("turns", [want.system, turns(want)], [got.system, turns(got)])
    check_ids(verdict, want, got, to)
    if want.tools or got.tools:
        verdict.check("tools", want.tools, {name: settled_tool(want.tools.get(name), tool) for name, tool in got.tools.items()})
    # Whether tools that only the client's dialect has must be used is a choice that goes with them.
    if want.tools and (want.choice or got.choice):
        verdict.check("choice", want.choice or "auto", got.choice or "auto")
    if want.output == "json" and got.output is None and to == "anthropic" and said("response_format", losses(answer)):
        verdict.lose("output", "json-mode")
    elif want.output or got.output:
        close = closed if to == "anthropic" else lambda schema: schema
        verdict.check("output", close(want.output), close(got.output))
    check_params(verdict, want, got, to, losses(answer))
    return verdict


# Requests that are refused in words, since leaving the thing out would be wrong.
REFUSALS = {
    "audio": "takes no audio",
    "video": "takes no video",
    "media-by-address": "address",
    "stored-file": "uploaded",
    "stored-file-elsewhere": "another provider",
    "file-type": "files here",
    "stored-state": "refers to stored state",
    "background": "`background`",
    "prompt-template": "names a template",
}


def losses(answer):
    return [name.split(".")[-1] for name, _ in answer["losses"]]


def settle_choice(form):
    """Where only some tools are allowed and a dialect cannot say so, only these are sent."""
    if isinstance(form.choice, list) and len(form.choice[1]) > 1:
        mode, names = form.choice
        form.choice, form.tools = mode, {name: tool for name, tool in form.tools.items() if name in names}


def settled_tool(want, got):
    """The one text of a tool that takes free text may be described, by its grammar for one."""
    if want and want[1] == request_forms.TEXT_TOOL and got[1].get("properties", {}).keys() == {"input"}:
        return [got[0], want[1]]
    return got


def turns(form):
    """Results first, as they must stand for some; whether one is an error not all can say. What an address leads to, neither."""
    return [[role, sorted(map(settled, items), key=lambda item: item[0] != "result")] for role, items in form.turns]


def settled(item):
    if item[0] == "media" and "://" in (item[2] or ""):
        return ["media", "by address", item[2]]
    return item[:3] if item[0] == "result" else item


def spelt(identity, to):
    """Anthropic takes only some characters in an id."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", identity) if to == "anthropic" else identity


def closed(schema):
    """Anthropic takes no objects that are open to members of any name, so those that name theirs are closed."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(item) for key, item in schema.items()}
    return {"additionalProperties": False, **schema} if schema.get("properties") else schema


def check_ids(verdict, want, got, to):
    """Ids stay as they were; where there were none, some were made, each once."""
    if not want.ids:
        return
    kept = [(one, other) for one, other in zip(want.ids, got.ids) if one is not None and other is not None]
    made = [identity for identity in got.ids if identity is not None]
    reused = len(set(want.ids)) < len(want.ids)
    right = len(want.ids) == len(got.ids) and (reused or all(spelt(one, to) == other for one, other in kept))
    verdict.check("ids", True, right and (reused or len(set(made)) == len(made)))


def check_params(verdict, want, got, to, losses):
    for name, value in want.params.items():
        if got.params.get(name) == value:
            verdict.equal.append("params")
        elif name in SPEECHLESS[to] and said(name, losses):
            verdict.lose("params", name)
        elif said(name, losses):
            verdict.lose("params", f"{name}, named")
        else:
            verdict.wrong.append(("params", f"{name}: {value} became {got.params.get(name)}, losses {losses}"))


def said(name, losses):
    words = ("thinking", "reasoning") if name == "thinking" else (name.replace("_", "").lower(),)
    return any(word in loss.replace("_", "").lower() for loss in losses for word in words)
