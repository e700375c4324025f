"""The official OpenAI client for Python: does the same things at every address of a plan and prints what came of each.

usage: openai_client.py PLAN

PLAN is a JSON file: {"roads": [{"name", "base_url", "prefix"}], "errors": [STATUS]}. Prints {ROAD: {SCENARIO: OUTCOME}}; judging is the
caller's.
"""

import asyncio
import json
import sys

import openai
from openai import AsyncOpenAI, OpenAI

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
# After how many seconds a caller leaves who gets no answer: long enough for the provider to have been asked on a loaded machine.
PATIENCE = 2
HELLO = [{"role": "user", "content": "hello"}]


def outcome(call):
    """What a call gives, or the client's own error as data."""
    try:
        return call()
    except openai.APIStatusError as error:
        return {
            "kind": "error",
            "class": type(error).__name__,
            "status": error.status_code,
            "message": error.message,
            "code": error.code,
            "type": error.type,
            "param": error.param,
        }
    except openai.APIError as error:
        return {"kind": "error", "class": type(error).__name__}
    except asyncio.TimeoutError:
        return {"kind": "error", "class": "TimeoutError"}


def whole(client, model):
    reply = client.chat.completions.create(model=model, messages=HELLO)
    return {"kind": "reply", "reply": reply.model_dump()}


def collected(client, model):
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    return {"kind": "stream", "chunks": [chunk.model_dump() for chunk in stream]}


def ask(client, model, messages, streamed):
    if not streamed:
        return client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0].message
    options = {"include_usage": True}
    with client.chat.completions.stream(
        model=model, messages=messages, tools=[WEATHER], stream_options=options
    ) as stream:
        return stream.get_final_completion().choices[0].message


def tools(client, model, streamed):
    """The tool loop as an application writes it: the model's message goes back as it came, with the tool's result behind it."""
    messages = [{"role": "user", "content": "How warm is it in Paris?"}]
    for turn in range(1, 5):
        message = ask(client, model, messages, streamed)
        if not message.tool_calls:
            return {"kind": "reply", "turns": turn, "text": message.content}
        messages.append(message.model_dump(exclude_unset=True, exclude={"parsed"}))
        for call in message.tool_calls:
            city = json.loads(call.function.arguments)["city"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"21 degrees in {city}"})
    return {"kind": "endless"}


def abort(client, model):
    texts = []
    with client.chat.completions.create(model=model, messages=HELLO, stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                texts.append(chunk.choices[0].delta.content)
                break
    return {"kind": "aborted", "texts": texts}


def abort_whole(base_url, model):
    """An application's own time limit, the usual way of leaving a whole call."""

    async def leave():
        async with AsyncOpenAI(base_url=base_url, api_key="dummy-key", max_retries=0) as client:
            call = client.chat.completions.create(model=model, messages=HELLO)
            await asyncio.wait_for(call, PATIENCE)

    asyncio.run(leave())
    return {"kind": "reply"}


def run(road, errors):
    base_url, prefix = road["base_url"], road["prefix"]
    options = {"base_url": base_url, "api_key": "dummy-key", "timeout": 60}
    found = {}
    with OpenAI(max_retries=0, **options) as client, OpenAI(max_retries=2, **options) as patient:
        for status in errors:
            found[f"error/{status}"] = outcome(lambda: whole(client, f"{prefix}error-{status}"))
        found["error/stream"] = outcome(lambda: collected(client, f"{prefix}error-429"))
        found["tools"] = outcome(lambda: tools(client, f"{prefix}tools", False))
        found["tools/stream"] = outcome(lambda: tools(client, f"{prefix}tools", True))
        found["retry"] = outcome(lambda: whole(patient, f"{prefix}retry"))
        found["abort"] = outcome(lambda: abort(client, f"{prefix}abort"))
        found["abort/whole"] = outcome(lambda: abort_whole(base_url, f"{prefix}abort-whole"))
        found["after-abort"] = outcome(lambda: whole(client, f"{prefix}after-abort"))
        found["cut"] = outcome(lambda: collected(client, f"{prefix}cut"))
        found["models"] = outcome(lambda: {"kind": "models", "ids": [model.id for model in client.models.list()]})
        found["model"] = outcome(lambda: {"kind": "model", "id": client.models.retrieve(f"{prefix}listed").id})
    return found


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    print(json.dumps({road["name"]: run(road, plan["errors"]) for road in plan["roads"]}))


if __name__ == "__main__":
    main()
