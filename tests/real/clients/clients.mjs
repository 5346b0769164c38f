// SPDX-License-Identifier: MIT
// What users' clients from npm make of a brickd: clients.mjs URL. A line of JSON for each case of each client:
// { client, name, failure }, where failure is null if all is well.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { generateText, jsonSchema, streamText } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI } from '@langchain/openai';

const [origin] = process.argv.slice(2);
const baseURL = `${origin}/v1`;
const TOKENS = 'tok0 tok1 tok2 tok3 tok4 ';

// Each says, as { text, usage }, what it has got, or throws what the client has thrown.

const openai = (token, more = {}) => new OpenAI({ baseURL, apiKey: token, maxRetries: 0, ...more });
const question = (model, prompt) => ({ model, messages: [{ role: 'user', content: prompt }] });

const openaiClient = {
  async unary(model, { token = 'web', retries = 0, body = {} } = {}) {
    const answer = await openai(token, { maxRetries: retries }).chat.completions.create({ ...question(model, 'hello'), ...body });
    return { text: answer.choices[0].message.content, usage: answer.usage?.total_tokens };
  },
  async stream(model, { token = 'web', each = () => {}, signal } = {}) {
    let text = '', usage;
    const asked = { ...question(model, 'hello'), max_tokens: 5, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await openai(token).chat.completions.create(asked, { signal })) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage?.total_tokens ?? usage;
      each(text);
    }
    signal?.throwIfAborted(); // of which the client says nothing
    return { text, usage };
  },
};

const openaiStreamClient = {
  unary: openaiClient.unary,
  async stream(model, { token = 'web', each = () => {}, signal } = {}) {
    const asked = { ...question(model, 'hello'), max_tokens: 5, stream_options: { include_usage: true } };
    const stream = openai(token).chat.completions.stream(asked, { signal });
    stream.on('content', (_, text) => each(text));
    const answer = await stream.finalChatCompletion();
    return { text: answer.choices[0].message.content, usage: answer.usage?.total_tokens };
  },
};

const responsesClient = {
  async unary(model, { token = 'web', retries = 0, body = {} } = {}) {
    const answer = await openai(token, { maxRetries: retries }).responses.create({ model, input: 'hello', ...body });
    return { text: answer.output_text, usage: answer.usage?.total_tokens };
  },
  async stream(model, { token = 'web', each = () => {}, signal } = {}) {
    const stream = openai(token).responses.stream({ model, input: 'hello', max_output_tokens: 5 }, { signal });
    let text = '';
    stream.on('response.output_text.delta', event => each(text += event.delta));
    const answer = await stream.finalResponse();
    signal?.throwIfAborted();
    return { text: answer.output_text, usage: answer.usage?.total_tokens };
  },
};

const ai = modelOf => ({
  async unary(model, { token = 'web', retries = 0, body = {} } = {}) {
    const answer = await generateText({ model: modelOf(token)(model), prompt: 'hello', maxRetries: retries,
      tools: body.tools && { time: { description: 'now', inputSchema: jsonSchema({ type: 'object', properties: {} }) } } });
    return { text: answer.text, usage: answer.usage.totalTokens };
  },
  async stream(model, { token = 'web', each = () => {}, signal } = {}) {
    let text = '', failure;
    const answer = streamText({
      model: modelOf(token)(model), prompt: 'hello', maxOutputTokens: 5, maxRetries: 0, abortSignal: signal,
      onError: ({ error }) => { failure = error; },
    });
    for await (const part of answer.textStream) each(text += part);
    if (failure) throw failure;
    signal?.throwIfAborted(); // nor this one
    return { text, usage: (await answer.usage).totalTokens };
  },
});

const langchainClient = {
  model: (model, token, more) => new ChatOpenAI({ model, apiKey: token, configuration: { baseURL }, maxRetries: 0, ...more }),
  async unary(model, { token = 'web', retries = 0, body = {} } = {}) {
    let chat = this.model(model, token, { maxRetries: retries });
    if (body.tools) chat = chat.bindTools(body.tools);
    const answer = await chat.invoke('hello');
    return { text: answer.content, usage: answer.usage_metadata?.total_tokens };
  },
  async stream(model, { token = 'web', each = () => {}, signal } = {}) {
    let text = '', usage;
    for await (const part of await this.model(model, token, { maxTokens: 5 }).stream('hello', { signal })) {
      each(text += part.content);
      usage = part.usage_metadata?.total_tokens ?? usage;
    }
    return { text, usage };
  },
};

