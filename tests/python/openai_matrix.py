"""Compares what the official client returns directly from a provider with what it returns through Sluice.

usage: openai_matrix.py PLAN

PLAN is a JSON file: {"direct": URL, "roads": [{"base_url": URL, "prefix": TEXT}], "cases": [{"name", "request", "stream"}]}.
A case's name is its model name at the provider. Prints one line per difference, then a summary; exits 1 on any difference.
"""

import asyncio
import inspect
import json
import sys

import openai
from openai import AsyncOpenAI, OpenAI
from openai.resources.chat.completions import Completions

KNOWN = set(inspect.signature(Completions.create).parameters)
OPTIONS = {"api_key": "dummy-key", "max_retries": 0, "timeout": 60}


def arguments(case, prefix):
    """The recorded request as keyword arguments; what this client does not know goes as extra body."""
    body = {key: value for key, value in case["request"].items() if key not in ("model", "stream")}
    known = {key: value for key, value in body.items() if key in KNOWN}
    extra = {key: value for key, value in body.items() if key not in KNOWN}
    if extra:
        known["extra_body"] = extra
    if case["stream"]:
        known["stream"] = True
    return {**known, "model": prefix + case["name"]}


def failure(error):
    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        return ["status error", type(error).__name__, error.status_code, body.get("message"), body.get("code")]
    if isinstance(error, openai.APIError):
        body = error.body if isinstance(error.body, dict) else {}
        return ["api error", type(error).__name__, body.get("message") or error.message]
    raise error


def whole_or_stream(reply, stream):
    if not stream:
        return ["reply", reply.model_dump()]
    return ["stream", [chunk.model_dump() for chunk in reply]]


def sync(client, case, prefix):
    reply = client.chat.completions.create(**arguments(case, prefix))
    return whole_or_stream(reply, case["stream"])


def raw(client, case, prefix):
    reply = client.chat.completions.with_raw_response.create(**arguments(case, prefix))
    kind = reply.headers["content-type"].split(";")[0]
    head = [reply.status_code, kind]
    if not case["stream"]:
        head.append(reply.text)
    return head + whole_or_stream(reply.parse(), case["stream"])


async def asynchronous(client, case, prefix):
    reply = await client.chat.completions.create(**arguments(case, prefix))
    if not case["stream"]:
        return ["reply", reply.model_dump()]
    return ["stream", [chunk.model_dump() async for chunk in reply]]


def accumulated(client, case, prefix):
    """The client's own accumulator as the judge of a stream: its final message."""
    if not case["stream"]:
        return ["no stream"]
    settings = arguments(case, prefix)
    settings.pop("stream")
    with client.chat.completions.stream(**settings) as stream:
        final = stream.get_final_completion()
    return ["final", final.model_dump()]


def outcome(call):
    """What a call gives or raises. An accumulator may refuse a recording; then it must refuse it on every road."""
    try:
        return call()
    except openai.OpenAIError as error:
        if isinstance(error, openai.APIError):
            return failure(error)
        return ["client error", type(error).__name__]
    except (AssertionError, TypeError, ValueError, KeyError, AttributeError) as error:
        return ["client error", type(error).__name__]


def run(base_url, prefix, cases):
    """Every way of asking, for every case, at one address."""
    out = {}
    with OpenAI(base_url=base_url, **OPTIONS) as client:
        for case in cases:
            for way in (sync, raw, accumulated):
                out[case["name"], way.__name__] = outcome(lambda: way(client, case, prefix))

    async def all_asynchronous():
        async with AsyncOpenAI(base_url=base_url, **OPTIONS) as client:
            for case in cases:
                try:
                    out[case["name"], "asynchronous"] = await asynchronous(client, case, prefix)
                except openai.APIError as error:
                    out[case["name"], "asynchronous"] = failure(error)

    asyncio.run(all_asynchronous())
    return out


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    cases = plan["cases"]
    direct = run(plan["direct"], "", cases)
    kinds = {}
    for result in direct.values():
        kinds[str(result[0])] = kinds.get(str(result[0]), 0) + 1
    differences = 0
    for road in plan["roads"]:
        through = run(road["base_url"], road["prefix"], cases)
        for key, want in direct.items():
            if through[key] != want:
                differences += 1
                print(f"{road['base_url']} {key}:\n  direct  {str(want)[:2000]}\n  through {str(through[key])[:2000]}")
    print(f"compared {len(direct)} results on {len(plan['roads'])} roads, {differences} differences, kinds {kinds}")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
