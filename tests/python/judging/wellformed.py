"""Whether a translated reply is what its dialect promises: schemas, the order of events, and that an end repeats what was said on the way.

SDKs read generously; other clients do not.
"""

import json
import typing

from anthropic import types as anthropic_types
from pydantic import TypeAdapter, ValidationError

from .schemas import Schemas

ERROR_KEYS = {"message", "type", "param", "code"}


class Wrong(Exception):
    """What is wrong, in words."""


def need(condition, what):
    if not condition:
        raise Wrong(what)


class Form:
    def __init__(self):
        self.schemas = Schemas()
        self.message = TypeAdapter(anthropic_types.Message)
        union = typing.get_args(typing.get_args(anthropic_types.RawMessageStreamEvent)[0])
        self.events = {typing.get_args(event.model_fields["type"].annotation)[0]: TypeAdapter(event) for event in union}

    def complaint(self, dialect, reply):
        """What is wrong with a reply; `None` where nothing is."""
        try:
            if reply["status"] != 200:
                self.error(dialect, json.loads(reply["body"]))
            elif reply["content_type"].startswith("text/event-stream"):
                events = list(framed(dialect, reply["body"]))
                getattr(self, f"stream_{short(dialect)}")(events)
            else:
                getattr(self, f"whole_{short(dialect)}")(json.loads(reply["body"]))
        except Wrong as wrong:
            return str(wrong)
        except ValidationError as wrong:
            return "; ".join(f"{'/'.join(map(str, error['loc']))}: {error['msg']}" for error in wrong.errors()[:3])
        except (KeyError, IndexError, TypeError, ValueError) as wrong:
            return f"{type(wrong).__name__}: {wrong}"
        return None

    def error(self, dialect, body):
        error = body["error"]
        need(isinstance(error["message"], str) and error["message"], "an error without words")
        if dialect == "anthropic":
            need(body["type"] == "error" and isinstance(error["type"], str), "not Anthropic's error")
        elif dialect == "gemini":
            need(isinstance(error["code"], int) and isinstance(error["status"], str), "not Gemini's error")
        else:
            need(ERROR_KEYS <= set(error), "not OpenAI's four keys")

    # ---- chat

    def whole_chat(self, body):
        need(*fits(self.schemas.reply("openai-chat", body)))

    def stream_chat(self, events):
        need(events, "nothing was said")
        if events[-1][1].get("error"):
            return self.error("openai-chat", events.pop()[1])
        need(events and events[-1][1] == {"[DONE]": True}, "no [DONE]")
        events.pop()
        roles, ended = set(), set()
        for _, event in events:
            need(*fits(self.schemas.event("openai-chat", event)))
            need((event["id"], event["model"]) == (events[0][1]["id"], events[0][1]["model"]), "ids change")
            for choice in event["choices"]:
                index = choice["index"]
                need(index in roles or choice["delta"].get("role") == "assistant", "a choice begins without a role")
                need(index not in ended, "a choice goes on behind its end")
                roles.add(index)
                ended |= {index} if choice["finish_reason"] else set()
        need(roles == ended, "a choice without an end")

    # ---- Responses

    def whole_responses(self, body):
        need(*fits(self.schemas.reply("openai-responses", body)))
        ids = [item["id"] for item in body["output"]]
        need(len(ids) == len(set(ids)), "items share an id")

    def stream_responses(self, events):
        items, texts = {}, {}
        for number, (name, event) in enumerate(events):
            kind = event["type"]
            need(*fits(self.schemas.event("openai-responses", event)))
            need(name == kind, f"{kind} is framed as {name}")
            need(event["sequence_number"] == number, f"sequence_number {event['sequence_number']} at {number}")
            if kind == "response.output_item.added":
                need(event["output_index"] == len(items), "output_index leaves a gap")
                items[event["output_index"]] = None
            elif kind == "response.output_item.done":
                items[event["output_index"]] = event["item"]
            elif kind.endswith(".delta"):
                key = (kind.removesuffix(".delta"), event["item_id"], event.get("content_index", event.get("summary_index")))
                texts[key] = texts.get(key, "") + event["delta"]
            elif kind.endswith(".done") and (kind.removesuffix(".done") in REPEATED):
                key = (kind.removesuffix(".done"), event["item_id"], event.get("content_index", event.get("summary_index")))
                need(texts.get(key, "") == event[REPEATED[key[0]]], f"{kind} is not what its deltas said")
        need(events[0][1]["type"] == "response.created", "does not begin with response.created")
        last = events[-1][1]
        need(last["type"] in ("response.completed", "response.incomplete", "response.failed"), f"ends with {last['type']}")
        if last["type"] != "response.failed":
            need(last["response"]["output"] == [item for _, item in sorted(items.items())], "the end is not what its items said")

    # ---- Anthropic

    def whole_anthropic(self, body):
        self.message.validate_python(body, strict=True)

    def stream_anthropic(self, events):
        need(events[0][1]["type"] in ("message_start", "error"), "does not begin with message_start")
        block, blocks, state = None, 0, "open"
        for name, event in events:
            kind = event["type"]
            need(name == kind, f"{kind} is framed as {name}")
            if kind == "error":
                return self.error("anthropic", event)
            if kind == "ping":
                continue
            self.events[kind].validate_python(event, strict=True)
            if kind == "content_block_start":
                need(block is None and event["index"] == blocks and state == "open", "a block begins out of order")
                block = event["index"]
            elif kind == "content_block_delta":
                need(event["index"] == block, "a delta outside its block")
            elif kind == "content_block_stop":
                need(event["index"] == block, "a block stops that is not open")
                block, blocks = None, blocks + 1
            elif kind == "message_delta":
                need(block is None and state == "open" and event["delta"]["stop_reason"], "message_delta out of order")
                state = "ending"
            elif kind == "message_stop":
                need(state == "ending", "message_stop out of order")
                state = "ended"
        need(state == "ended", "no message_stop")

    # ---- Gemini

    def whole_gemini(self, body):
        need(body["modelVersion"] and body["responseId"], "no modelVersion or responseId")
        need(isinstance(body.get("candidates"), list) or body.get("promptFeedback"), "no candidates")

    def stream_gemini(self, events):
        need(events, "nothing was said")
        if events[-1][1].get("error"):
            return self.error("gemini", events.pop()[1])
        for _, event in events:
            need(event["modelVersion"] and event["responseId"], "no modelVersion or responseId")


REPEATED = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.reasoning_summary_text": "text",
    "response.reasoning_text": "text",
}


def fits(complaint):
    return complaint is None, complaint


def short(dialect):
    return dialect.removeprefix("openai-")


def framed(dialect, body):
    """Each event as its name and data; framing as the dialect has it."""
    end = "\r\n\r\n" if dialect == "gemini" else "\n\n"
    need(body.endswith(end), "the last event is not ended")
    for block in body[: -len(end)].split(end):
        name, data = None, None
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = line[6:].rstrip("\r")
        if data is not None:
            yield name, {"[DONE]": True} if data == "[DONE]" else json.loads(data)