const clients = {
  'openai create()': openaiClient,
  'openai stream()': openaiStreamClient,
  'openai responses': responsesClient,
  'ai, @ai-sdk/openai default': ai(token => createOpenAI({ baseURL, apiKey: token })),
  'ai, @ai-sdk/openai chat': ai(token => createOpenAI({ baseURL, apiKey: token }).chat),
  'ai, @ai-sdk/openai-compatible': ai(token => createOpenAICompatible({ name: 'brickd', baseURL, apiKey: token, includeUsage: true })),
  '@langchain/openai': langchainClient,
};

// The status of what a client has thrown, wherever it keeps it, and all that it says.
function causes(error) {
  const all = [];
  for (let e = error; e && !all.includes(e); e = e.cause ?? e.lastError) all.push(e);
  return all;
}
const statusOf = error => causes(error).map(e => e.status ?? e.statusCode ?? e.code).find(code => code !== undefined);
const saidBy = error => causes(error).map(e => `${e.message} ${e.code ?? ''} ${e.param ?? ''} ${e.responseBody ?? ''} ${JSON.stringify(e)}`).join(' ');

async function fails(promise, status, ...words) {
  const error = await promise.then(got => assert.fail(`no error, but ${JSON.stringify(got)}`), e => e);
  if (error instanceof assert.AssertionError) throw error;
  if (status) assert.equal(Number(statusOf(error)), status, saidBy(error));
  for (const word of words) assert.match(saidBy(error), word);
  return error;
}

const tool = { type: 'function', function: { name: 'time', description: 'now', parameters: { type: 'object', properties: {} } } };

const cases = {
  async unary(c) {
    assert.equal((await c.unary('chat')).text, 'Echo: hello');
  },
  async stream(c) {
    const parts = [];
    assert.equal((await c.stream('chat', { each: text => parts.push(text) })).text, TOKENS);
    assert.ok(parts.length >= 5, `${parts.length} parts`);
  },
  async usage(c) {
    assert.deepEqual(await c.unary('counted'), { text: 'Hello you', usage: 12 });
    assert.deepEqual(await c.stream('counted'), { text: 'Hello you', usage: 12 });
  },
  async abort(c) {
    const abort = new AbortController();
    const left = c.stream('slow', { signal: abort.signal, each: text => text && abort.abort() });
    await fails(left, null, /abort/i);
  },
  async 'no token'(c) {
    await fails(c.unary('chat', { token: 'wrong' }), 401, /token|key/i);
    await fails(c.stream('chat', { token: 'wrong' }), 401, /token|key/i);
  },
  async 'no such model'(c) {
    await fails(c.unary('none'), 404, /model_not_found/);
    await fails(c.stream('none'), 404, /model_not_found/);
  },
  async 'tools are refused'(c) {
    await fails(c.unary('chat', { body: { tools: [tool] } }), 400, /unsupported_parameter/, /tools/);
  },
  async 'rate limit'(c) {
    const token = 'slow';
    await fails((async () => { for (let i = 0; i < 20; i++) await c.unary('chat', { token }); })(), 429, /rate_limit_exceeded/);
    // Waits as long as it is told, and then is served.
    assert.equal((await c.unary('chat', { token, retries: 5 })).text, 'Echo: hello');
  },
  async 'unavailable'(c) {
    await fails(c.unary('busy'), 503, /overloaded/);
    await fails(c.stream('busy'), 503, /overloaded/);
  },
  async 'failure in mid-stream'(c) {
    let seen = '';
    await fails(c.stream('broken', { each: text => { seen = text; } }), null, /no luck/);
    assert.equal(seen, 'tok0 tok1 tok2 tok3 ');
  },
};

async function run(client, name, work) {
  let failure = null;
  try {
    await work();
  } catch (error) {
    failure = `${error.stack}`.slice(0, 1500);
  }
  console.log(JSON.stringify({ client, name, failure }));
}

for (const [client, c] of Object.entries(clients))
  for (const [name, work] of Object.entries(cases)) await run(client, name, () => work(c));

await run('openai create()', 'list of models', async () => {
  const models = await openai('web').models.list();
  assert.ok(models.data.map(m => m.id).includes('chat'));
  assert.equal((await openai('web').models.retrieve('chat')).id, 'chat');
  await fails(openai('web').models.retrieve('none'), 404, /model_not_found/);
});
process.exit(0);
