// The page of brickd's HTTP door. Whatever comes from the server is shown as text, never as HTML.

const $ = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children);
  return e;
};

// --- talking to the server -------------------------------------------------------------------

$('token').value = sessionStorage.token ?? '';
$('token').addEventListener('input', () => { sessionStorage.token = $('token').value; });
$('access').addEventListener('submit', (event) => { event.preventDefault(); start(); });

async function ask(path, body, signal) {
  const headers = {};
  if ($('token').value) headers.Authorization = `Bearer ${$('token').value}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const reply = await fetch(path, { method: body === undefined ? 'GET' : 'POST', headers, body, signal });
  $('access').classList.toggle('asked', reply.status === 401);
  if (reply.status === 401) $('token').focus();
  if (!reply.ok) throw new Error(await problem(reply));
  return reply;
}

async function problem(reply) {
  const text = await reply.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text || `The server answered ${reply.status}.`;
  }
}

// The lines of a reply that arrives piece by piece.
async function* lines(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    rest += value ?? '';
    const parts = rest.split('\n');
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

for (const tab of tabs) {
  tab.addEventListener('click', () => show(tab));
  tab.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    show(next);
  });
}

// --- chat ------------------------------------------------------------------------------------

let messages = [];
let running = null; // AbortController of the answer that arrives

function turn(kind, text) {
  const e = element('div', { className: `turn ${kind}`, textContent: text });
  const atEnd = $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 40;
  $('log').append(e);
  if (atEnd || kind === 'user') e.scrollIntoView({ block: 'end' });
  return e;
}

function chatBody() {
  const body = { model: $('model').value, messages: [...messages], stream: true, stream_options: { include_usage: true } };
  if ($('system').value.trim()) body.messages.unshift({ role: 'system', content: $('system').value });
  if ($('temperature').value !== '') body.temperature = Number($('temperature').value);
  if ($('most').value !== '') body.max_completion_tokens = Number($('most').value);
  return body;
}

function facts({ first, begun, pieces, usage, finish }) {
  const seconds = (performance.now() - (first ?? begun)) / 1000;
  const tokens = usage?.completion_tokens ?? pieces;
  const parts = [];
  if (first) parts.push(`first text after ${Math.round(first - begun)} ms`);
  if (pieces > 1 && seconds > 0.01) parts.push(`${(tokens / seconds).toFixed(1)} ${usage ? 'tokens' : 'pieces'}/s`);
  if (usage) parts.push(`${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  if (finish && finish !== 'stop') parts.push(`ended: ${finish}`);
  $('facts').textContent = parts.join(' · ');
}

async function receive(reply, answer, state) {
  for await (const line of lines(reply)) {
    if (!line.startsWith('data:')) continue;
    const data = line.slice(5).trim();
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    state.usage = chunk.usage ?? state.usage;
    const choice = chunk.choices?.[0];
    state.finish = choice?.finish_reason ?? state.finish;
    if (!choice?.delta?.content) continue;
    state.first ??= performance.now();
    state.pieces++;
    const atEnd = $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 40;
    answer.textContent += choice.delta.content;
    if (atEnd) $('log').scrollTop = $('log').scrollHeight;
    facts(state);
  }
}

async function say(text) {
  const state = { begun: performance.now(), pieces: 0 };
  running = new AbortController();
  messages.push({ role: 'user', content: text });
  turn('user', text);
  const answer = turn('assistant busy', '');
  $('send').hidden = true;
  $('stop').hidden = false;
  $('facts').textContent = '';
  try {
    await receive(await ask('/v1/chat/completions', JSON.stringify(chatBody()), running.signal), answer, state);
    facts(state);
  } catch (error) {
    if (error.name !== 'AbortError') turn('error', error.message).setAttribute('role', 'alert');
    else $('facts').textContent += ' · stopped';
  }
  answer.classList.remove('busy');
  if (answer.textContent) messages.push({ role: 'assistant', content: answer.textContent });
  else { answer.remove(); messages.pop(); }
  running = null;
  $('send').hidden = false;
  $('stop').hidden = true;
  $('text').focus();
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
document.addEventListener('keydown', (event) => { if (event.key === 'Escape') running?.abort(); });
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
  const health = element('span', { className: brick.serving ? 'good' : 'bad', textContent: brick.serving ? 'serving' : 'not serving' });
  const rows = [['Methods', brick.methods.join(', ')], ['In flight', brick.in_flight], ['Calls', brick.calls], ['Errors', brick.errors]];
  if (brick.reason) rows.unshift(['Reason', brick.reason]);
  const call = element('button', { type: 'button', textContent: 'Call it' });
  call.addEventListener('click', () => { $('brick').value = brick.name; choose(); show($('tab-call')); });
  return element('li', {},
    element('div', {}, element('strong', { textContent: brick.name }), element('small', { textContent: `${brick.type} · ` }), health),
    element('dl', {}, ...rows.flatMap(([name, value]) => [element('dt', { textContent: name }), element('dd', { textContent: value ?? '' })])),
    call);
}

async function refresh() {
  try {
    bricks = (await (await ask('/v1/bricks')).json()).data;
    $('list').replaceChildren(...bricks.map(card));
    $('bricks-note').textContent = '';
  } catch (error) {
    $('bricks-note').textContent = error.message;
  }
}

setInterval(() => { if (!$('bricks').hidden && !document.hidden) refresh(); }, 3000);

// --- any call --------------------------------------------------------------------------------

let calling = null;

function choose() {
  const brick = bricks.find((b) => b.name === $('brick').value);
  $('method').replaceChildren(...(brick?.methods ?? []).filter((m) => m !== 'BidiStreaming').map((m) => element('option', { textContent: m })));
  $('request').value = JSON.stringify(brick?.example ?? {}, null, 2);
  recipes();
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function recipes() {
  const url = `${location.origin}/v1/bricks/${encodeURIComponent($('brick').value)}/${$('method').value}`;
  const token = $('token').value ? " \\\n  -H 'Authorization: Bearer '\"$TOKEN\"" : '';
  $('curl').textContent = `curl -N ${quoted(url)}${token} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted($('request').value)}`;
  $('python').textContent = [
    'import json, urllib.request',
    '',
    `request = urllib.request.Request(${JSON.stringify(url)},`,
    `    json.dumps(json.loads(r'''${$('request').value}''')).encode(),`,
    `    {"Content-Type": "application/json"${$('token').value ? ', "Authorization": "Bearer " + TOKEN' : ''}})`,
    'with urllib.request.urlopen(request) as reply:',
    '    for line in reply:',
    '        print(line.decode(), end="")',
  ].join('\n');
}

async function call() {
  const begun = performance.now();
  calling = new AbortController();
  $('reply').textContent = $('took').textContent = '';
  $('cancel').hidden = false;
  try {
    const reply = await ask(`/v1/bricks/${encodeURIComponent($('brick').value)}/${$('method').value}`, $('request').value, calling.signal);
    for await (const line of lines(reply)) $('reply').textContent += `${pretty(line)}\n`;
  } catch (error) {
    $('reply').textContent += error.name === 'AbortError' ? 'Stopped.' : error.message;
  }
  calling = null;
  $('cancel').hidden = true;
  $('took').textContent = `${(performance.now() - begun).toFixed(1)} ms`;
}

function pretty(line) {
  try {
    return JSON.stringify(JSON.parse(line), null, 2);
  } catch {
    return line;
  }
}

$('ask').addEventListener('submit', (event) => { event.preventDefault(); if (!calling) call(); });
$('cancel').addEventListener('click', () => calling?.abort());
$('brick').addEventListener('change', choose);
$('method').addEventListener('change', recipes);
$('request').addEventListener('input', recipes);

// --- start -----------------------------------------------------------------------------------

async function start() {
  try {
    const models = (await (await ask('/v1/models')).json()).data;
    $('model').replaceChildren(...models.map((m) => element('option', { textContent: m.id })));
    $('facts').textContent = models.length ? '' : 'This port has no brick of type LLM: see Call.';
    await refresh();
    $('brick').replaceChildren(...bricks.map((b) => element('option', { textContent: b.name })));
    choose();
  } catch (error) {
    $('facts').textContent = error.message;
  }
}

start();
