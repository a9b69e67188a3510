// The openai library for Node, unmodified, against the gateway at $GATEWAY: what it asks and gets, whoever answers.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.env.GWSIM_SDK + "/");
const { OpenAI } = require("openai");
const client = (apiKey = "app", options = {}) => new OpenAI({ baseURL: process.env.GATEWAY + "/v1", apiKey, maxRetries: 0, ...options });
const user = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

for (const model of ["gpt", "claude"]) {
  const asked = { model, messages: user("Hi [[gwsim output=12]]"), max_tokens: 500 };
  const answer = await client().chat.completions.create(asked);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.completion_tokens, 12);
  let text = "";
  let usage;
  for await (const chunk of await client().chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text.trim(), answer.choices[0].message.content.trim());
  assert.equal(usage.completion_tokens, 12);
  const question = { ...asked, messages: user("Weather in Zürich? [[gwsim tool]]"), tools, tool_choice: "required" };
  const streamed = await client().chat.completions.stream(question).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls.length, 1);
  const message = (await client().chat.completions.create(question)).choices[0].message;
  assert.ok("city" in JSON.parse(message.tool_calls[0].function.arguments));
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "12 degrees" };
  const end = await client().chat.completions.create({ ...asked, tools, messages: [...question.messages, message, result, ...user("So? [[gwsim output=4]]")] });
  assert.ok(end.choices[0].message.content);
}
const embedding = await client().embeddings.create({ model: "embed", input: "one", dimensions: 8 });
assert.equal(embedding.data[0].embedding.length, 8);
const ask = (apiKey, model, options) => client(apiKey, options).chat.completions.create({ model, messages: user("Hi [[gwsim output=2]]"), max_tokens: 9 });
await assert.rejects(ask("wrong", "gpt"), OpenAI.AuthenticationError);
await assert.rejects(ask("narrow", "claude"), OpenAI.PermissionDeniedError);
await assert.rejects(ask("app", "nothing"), OpenAI.NotFoundError);
await assert.rejects(ask("poor", "gpt"), OpenAI.RateLimitError);
let sent = 0;
const counting = (...request) => (sent++, fetch(...request));
await assert.rejects(ask("app", "down", { maxRetries: 2, fetch: counting }), OpenAI.InternalServerError);
assert.equal(sent, 3);
console.log("all is well");
