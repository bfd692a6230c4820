// The official OpenAI SDK for Node against a gateway: one scenario a run, its findings as JSON on
// standard output. What they must be is said in test_sdk_node.py.
import OpenAI from "openai";

const [scenario, model] = process.argv.slice(2);
const options = { baseURL: process.env.GATEWAY_URL + "/v1", apiKey: process.env.GATEWAY_KEY, maxRetries: 0 };
const client = new OpenAI({ ...options, timeout: 20000 });
const messages = [{ role: "user", content: "Hello there!" }];
const parameters = {
  type: "object", additionalProperties: false, required: ["city", "unit"],
  properties: { city: { type: "string" }, unit: { enum: ["C", "F"] } },
};
const tools = [{ type: "function", function: { name: "get_weather", strict: true, parameters } }];

// The name of the SDK's own exception, and what it tells.
async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code,
             source: error.error?.source, requestId: error.requestID };
  }
  return { kind: "none" };
}

const scenarios = {
  async chat() {
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    return { content: data.choices[0].message.content, finish: data.choices[0].finish_reason, usage: data.usage,
             requestId: data._request_id, provider: response.headers.get("x-headgate-provider") };
  },
  async stream() {
    let content = "", chunks = 0, usage = null, finish = null;
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      chunks++;
      content += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    return { content, chunks, usage, finish };
  },
  async stream_usage() {
    const stream = await client.chat.completions.create({
      model, messages, stream: true, stream_options: { include_usage: true } });
    let last = null;
    for await (const chunk of stream) last = chunk;
    return { usage: last.usage, choices: last.choices.length };
  },
  async tools() {
    const answer = await client.chat.completions.create({ model, messages, tools, tool_choice: "required" });
    const call = answer.choices[0].message.tool_calls[0];
    return { finish: answer.choices[0].finish_reason, name: call.function.name,
             arguments: JSON.parse(call.function.arguments) };
  },
  async tools_stream() {
    const runner = client.chat.completions.stream({ model, messages, tools, tool_choice: "required" });
    const final = await runner.finalChatCompletion();
    const call = final.choices[0].message.tool_calls[0];
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  },
  async images() {
    const pixel = "data:image/png;base64,iVBORw0KGgo=";
    const content = [{ type: "text", text: "What is this?" },
                     { type: "image_url", image_url: { url: "https://images.example/cat.png" } },
                     { type: "image_url", image_url: { url: pixel } }];
    const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content }] });
    return { content: answer.choices[0].message.content };
  },
  async structured() {
    const answer = await client.chat.completions.create({
      model, messages, response_format: { type: "json_schema", json_schema: { name: "weather", strict: true,
                                                                              schema: parameters } } });
    return JSON.parse(answer.choices[0].message.content);
  },
  async embeddings() {
    const answer = await client.embeddings.create({ model, input: ["one", "two"] });
    return { count: answer.data.length, numbers: answer.data.every((d) => d.embedding.every(Number.isFinite)),
             tokens: answer.usage.prompt_tokens };
  },
  async models() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    return { ids };
  },
  async errors() {
    const bad = new OpenAI({ ...options, apiKey: "sk-hg-" + "x".repeat(43) });
    const ask = (extra) => () => client.chat.completions.create({ model: "fake/m", messages, ...extra });
    return {
      key: await failure(() => bad.chat.completions.create({ model, messages })),
      model: await failure(() => client.chat.completions.create({ model: "no-such-model", messages })),
      invalid: await failure(() => client.post("/chat/completions", { body: { messages } })),
      limited: await failure(ask({ x_mock: "status=429;retry_after=1" })),
      broken: await failure(ask({ x_mock: "status=500" })),
      truncated: await failure(ask({ x_mock: "short=5" })),
    };
  },
  async stream_error() {
    const got = [];
    const error = await failure(async () => {
      const stream = await client.chat.completions.create({ model: "fake/m", messages, stream: true,
                                                            x_mock: "ev=6;rst@3" });
      for await (const chunk of stream) got.push(chunk.choices[0]?.delta?.content ?? "");
    });
    return { content: got.join(""), error };
  },
  async timeout() {
    return failure(() => client.chat.completions.create({ model: "fake/m", messages, stream: true,
                                                          x_mock: "ttfb=15000" }, { timeout: 300 }));
  },
  async abort() {
    const controller = new AbortController();
    const { data: stream, response } = await client.chat.completions.create(
      { model: "fake/m", messages, stream: true, x_mock: "ev=2000;gap=10" },
      { signal: controller.signal }).withResponse();
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 4) controller.abort();
    return { chunks, requestId: response.headers.get("x-request-id") };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
