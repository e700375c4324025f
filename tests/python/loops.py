"""A tool loop of two turns in official clients and frameworks, as applications write it, whole and streamed.

usage: loops.py PLAN

PLAN is a JSON file: {"runs": [{"name", "library", "base_url", "model"}]}. Prints {NAME: {"whole": OUTCOME, "streamed": OUTCOME}}, where an
outcome is {"text", "calls"} or {"error"}; judging is the caller's. Each library is imported where it is used: not all fit into one
environment.
"""

import json
import os
import sys
import traceback

KEY = "sk-from-the-client"
QUESTION = "How warm is it in Paris?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ABOUT = "The weather of a city"
TURNS = 4


class Weather:
    """The tool, and how often it was asked."""

    def __init__(self):
        self.calls = 0

    def tell(self, city: str) -> str:
        self.calls += 1
        return f"21 degrees in {city}"

    def function(self):
        def weather(city: str) -> str:
            """The weather of a city"""
            return self.tell(city)

        return weather


def openai_chat(run, streamed, tool):
    from openai import OpenAI

    client = OpenAI(base_url=run["base_url"] + "/v1", api_key=KEY, max_retries=0)
    function = {"name": "weather", "description": ABOUT, "parameters": SCHEMA, "strict": True}
    asked = {"model": run["model"], "tools": [{"type": "function", "function": function}]}
    messages = [{"role": "user", "content": QUESTION}]
    for _ in range(TURNS):
        if streamed:
            with client.chat.completions.stream(messages=messages, **asked) as stream:
                reply = stream.get_final_completion()
        else:
            reply = client.chat.completions.create(messages=messages, **asked)
        message = reply.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in message.tool_calls:
            told = tool.tell(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": told})


def openai_responses(run, streamed, tool):
    from openai import OpenAI

    client = OpenAI(base_url=run["base_url"] + "/v1", api_key=KEY, max_retries=0)
    asked = {
        "model": run["model"],
        "tools": [{"type": "function", "name": "weather", "description": ABOUT, "parameters": SCHEMA, "strict": True}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    items = [{"role": "user", "content": QUESTION}]
    for _ in range(TURNS):
        if streamed:
            with client.responses.stream(input=items, **asked) as stream:
                reply = stream.get_final_response()
        else:
            reply = client.responses.create(input=items, **asked)
        calls = [item for item in reply.output if item.type == "function_call"]
        if not calls:
            return reply.output_text
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in reply.output]
        for call in calls:
            told = tool.tell(**json.loads(call.arguments))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": told})


def anthropic(run, streamed, tool):
    from anthropic import Anthropic

    client = Anthropic(base_url=run["base_url"], api_key=KEY, max_retries=0)
    asked = {
        "model": run["model"],
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "weather", "description": ABOUT, "input_schema": SCHEMA}],
    }
    messages = [{"role": "user", "content": QUESTION}]
    for _ in range(TURNS):
        if streamed:
            with client.messages.stream(messages=messages, **asked) as stream:
                reply = stream.get_final_message()
        else:
            reply = client.messages.create(messages=messages, **asked)
        calls = [block for block in reply.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in reply.content if block.type == "text")
        messages.append({"role": "assistant", "content": reply.content})
        told = [{"type": "tool_result", "tool_use_id": call.id, "content": tool.tell(**call.input)} for call in calls]
        messages.append({"role": "user", "content": told})


def google_genai(run, streamed, tool):
    from google import genai
    from google.genai import types

    options = types.HttpOptions(base_url=run["base_url"])
    client = genai.Client(api_key=KEY, http_options=options)
    declared = types.FunctionDeclaration(name="weather", description=ABOUT, parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        thinking_config=types.ThinkingConfig(include_thoughts=True),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
    for _ in range(TURNS):
        asked = {"model": run["model"], "contents": contents, "config": config}
        chunks = client.models.generate_content_stream(**asked) if streamed else [client.models.generate_content(**asked)]
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            return "".join(part.text for part in parts if part.text and not part.thought)
        contents.append(types.Content(role="model", parts=parts))
        told = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"output": tool.tell(**call.args)}
                )
            )
            for call in calls
        ]
        contents.append(types.Content(role="user", parts=told))


def said(message):
    """What a LangChain message says, without thoughts."""
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)


