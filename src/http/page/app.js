// The page of brickd's ports for HTTP. What comes from the server is shown as text, never as HTML.

const $ = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
};
const options = (names) => names.map((name) => element('option', { textContent: name }));

// --- talking to the server -------------------------------------------------------------------

const token = () => $('token').value.trim();

$('token').value = sessionStorage.token ?? '';
$('access').hidden = !token();
$('access').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.token = token();
  start();
});

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

function askForToken() {
  $('access').hidden = false;
  notice(token() ? 'The server does not accept this token.' : 'This server asks for a token.');
  $('token').focus();
}

async function problem(reply) {
  const text = await reply.text();
  try {
    const { message, detail, brick_code: code } = JSON.parse(text).error;
    return message + (detail ? `\n${detail}` : '') + (code ? `\nThe brick's code: ${code}` : '');
  } catch {
    return text || `The server has answered with status ${reply.status}.`;
  }
}

async function ask(path, body, signal) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const reply = await fetch(path, { method: body === undefined ? 'GET' : 'POST', headers, body, signal });
  if (reply.status === 401) askForToken();
  if (!reply.ok) throw new Error(await problem(reply));
  return reply;
}

const list = async (path) => (await (await ask(path)).json()).data;

// The lines of a reply that arrives piece by piece.
async function* lines(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    const parts = (rest + (value ?? '')).split('\n');
    rest = parts.pop();
    yield* parts;
    if (done) break;
  }
  if (rest) yield rest;
}

// --- tabs ------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll('[role=tab]')];

function show(tab) {
  for (const t of tabs) {
    t.setAttribute('aria-selected', t === tab);
    t.tabIndex = t === tab ? 0 : -1;
    $(t.getAttribute('aria-controls')).hidden = t !== tab;
  }
  if (tab.id === 'tab-bricks') refresh();
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener('click', () => show(tab));
  tab.addEventListener('keydown', (event) => {
    const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    next.focus();
    show(next);
  });
}

// --- chat ------------------------------------------------------------------------------------

let messages = [];
let running = null; // AbortController of the answer that arrives

// Does something that makes the conversation longer; its end stays in sight if it was.
function follow(change, always) {
  const log = $('log');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const result = change();
  if (atEnd || always) log.scrollTop = log.scrollHeight;
  return result;
}

function turn(kind, label, text) {
  const e = element('article', { className: `turn ${kind}`, textContent: text, ariaLabel: label });
  return follow(() => $('log').appendChild(e), kind === 'user');
}

function chatBody(conversation) {
  const body = { model: $('model').value, messages: [...conversation], stream: true, stream_options: { include_usage: true } };
  if ($('system').value.trim()) body.messages.unshift({ role: 'system', content: $('system').value });
  if ($('temperature').value !== '') body.temperature = Number($('temperature').value);
  if ($('most').value !== '') body.max_completion_tokens = Number($('most').value);
  return JSON.stringify(body);
}

function facts({ begun, first, last, pieces, usage, finish, stopped }) {
  const said = [];
  const tokens = usage?.completion_tokens ?? pieces;
  if (first) said.push(`First text after ${Math.round(first - begun)} ms`);
  if (last > first) said.push(`${(((tokens - 1) * 1000) / (last - first)).toFixed(1)} ${usage ? 'tokens' : 'pieces'}/s`);
  if (usage) said.push(`${usage.prompt_tokens} tokens in, ${usage.completion_tokens} out`);
  if (finish && finish !== 'stop') said.push(`ended by ${finish}`);
  if (stopped) said.push('stopped');
  $('facts').textContent = said.join(' · ');
}

function take(chunk, answer, state) {
  if (chunk.error) throw new Error(chunk.error.message);
  const choice = chunk.choices?.[0];
  state.usage = chunk.usage ?? state.usage;
  state.finish = choice?.finish_reason ?? state.finish;
  if (choice?.delta?.content) {
    state.last = performance.now();
    state.first ??= state.last;
    state.pieces++;
    state.text += choice.delta.content;
    follow(() => answer.append(choice.delta.content));
  }
  facts(state);
}

