// The official OpenAI client for Node, at every address of a plan; see harness.mjs.

import OpenAI from "openai";
import { main, PATIENCE } from "./harness.mjs";

const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

function describe(error) {
  // Node's own, for a connection that ends in the middle: the client lets it pass.
  if (error instanceof TypeError && error.message === "terminated") return { kind: "error", class: "terminated" };
  if (!(error instanceof OpenAI.OpenAIError)) return undefined;
  const { status, code, type, param, message } = error;
  return { kind: "error", class: error.constructor.name, status, code, type, param, message };
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function recorded(client, model, entry) {
  const reply = await client.chat.completions.create({ ...entry.request, model, stream: entry.stream });
  return entry.stream ? { kind: "stream", chunks: await collect(reply) } : { kind: "reply", reply };
}

/** The tool loop as an application writes it: the model's message goes back as it came, with the tool's result behind it. */
async function tools(client, model, streamed) {
  const messages = [{ role: "user", content: "How warm is it in Paris?" }];
  for (let turn = 0; turn < 4; turn += 1) {
    const asked = { model, messages, tools: [WEATHER] };
    const message = streamed
      ? await client.chat.completions
          .stream({ ...asked, stream_options: { include_usage: true } })
          .finalMessage()
      : (await client.chat.completions.create(asked)).choices[0].message;
    if (!message.tool_calls?.length) return { kind: "reply", turns: turn + 1, text: message.content };
    messages.push(message);
    for (const call of message.tool_calls) {
      const { city } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: `21 degrees in ${city}` });
    }
  }
  return { kind: "endless" };
}

async function abortStream(client, model) {
  const stream = await client.chat.completions.create({ model, messages: [{ role: "user", content: "hello" }], stream: true });
  const texts = [];
  for await (const chunk of stream) {
    texts.push(chunk.choices[0]?.delta?.content);
    if (chunk.choices[0]?.delta?.content) stream.controller.abort();
  }
  return { kind: "aborted", texts };
}

async function abortWhole(client, model) {
  const leave = new AbortController();
  const call = client.chat.completions.create(
    { model, messages: [{ role: "user", content: "hello" }] },
    { signal: leave.signal },
  );
  setTimeout(() => leave.abort(), PATIENCE);
  return { kind: "reply", reply: await call };
}

function scenarios(plan, road) {
  const options = { apiKey: "dummy-key", baseURL: road.base_url, timeout: 60_000 };
  const client = new OpenAI({ ...options, maxRetries: 0 });
  const patient = new OpenAI({ ...options, maxRetries: 2 });
  const name = (model) => road.prefix + model;
  const hello = (model) => ({ model: name(model), messages: [{ role: "user", content: "hello" }] });
  return [
    ...plan.cases.map((entry) => [`case/${entry.name}`, () => recorded(client, name(entry.name), entry)]),
    ...plan.errors.map((status) => [`error/${status}`, () => client.chat.completions.create(hello(`error-${status}`))]),
    ["error/stream", () => client.chat.completions.create({ ...hello("error-429"), stream: true })],
    ["tools", () => tools(client, name("tools"), false)],
    ["tools/stream", () => tools(client, name("tools"), true)],
    ["retry", async () => ({ kind: "reply", reply: await patient.chat.completions.create(hello("retry")) })],
    ["abort", () => abortStream(client, name("abort"))],
    ["abort/whole", () => abortWhole(client, name("abort-whole"))],
    ["after-abort", async () => ({ kind: "reply", reply: await client.chat.completions.create(hello("after-abort")) })],
    ["cut", async () => ({ kind: "stream", chunks: await collect(await client.chat.completions.create({ ...hello("cut"), stream: true })) })],
    ["models", async () => ({ kind: "models", ids: (await collect(await client.models.list())).map((model) => model.id) })],
    ["model", async () => ({ kind: "model", id: (await client.models.retrieve(name("listed"))).id })],
  ];
}

await main(scenarios, describe);