def langchain_model(run, streamed):
    """The chat model that the run's library names behind its dash."""
    kind = run["library"].split("-", 1)[1]
    if kind == "anthropic":
        from langchain_anthropic import ChatAnthropic

        thinking = {"type": "enabled", "budget_tokens": 2000}
        common = {"base_url": run["base_url"], "api_key": KEY, "max_tokens": 4000, "max_retries": 0}
        return ChatAnthropic(model=run["model"], thinking=thinking, streaming=streamed, **common)
    if kind == "google":
        from langchain_google_genai import ChatGoogleGenerativeAI

        return ChatGoogleGenerativeAI(
            model=run["model"], base_url=run["base_url"], google_api_key=KEY, include_thoughts=True, max_retries=1
        )
    from langchain_openai import ChatOpenAI

    common = {"base_url": run["base_url"] + "/v1", "api_key": KEY, "max_retries": 0, "streaming": streamed}
    if kind == "responses":
        return ChatOpenAI(
            model=run["model"], use_responses_api=True, store=False, include=["reasoning.encrypted_content"], **common
        )
    return ChatOpenAI(model=run["model"], **common)


def langchain(run, streamed, tool):
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import StructuredTool

    model = langchain_model(run, streamed).bind_tools([StructuredTool.from_function(tool.function())])
    messages = [HumanMessage(QUESTION)]
    for _ in range(TURNS):
        if streamed:
            message = None
            for chunk in model.stream(messages):
                message = chunk if message is None else message + chunk
        else:
            message = model.invoke(messages)
        if not message.tool_calls:
            return said(message)
        messages.append(message)
        for call in message.tool_calls:
            messages.append(ToolMessage(tool.tell(**call["args"]), tool_call_id=call["id"], name=call["name"]))


def langgraph(run, streamed, tool):
    import warnings

    warnings.simplefilter("ignore")
    from langgraph.prebuilt import create_react_agent

    graph = create_react_agent(langchain_model(run, streamed), [tool.function()])
    asked = {"messages": [("user", QUESTION)]}
    if not streamed:
        return said(graph.invoke(asked)["messages"][-1])
    pieces = []
    for message, about in graph.stream(asked, stream_mode="messages"):
        if about["langgraph_node"] == "agent":
            pieces.append(said(message))
    return "".join(pieces)


def llama_index(run, streamed, tool):
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(
        model=run["model"],
        api_base=run["base_url"] + "/v1",
        api_key=KEY,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )
    tools = [FunctionTool.from_defaults(tool.function())]
    messages = [ChatMessage(role="user", content=QUESTION)]
    for _ in range(TURNS):
        if streamed:
            *_, reply = model.stream_chat_with_tools(tools, chat_history=messages)
        else:
            reply = model.chat_with_tools(tools, chat_history=messages)
        calls = model.get_tool_calls_from_response(reply, error_on_no_tool_call=False)
        if not calls:
            return reply.message.content
        messages.append(reply.message)
        for call in calls:
            told = tool.tell(**call.tool_kwargs)
            about = {"tool_call_id": call.tool_id, "name": call.tool_name}
            messages.append(ChatMessage(role="tool", content=told, additional_kwargs=about))


def pydantic_model(run):
    kind = run["library"].split("-", 1)[1]
    if kind == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(run["model"], provider=AnthropicProvider(base_url=run["base_url"], api_key=KEY))
    if kind == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(run["model"], provider=GoogleProvider(base_url=run["base_url"], api_key=KEY))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=run["base_url"] + "/v1", api_key=KEY)
    if kind == "responses":
        from pydantic_ai.profiles.openai import OpenAIModelProfile

        # It asks for the state of thoughts where the model's name, or this, says that there is one.
        profile = OpenAIModelProfile(openai_supports_encrypted_reasoning_content=True)
        return OpenAIResponsesModel(run["model"], provider=provider, profile=profile)
    return OpenAIChatModel(run["model"], provider=provider)


def pydantic_ai(run, streamed, tool):
    import asyncio

    from pydantic_ai import Agent

    async def ask():
        agent = Agent(pydantic_model(run), retries=0)
        agent.tool_plain(tool.function())
        if not streamed:
            return (await agent.run(QUESTION)).output
        async with agent.run_stream(QUESTION) as stream:
            return await stream.get_output()

    return asyncio.run(ask())


LIBRARIES = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "google-genai": google_genai,
    "langchain": langchain,
    "langgraph": langgraph,
    "llamaindex": llama_index,
    "pydanticai": pydantic_ai,
}


def outcome(run, streamed):
    tool = Weather()
    library = LIBRARIES.get(run["library"]) or LIBRARIES[run["library"].split("-", 1)[0]]
    try:
        text = library(run, streamed, tool)
    except Exception:  # Whatever a library raises is the outcome.
        return {"error": traceback.format_exc()[-3000:]}
    return {"text": text, "calls": tool.calls}


def main():
    os.environ["LANGSMITH_TRACING"] = "false"
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    results = {}
    for run in plan["runs"]:
        results[run["name"]] = {"whole": outcome(run, False), "streamed": outcome(run, True)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