async function receive(reply, answer, state) {
  for await (const line of lines(reply)) {
    if (!line.startsWith('data:')) continue;
    const data = line.slice(5).trim();
    if (data === '[DONE]') return;
    take(JSON.parse(data), answer, state);
  }
  throw new Error('The connection has ended before the answer was complete.');
}

function setRunning(controller) {
  running = controller;
  $('send').hidden = Boolean(running);
  $('stop').hidden = !running;
}

// What stands between lines of ``` is code.
const parts = (text) => text.split(/^ *```.*\n?/m).map((part, i) => (i % 2 ? element('pre', { textContent: part.trimEnd() }) : part.trim()));

// An answer without text leaves no trace in the conversation: the question can be sent again.
function conclude(conversation, question, answer, text) {
  answer.ariaBusy = false;
  if (text) {
    conversation.push({ role: 'assistant', content: text });
    follow(() => answer.replaceChildren(...parts(text)));
    return;
  }
  $('text').value ||= conversation.pop().content;
  question.remove();
  answer.remove();
}

async function say(text) {
  const conversation = messages;
  const state = { begun: performance.now(), pieces: 0, text: '' };
  conversation.push({ role: 'user', content: text });
  const question = turn('user', 'You', text);
  const answer = turn('assistant', $('model').value, '');
  answer.ariaBusy = true;
  setRunning(new AbortController());
  notice('');
  facts(state);
  try {
    await receive(await ask('/v1/chat/completions', chatBody(conversation), running.signal), answer, state);
    conclude(conversation, question, answer, state.text);
  } catch (error) {
    conclude(conversation, question, answer, state.text);
    if (error.name === 'AbortError') facts({ ...state, stopped: true });
    else turn('error', 'Error', error.message);
  }
  setRunning(null);
  if ($('access').hidden || token()) $('text').focus();
}

$('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('text').value;
  if (running || !text.trim()) return;
  $('text').value = '';
  say(text);
});
$('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('say').requestSubmit();
});
$('stop').addEventListener('click', () => running?.abort());
$('clear').addEventListener('click', () => {
  running?.abort();
  messages = [];
  $('log').replaceChildren();
  $('facts').textContent = '';
  $('text').focus();
});

// --- bricks ----------------------------------------------------------------------------------

let bricks = [];

function card(brick) {
  const health = element('span', brick.healthy ? { className: 'good', textContent: '● healthy' }
    : { className: 'bad', textContent: '▲ not healthy' });
  const numbers = { Calls: brick.calls, Failures: brick.failures, 'In flight': brick.in_flight, Queued: brick.queued };
  const call = element('button', { textContent: 'Call', ariaLabel: `Call ${brick.name}` });
  call.addEventListener('click', () => { $('brick').value = brick.name; chooseBrick(); show($('tab-call')); });
  return element('li', {},
    element('h2', {}, brick.name, element('small', { textContent: brick.type }), health),
    element('p', { className: 'bad', textContent: brick.reason ?? '', hidden: !brick.reason }),
    element('dl', {}, ...Object.entries(numbers).map(([name, n]) => element('div', {},
      element('dt', { textContent: name }), element('dd', { textContent: n.toLocaleString('en') })))),
    element('p', { className: 'soft', textContent: [...brick.methods, ...brick.models.map((m) => `model ${m}`)].join(' · ') }),
    call);
}

async function refresh() {
  const focused = document.activeElement?.ariaLabel;
  try {
    bricks = await list('/v1/bricks');
    $('list').replaceChildren(...bricks.map(card));
    if (focused) $('list').querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
    notice('');
  } catch (error) {
    if ($('access').hidden || token()) notice(error.message);
  }
}

setInterval(() => { if (!$('bricks').hidden && !document.hidden && $('notice').hidden) refresh(); }, 2000);

// --- any call --------------------------------------------------------------------------------

let calling = null;

function chooseBrick() {
  const brick = bricks.find((b) => b.name === $('brick').value);
  const methods = (brick?.methods ?? []).filter((m) => m !== 'BidiStreaming');
  $('method').replaceChildren(...options(methods));
  $('method').value = methods.find((m) => m === 'Unary') ?? methods[0];
  chooseMethod();
}

function chooseMethod() {
  const brick = bricks.find((b) => b.name === $('brick').value);
  const example = brick?.example ?? {};
  $('request').value = {
    GetServiceInfo: '{}',
    InputStreaming: [example, example].map((m) => JSON.stringify(m)).join('\n'), // a line for each message
  }[$('method').value] ?? JSON.stringify(example, null, 2);
  recipes();
}

const path = () => `/v1/bricks/${encodeURIComponent($('brick').value)}/${$('method').value}`;
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// A JSON value as Python writes it.
function python(value, indent = '    ') {
  const inner = `${indent}    `;
  const block = (open, parts, close) => (parts.length ? `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}` : open + close);
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return block('[', value.map((v) => python(v, inner)), ']');
  if (typeof value === 'object') return block('{', Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${python(v, inner)}`), '}');
  return JSON.stringify(value);
}

