// The Vercel AI SDK with its provider for OpenAI-compatible servers, at every address of a plan; see harness.mjs.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AISDKError, APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { main, PATIENCE } from "./harness.mjs";

// Its warnings about what a model may not support are for people.
globalThis.AI_SDK_LOG_WARNINGS = false;

const weather = tool({
  description: "The weather of a city",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});

function describe(error) {
  if (error?.name === "AbortError") return { kind: "error", class: "AbortError" };
  if (error instanceof TypeError && error.message === "terminated") return { kind: "error", class: "terminated" };
  // An error event in a stream is handed on as the provider's error object.
  if (typeof error?.message === "string" && !(error instanceof Error)) return { kind: "error", class: "event", ...error };
  if (!AISDKError.isInstance(error)) return undefined;
  const out = { kind: "error", class: error.name, message: error.message };
  if (APICallError.isInstance(error)) Object.assign(out, { status: error.statusCode, retryable: error.isRetryable, data: error.data });
  return out;
}

/** A result without what differs from run to run: ids and times that the SDK makes, headers, raw bodies. */
function settled({ text, reasoningText, finishReason, usage, toolCalls, toolResults }) {
  return { text, reasoningText, finishReason, usage, toolCalls, toolResults };
}

async function whole(settings) {
  const result = await generateText({ maxRetries: 0, ...settings });
  return { kind: "reply", ...settled(result), steps: result.steps.map(settled) };
}

async function streamed(settings) {
  let failed;
  const result = streamText({ maxRetries: 0, onError: ({ error }) => (failed ??= error), ...settings });
  const parts = [];
  for await (const part of result.fullStream) {
    if (["text-delta", "reasoning-delta", "tool-input-delta", "tool-call", "tool-result", "finish"].includes(part.type)) {
      const { type, text, delta, toolName, input, output, finishReason, totalUsage } = part;
      parts.push({ type, text, delta, toolName, input, output, finishReason, totalUsage });
    }
    if (part.type === "error") failed ??= part.error;
    if (part.type === "abort") return { kind: "aborted", parts };
    if (part.type === "text-delta") settings.onText?.(part);
  }
  if (failed !== undefined) throw failed;
  return { kind: "stream", parts };
}

function abortStream(model) {
  const leave = new AbortController();
  return streamed({ model, prompt: "hello", abortSignal: leave.signal, onText: () => leave.abort() });
}

function abortWhole(model) {
  const leave = new AbortController();
  setTimeout(() => leave.abort(), PATIENCE);
  return whole({ model, prompt: "hello", abortSignal: leave.signal });
}

function scenarios(plan, road) {
  const provider = createOpenAICompatible({ name: "sluice", baseURL: road.base_url, apiKey: "dummy-key", includeUsage: true });
  const model = (name) => provider.chatModel(road.prefix + name);
  const loop = (run) => run({ model: model("tools"), prompt: "How warm is it in Paris?", tools: { weather }, stopWhen: stepCountIs(4) });
  const asked = (entry) => ({ model: model(entry.name), prompt: "hello", tools: { weather }, stopWhen: stepCountIs(1) });
  return [
    ...plan.cases.map((entry) => [`case/${entry.name}`, () => (entry.stream ? streamed : whole)(asked(entry))]),
    ...plan.errors.map((status) => [`error/${status}`, () => whole({ model: model(`error-${status}`), prompt: "hello" })]),
    ["error/stream", () => streamed({ model: model("error-429"), prompt: "hello" })],
    ["tools", () => loop(whole)],
    ["tools/stream", () => loop(streamed)],
    ["retry", () => whole({ model: model("retry"), prompt: "hello", maxRetries: 2 })],
    ["abort", () => abortStream(model("abort"))],
    ["abort/whole", () => abortWhole(model("abort-whole"))],
    ["after-abort", () => whole({ model: model("after-abort"), prompt: "hello" })],
    ["cut", () => streamed({ model: model("cut"), prompt: "hello" })],
  ];
}

await main(scenarios, describe);
