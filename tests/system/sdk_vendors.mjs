// The vendors' SDKs for Node, and Vercel's AI SDK with its providers, against a gateway: all scenarios of one SDK with one
// model, their findings as JSON on standard output. What they must be is said in test_sdk_node.py.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogle } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, Output, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";

const [sdk, family, thinker] = process.argv.slice(2); // family: "" or "PROVIDER/"; thinker: a model, or ""
const url = process.env.GATEWAY_URL, apiKey = process.env.GATEWAY_KEY;
const named = (model) => family + model;
const model = named("simulator");
const pixel = process.env.PIXEL;
const schema = {
  type: "object", additionalProperties: false, required: ["city", "unit"],
  properties: { city: { type: "string" }, unit: { type: "string", enum: ["C", "F"] } },
};
const hello = [{ role: "user", content: "Hello there!" }];

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status ?? error.statusCode ?? null,
             requestId: error.requestID ?? error.responseHeaders?.["x-request-id"] ?? null };
  }
  return { kind: "none" };
}

// --- Anthropic's

function anthropicScenarios() {
  const options = { baseURL: url, apiKey, maxRetries: 0, timeout: 20000 };
  const client = new Anthropic(options);
  const ask = { model, max_tokens: 200, messages: hello };
  const tools = [{ name: "get_weather", description: "The weather.", input_schema: schema }];
  return {
    async chat() {
      const answer = await client.messages.create(ask);
      return { text: answer.content[0].text, finish: answer.stop_reason, output: answer.usage.output_tokens };
    },
    async stream() {
      let text = "";
      const stream = client.messages.stream(ask).on("text", (piece) => { text += piece; });
      const final = await stream.finalMessage();
      return { text, whole: final.content[0].text, finish: final.stop_reason, output: final.usage.output_tokens };
    },
    async loop() {
      const first = await client.messages.stream({ ...ask, tools, tool_choice: { type: "any" } }).finalMessage();
      const call = first.content.find((block) => block.type === "tool_use");
      const messages = [...hello, { role: "assistant", content: first.content },
                        { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] }];
      const last = await client.messages.create({ ...ask, tools, messages });
      return { finish: first.stop_reason, input: call.input, text: last.content[0].text };
    },
    async image() {
      const source = { type: "base64", media_type: "image/png", data: pixel };
      const content = [{ type: "image", source }, { type: "text", text: "What is this?" }];
      return { text: (await client.messages.create({ ...ask, messages: [{ role: "user", content }] })).content[0].text };
    },
    async errors() {
      const bad = new Anthropic({ ...options, apiKey: "sk-hg-no" });
      return { model: await failure(() => client.messages.create({ ...ask, model: "no-such-model" })),
               key: await failure(() => bad.messages.create(ask)),
               invalid: await failure(() => client.messages.create({ ...ask, max_tokens: 0 })),
               limited: await failure(() => client.messages.create({ ...ask, model: named("simulator-error-429") })) };
    },
    async abort() {
      const { data: stream, response } = await client.messages.create({ ...ask, max_tokens: 5000, model: named("slow"), stream: true }).withResponse();
      let pieces = 0;
      for await (const event of stream)
        if (event.type === "content_block_delta" && ++pieces === 4) stream.controller.abort();
      return { pieces, requestId: response.headers.get("x-request-id") };
    },
  };
}

// --- OpenAI's

function openaiScenarios() {
  const client = new OpenAI({ baseURL: url + "/v1", apiKey, maxRetries: 0, timeout: 20000 });
  return {
    async stream() {
      const stream = client.responses.stream({ model, input: hello });
      let text = "";
      stream.on("response.output_text.delta", (event) => { text += event.delta; });
      const final = await stream.finalResponse();
      return { text, whole: final.output_text, output: final.usage.output_tokens, finish: final.status };
    },
    async loop() {
      const seen = [];
      const run = (input) => { seen.push(input); return "sunny"; };
      const tools = [{ type: "function", function: { name: "get_weather", parameters: schema, parse: JSON.parse, function: run } }];
      const runner = client.chat.completions.runTools({ model, messages: hello, tools });
      const text = await runner.finalContent();
      return { input: seen[0], text };
    },
    async image() {
      const content = [{ type: "input_image", image_url: "data:image/png;base64," + pixel }, { type: "input_text", text: "?" }];
      return { text: (await client.responses.create({ model, input: [{ role: "user", content }] })).output_text };
    },
    async structured() {
      const text = { format: { type: "json_schema", name: "weather", strict: true, schema } };
      return JSON.parse((await client.responses.create({ model, input: hello, text })).output_text);
    },
    async errors() {
      const ask = (name) => failure(() => client.responses.create({ model: name, input: hello }));
      return { model: await ask("no-such-model"), limited: await ask(named("simulator-error-429")) };
    },
    async abort() {
      const { data: stream, response } = await client.responses.create({ model: named("slow"), input: hello, stream: true }).withResponse();
      let pieces = 0;
      for await (const event of stream)
        if (event.type === "response.output_text.delta" && ++pieces === 4) stream.controller.abort();
      return { pieces, requestId: response.headers.get("x-request-id") };
    },
  };
}