function pythonRecipe(url, text) {
  const many = $('method').value === 'InputStreaming';
  let request;
  try {
    request = many ? python(text.split('\n').filter((l) => l.trim()).map((l) => JSON.parse(l))) : python(JSON.parse(text));
  } catch {
    return '# The request is not JSON.';
  }
  return [
    `import json${token() ? ', os' : ''}, urllib.request`,
    '',
    'call = urllib.request.Request(',
    `    ${JSON.stringify(url)},`,
    many ? `    "\\n".join(map(json.dumps, ${request})).encode(),` : `    json.dumps(${request}).encode(),`,
    `    {"Content-Type": "application/json"${token() ? ', "Authorization": "Bearer " + os.environ["TOKEN"]' : ''}})`,
    'with urllib.request.urlopen(call) as reply:',
    '    for line in reply:',
    '        print(json.loads(line))',
  ].join('\n');
}

function recipes() {
  const url = location.origin + path();
  const authorization = token() ? ' \\\n  -H "Authorization: Bearer $TOKEN"' : '';
  $('curl').textContent = `curl -N \\\n  ${quoted(url)}${authorization} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted($('request').value)}`;
  $('python').textContent = pythonRecipe(url, $('request').value);
}

// A line of a stream as it is; the one reply of a call with indentation.
function pretty(line) {
  try {
    return $('method').value === 'OutputStreaming' ? line : JSON.stringify(JSON.parse(line), null, 2);
  } catch {
    return line;
  }
}

function setCalling(controller) {
  calling = controller;
  $('run').hidden = Boolean(calling);
  $('cancel').hidden = !calling;
}

async function call() {
  const begun = performance.now();
  setCalling(new AbortController());
  $('reply').textContent = $('took').textContent = '';
  $('reply').className = '';
  notice('');
  try {
    const reply = await ask(path(), $('request').value, calling.signal);
    for await (const line of lines(reply)) if (line) $('reply').append(`${pretty(line)}\n`);
  } catch (error) {
    if (error.name !== 'AbortError') $('reply').className = 'bad';
    $('reply').append(error.name === 'AbortError' ? 'Stopped.' : error.message);
  }
  setCalling(null);
  $('took').textContent = `after ${(performance.now() - begun).toFixed(1)} ms`;
}

for (const button of document.querySelectorAll('[data-copies]')) {
  button.hidden = !navigator.clipboard; // browsers have it for HTTPS and for this machine only
  button.addEventListener('click', () => navigator.clipboard.writeText($(button.dataset.copies).textContent));
}

$('ask').addEventListener('submit', (event) => { event.preventDefault(); if (!calling) call(); });
$('cancel').addEventListener('click', () => calling?.abort());
$('brick').addEventListener('change', chooseBrick);
$('method').addEventListener('change', chooseMethod);
$('request').addEventListener('input', recipes);
$('request').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('ask').requestSubmit();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') (running ?? calling)?.abort();
});

// --- start -----------------------------------------------------------------------------------

async function start() {
  notice('');
  try {
    const models = await list('/v1/models');
    bricks = await list('/v1/bricks');
    $('model').replaceChildren(...options(models.map((m) => m.id)));
    $('brick').replaceChildren(...options(bricks.map((b) => b.name)));
    $('list').replaceChildren(...bricks.map(card));
    if (models.length === 0) notice('This port has no brick of type LLM to chat with: see Call.');
    chooseBrick();
  } catch (error) {
    if ($('notice').hidden) notice(error.message);
  }
}

start();
