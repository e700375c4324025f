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
    verdict.check("valid", None, kinds.complaint(to, body))
    want, got = FORMS[case["dialect"]](case["request"]), FORMS[to](body)
    verdict.check("turns", [want.system, turns(want, to)], [got.system, turns(got, to)])
    check_ids(verdict, want, got)
    if want.tools or got.tools:
        verdict.check("tools", want.tools, got.tools)
    if want.choice or got.choice:
        verdict.check("choice", want.choice or "auto", got.choice or "auto")
    if want.output or got.output:
        verdict.check("output", want.output, got.output)
    check_params(verdict, want, got, to, [name.split(".")[-1] for name, _ in answer["losses"]])
    return verdict


REFUSALS = {}


def turns(form, to):
    return [[role, sorted((settled(item, to) for item in items), key=lambda item: item[0] != "result")] for role, items in form.turns]


def settled(item, to):
    if item[0] != "result":
        return item
    value = item[2]
    if to == "gemini" and not isinstance(value, dict):
        value = {"error" if item[3] else "result": value}
    return ["result", item[1], value]


# Anthropic takes no other letters in ids.
PLAIN = re.compile("[^A-Za-z0-9_-]")


def check_ids(verdict, want, got):
    """Ids stay as they were; where there were none, some were made, each once."""
    if not want.ids:
        return
    kept = [(one, other) for one, other in zip(want.ids, got.ids) if one is not None and other is not None]
    made = [identity for identity in got.ids if identity is not None]
    right = len(want.ids) == len(got.ids) and all(other in (one, PLAIN.sub("_", one)) for one, other in kept)
    verdict.check("ids", True, right and (len(set(made)) == len(made) or len(set(want.ids)) < len(want.ids)))


def check_params(verdict, want, got, to, losses):
    for name, value in want.params.items():
        if got.params.get(name) == value:
            verdict.equal.append("params")
        elif name == "effort" and got.thinks:
            verdict.lose("params", "effort, as a number of tokens or a switch")
        elif name in SPEECHLESS[to] and said(name, losses):
            verdict.lose("params", name)
        elif said(name, losses):
            verdict.lose("params", f"{name}, named")
        else:
            verdict.wrong.append(("params", f"{name}: {value} became {got.params.get(name)}, losses {losses}"))


def said(name, losses):
    letters = name.replace("_", "").lower()
    return any(letters in loss.replace("_", "").lower() for loss in losses)