// --- Vercel's

// The last answer's id, which the SDK does not tell of a stream that was aborted.
let requestId = null;
async function fetchAndNote(...args) {
  const response = await fetch(...args);
  requestId = response.headers.get("x-request-id");
  return response;
}

function vercelScenarios(speak) {
  const ask = { model: speak(model), messages: hello, maxOutputTokens: 200, maxRetries: 0 };
  const seen = [];
  const weather = tool({ description: "The weather.", inputSchema: jsonSchema(schema),
                         execute: async (input) => { seen.push(input); return { sky: "sunny" }; } });
  return {
    async chat() {
      const answer = await generateText(ask);
      return { text: answer.text, finish: answer.finishReason, output: answer.usage.outputTokens };
    },
    async stream() {
      let text = "";
      const result = streamText(ask);
      for await (const piece of result.textStream) text += piece;
      return { text, whole: await result.text, finish: await result.finishReason, output: (await result.usage).outputTokens };
    },
    async loop() {
      const answer = await generateText({ ...ask, tools: { get_weather: weather }, stopWhen: isStepCount(4) });
      return { input: seen[0], steps: answer.steps.length, text: answer.text };
    },
    async loop_stream() {
      const result = streamText({ ...ask, tools: { get_weather: weather }, stopWhen: isStepCount(4) });
      for await (const _ of result.textStream);
      return { input: seen.at(-1), steps: (await result.steps).length, text: await result.text };
    },
    async thoughts() {
      if (!thinker) return null;
      const result = streamText({ ...ask, model: speak(named(thinker)), maxOutputTokens: 4000,
                                  tools: { get_weather: weather }, stopWhen: isStepCount(4),
                                  providerOptions: { openai: { store: false, include: ["reasoning.encrypted_content"] } } });
      for await (const _ of result.textStream);
      return { steps: (await result.steps).length, text: await result.text };
    },
    async structured() {
      return (await generateText({ ...ask, output: Output.object({ schema: jsonSchema(schema) }) })).output;
    },
    async image() {
      const content = [{ type: "text", text: "What is this?" }, { type: "image", image: Buffer.from(pixel, "base64"), mediaType: "image/png" }];
      return { text: (await generateText({ ...ask, messages: [{ role: "user", content }] })).text };
    },
    async errors() {
      const fails = (name) => failure(() => generateText({ ...ask, model: speak(name) }));
      return { model: await fails("no-such-model"), limited: await fails(named("simulator-error-429")) };
    },
    async abort() {
      const controller = new AbortController();
      requestId = null;
      const result = streamText({ ...ask, model: speak(named("slow")), maxOutputTokens: 5000, abortSignal: controller.signal });
      let pieces = 0;
      for await (const part of result.fullStream) if (part.type === "text-delta" && ++pieces === 4) controller.abort();
      return { pieces, requestId };
    },
  };
}

const all = {
  "anthropic": anthropicScenarios,
  "openai": openaiScenarios,
  "ai-chat": () => vercelScenarios(createOpenAI({ fetch: fetchAndNote, baseURL: url + "/v1", apiKey }).chat),
  "ai-responses": () => vercelScenarios(createOpenAI({ fetch: fetchAndNote, baseURL: url + "/v1", apiKey })),
  "ai-anthropic": () => vercelScenarios(createAnthropic({ fetch: fetchAndNote, baseURL: url + "/anthropic/v1", apiKey })),
  "ai-google": () => {
    const google = createGoogle({ fetch: fetchAndNote, baseURL: url + "/genai/v1beta", apiKey });
    return vercelScenarios((name) => google("models/" + name)); // else a name with a slash is taken for a path
  },
};
const found = {};
for (const [name, work] of Object.entries(all[sdk]())) {
  try {
    found[name] = await work() ?? {};
  } catch (error) {
    found[name] = { failed: String(error.stack ?? error).slice(0, 2000) + " " + (error.responseBody ?? "") };
  }
}
console.log(JSON.stringify(found));
process.exit(0);
