'use strict';
// The page's life: ask, show, ask again. Everything that a client or a provider wrote goes into the document as text, never as markup.

const EVERY = 1000;       // ms between two looks at the calls
const STATE_EVERY = 2000; // ms between two looks at status and plugins
const CALLS = 200;        // what the gateway keeps
const $ = (id) => document.getElementById(id);

/** An element with properties and children; texts become text nodes. */
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

const hidden = (text) => h('span', { class: 'hidden' }, text);
const label = (text) => h('span', { class: 'label' }, text);
const pill = (kind, text) => h('span', { class: `pill ${kind}` }, text);
const code = (text) => h('code', null, text);
const number = (value) => Number(value).toLocaleString('en-US');
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? '' : 's'}`;

/** Microseconds as a person reads them. */
function time(us) {
  if (us === undefined || us === null) return '–';
  if (us < 1000) return `${us < 10 ? Math.round(us * 10) / 10 : Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e5 ? 1 : 0)} ms`;
  return `${(us / 1e6).toFixed(us < 6e7 ? 2 : 0)} s`;
}

function span(seconds) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
  const [size, unit] = seconds < 1 ? parts[3] : parts[at];
  const next = parts[at + 1];
  const rest = next && at < 2 ? ` ${Math.floor((seconds % size) / next[0])} ${next[1]}` : '';
  return `${Math.floor(seconds / size)} ${unit}${rest}`;
}

// ---- Rows that stay the same elements while their content changes, so that focus and what is opened survive.

class Rows {
  constructor(root, key, kind, build) {
    Object.assign(this, { root, key, kind, build, known: new Map() });
  }

  /** Shows these items in this order; `empty` where there are none. */
  show(items, empty) {
    const seen = new Set();
    let before = this.root.firstElementChild;
    for (const item of items) {
      const name = this.key(item);
      seen.add(name);
      const text = JSON.stringify(item);
      let row = this.known.get(name);
      if (!row) {
        row = { element: h('details', { class: this.kind }, h('summary'), h('div', { class: 'more' })) };
        this.known.set(name, row);
      }
      if (row.text !== text) {
        row.text = text;
        const [summary, more] = this.build(item);
        row.element.firstElementChild.replaceChildren(...summary);
        row.element.lastElementChild.replaceChildren(details(more));
      }
      if (row.element === before) before = before.nextElementSibling;
      else this.root.insertBefore(row.element, before);
    }
    for (const [name, row] of this.known) {
      if (!seen.has(name)) {
        row.element.remove();
        this.known.delete(name);
      }
    }
    for (const old of this.root.querySelectorAll(':scope > .empty')) old.remove();
    if (items.length === 0) this.root.append(h('div', { class: 'empty' }, empty));
  }
}

/** Name and value pairs; those without a value are left out. */
function details(pairs) {
  const list = h('dl');
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    const lines = Array.isArray(value) ? h('ul', { class: 'list' }, value.map((line) => h('li', null, line))) : value;
    list.append(h('dt', null, name), h('dd', null, typeof lines === 'object' ? lines : String(lines)));
  }
  return list;
}

// ---- How to call it

const tabs = ['curl', 'Python', 'Node', 'LangGraph'];
let chosen = tabs[0];

function snippet(kind, base, model, key) {
  const secret = key || 'dummy-key';
  switch (kind) {
    case 'curl':
      return `curl -s ${base}/chat/completions \\\n  -H 'content-type: application/json' \\\n`
        + (key ? `  -H 'authorization: Bearer ${key}' \\\n` : '')
        + `  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello, Sluice"}]}'`;
    case 'Python':
      return `from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="${secret}")
reply = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello, Sluice"}],
)
print(reply.choices[0].message.content)`;
    case 'Node':
      return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: "${secret}" });
const reply = await client.chat.completions.create({
  model: "${model}",
  messages: [{ role: "user", content: "Hello, Sluice" }],
});
console.log(reply.choices[0].message.content);`;
    default:
      return `from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph

model = ChatOpenAI(base_url="${base}", api_key="${secret}", model="${model}")


def talk(state: MessagesState):
    return {"messages": [model.invoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("talk", talk)
graph.add_edge(START, "talk")
graph.add_edge("talk", END)
state = graph.compile().invoke({"messages": [("user", "Hello, Sluice")]})
print(state["messages"][-1].content)`;
  }
}

/** A model that this gateway can serve, for the snippets. Quotes and backslashes would not survive in them. */
function model(status) {
  const provider = status && status.providers[0];
  const names = !status || status.demo ? ['openai/gpt-4o-mini'] : [
    ...status.aliases.map((alias) => alias.name),
    ...status.providers.flatMap((one) => one.models.map((name) => `${one.name}/${name}`)),
    provider && (provider.name === 'openai' ? 'openai/gpt-4o-mini' : `${provider.name}/MODEL`),
    'PROVIDER/MODEL',
  ];
  return names.find((name) => name && !/["'\\\n]/.test(name)) || 'PROVIDER/MODEL';
}

function showSnippet(status) {
  const base = `${location.origin}/v1`;
  $('base').textContent = base;
  const text = snippet(chosen, base, model(status), status && status.clients === 'keys' ? 'YOUR_KEY' : '');
  if ($('code').textContent !== text) $('code').textContent = text;
  for (const tab of $('tabs').children) {
    const selected = tab.textContent === chosen;
    tab.setAttribute('aria-selected', selected);
    tab.tabIndex = selected ? 0 : -1;
    if (selected) $('snippet').setAttribute('aria-labelledby', tab.id);
  }
}

async function copy() {
  let done = true;
  try {
    await navigator.clipboard.writeText($('code').textContent);
  } catch {
    // Only pages of https and of this machine may write to the clipboard.
    getSelection().selectAllChildren($('code'));
    done = false;
  }
  $('copied').textContent = done ? 'Copied.' : 'Selected: copy it with your keyboard.';
  $('copy').textContent = done ? 'Copied' : 'Selected';
  setTimeout(() => { $('copy').textContent = 'Copy'; $('copied').textContent = ''; }, 2500);
}

function makeTabs() {
  for (const name of tabs) {
    const tab = h('button', { type: 'button', role: 'tab', id: `tab-${name.toLowerCase()}`, 'aria-controls': 'snippet' }, name);
    tab.addEventListener('click', () => { chosen = name; showSnippet(seen.status); });
    $('tabs').append(tab);
  }
  $('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    chosen = tabs[(tabs.indexOf(chosen) + step + tabs.length) % tabs.length];
    showSnippet(seen.status);
    $(`tab-${chosen.toLowerCase()}`).focus();
  });
}

// ---- Status, providers, plugins

function note(kind, ...text) {
  return h('p', { class: `note ${kind}` }, ...text);
}

/** What the operator should know before anything else. */
function notes(status, trouble) {
  if (trouble) return [note(trouble.kind, trouble.text)];
  if (!status) return [];
  const out = [];
  if (status.demo) out.push(note('info', h('b', null, 'Demo mode. '), status.note));
  if (status.status === 'not ready') out.push(note('bad', h('b', null, 'Not ready: calls are refused. '), status.reason));
  const config = status.config;
  if (config.state !== 'active') {
    const file = config.file ? code(config.file) : 'the configuration';
    out.push(note('bad', h('b', null, 'The last good configuration is serving. '), 'The present text of ', file, ' cannot be used:\n', config.error || ''));
  }
  if (config.restart_needed.length > 0) {
    out.push(note('warn', h('b', null, 'A restart is needed '), `for what was changed in: ${config.restart_needed.join(', ')}`));
  }
  if (seen.problems.length > 0) {
    out.push(note('warn', h('b', null, 'Not everything is in service:'), `\n${seen.problems.join('\n')}`));
  }
  return out;
}

function showNotes(trouble) {
  const status = seen.status;
  const fresh = notes(status, trouble);
  const text = fresh.map((one) => one.outerHTML).join();
  if (seen.notes !== text) $('notes').replaceChildren(...fresh);
  seen.notes = text;
  const [kind, word] = trouble ? ['bad', trouble.word] : !status ? ['', '']
    : status.status === 'ok' ? ['good', 'ready'] : status.status === 'degraded' ? ['warn', 'ready, degraded'] : ['bad', status.status];
  $('state').className = `pill ${kind}`;
  if ($('state').textContent !== word) $('state').textContent = word;
}

function showStatus(status) {
  $('version').textContent = `v${status.version}`;
  $('facts').textContent = `up ${span(status.uptime_s)}, ${plural(status.calls, 'call')} under way`;
  const rows = status.providers.map((provider) => {
    const models = provider.models.slice(0, 4).join(', ') + (provider.models.length > 4 ? ` and ${provider.models.length - 4} more` : '');
    const good = provider.calls.ok || 0;
    const all = Object.values(provider.calls).reduce((sum, count) => sum + count, 0);
    return h('div', { class: 'row provider' },
      h('span', null, h('b', null, provider.name)),
      h('span', { class: 'mono' }, provider.address || 'built in'),
      h('span', null, hidden('Models: '), models || h('span', { class: 'dim' }, provider.address ? `any, as ${provider.name}/MODEL` : 'any name')),
      h('span', { class: 'dim' }, provider.keys.length > 0 ? `${provider.keys.length === 1 ? 'key' : 'keys'} ${provider.keys.join(', ')}` : 'no key'),
      h('span', { class: 'n dim' }, all === good ? plural(all, 'call') : `${plural(all, 'call')}, ${number(good)} ok`));
  });
  if (status.aliases.length > 0) {
    rows.push(h('div', { class: 'row' }, h('span', null, h('span', { class: 'dim' }, 'Aliases: '),
      status.aliases.map((alias, at) => [at > 0 ? ', ' : '', code(alias.name), ' is ', code(alias.target)]))));
  }
  const empty = h('div', { class: 'empty' }, 'None. Set ', code('OPENAI_API_KEY'), ' and start again, or name one in ', code('sluice.yaml'), ': ',
    code('providers: { openai: { keys: [env:OPENAI_API_KEY] } }'));
  const text = JSON.stringify([status.providers, status.aliases]);
  if (seen.providers !== text) $('providers').replaceChildren(...(rows.length > 0 ? rows : [empty]));
  seen.providers = text;
}

const STANDINGS = { ready: 'good', probe: 'warn', ejected: 'bad', drained: 'warn', cooling: 'warn', out: 'bad', disabled: '' };

/** How a target, a key or a key's model stands, and for how long. */
const standing = (word, left) => pill(STANDINGS[word] ?? '', left > 0 ? `${word} for ${span(Math.ceil(left))}` : word);

const targets = new Rows($('targets'), (target) => target.target, 'target', (target) => {
  const summary = [
    h('span', null, h('b', null, target.target)),
    h('span', null, standing(target.standing, target.seconds_left)),
    h('span', { class: 'n' }, target.in_flight === undefined ? '' : [label('running '), number(target.in_flight)]),
    h('span', { class: 'n' }, target.ok === undefined ? '' : [label('ok '), number(target.ok)]),
    h('span', { class: 'n' }, target.failed === undefined ? '' : [label('failed '), number(target.failed)]),
    h('span', { class: 'n dim' }, target.first_token_ms ? [label('first token '), time(target.first_token_ms * 1000)] : ''),
    target.reason && target.standing !== 'ready' ? h('span', { class: 'why' }, target.reason) : null,
  ];
  return [summary.filter(Boolean), [
    ['failures', target.error_rate ? `${Math.round(target.error_rate * 1000) / 10}% of late, ${target.failed_in_a_row} in a row` : undefined],
    ['ejections', target.ejections || undefined],
    ['tokens', target.tokens_per_second && `${number(Math.round(target.tokens_per_second))} a second`],
    ['keys', target.keys],
    ['in a terminal', target.ejections === undefined ? undefined : code(`sluice drain ${target.target} --for 30m`)],
  ]];
});

/** The targets that were called or are kept from it, and the keys that are not used just now. */
function showTargets(answer) {
  const used = answer.targets.filter((target) => target.standing !== 'ready' || target.in_flight + target.ok + target.failed > 0);
  const keys = answer.providers.flatMap((provider) => (provider.keys || []).flatMap((key) => {
    const name = `key ${key.name} of ${provider.name}`;
    const whole = key.state === 'ready' ? [] : [{ target: name, standing: key.state, seconds_left: key.seconds_left, reason: key.why }];
    const models = (key.models || []).map((model) => ({ target: `${name} for ${model.model}`, standing: model.state, seconds_left: model.seconds_left, reason: model.why }));
    return [...whole, ...models];
  }));
  const rest = answer.targets.length - used.length;
  $('targets-head').hidden = used.length + keys.length === 0;
  $('targets-sum').textContent = used.length > 0 && rest > 0 ? `and ${rest} that nobody has called` : '';
  targets.show([...used, ...keys], 'No target was called yet.');
  seen.problems = answer.problems;
}

const STATES = { active: 'good', stale: 'warn', failed: 'bad', waiting: 'warn', missing: 'bad', disabled: '' };

const mean = (hook) => hook && hook.runs > 0 ? time(hook.mean_us) : '–';

const plugins = new Rows($('plugins'), (plugin) => plugin.name, 'plugin', (plugin) => {
  const counters = plugin.counters || { hooks: {}, errors: {} };
  const ran = Object.entries(counters.hooks).filter(([, hook]) => hook.runs > 0);
  const errors = Object.entries(counters.errors).filter(([, count]) => count > 0);
  const failed = errors.reduce((sum, [, count]) => sum + count, 0);
  const runs = ran.reduce((sum, [, hook]) => sum + hook.runs, 0);
  // The hooks on calls and those on finished calls have a breaker each.
  const open = [plugin.breaker, plugin.finish_breaker].find((breaker) => breaker && breaker !== 'closed');
  const trial = plugin.probation;
  const summary = [
    h('span', { class: 'n dim' }, hidden('Order '), plugin.order === undefined ? '–' : String(plugin.order)),
    h('span', null, h('b', null, plugin.name), ' ', h('span', { class: 'dim' }, plugin.version || '')),
    h('span', null, pill(STATES[plugin.state] ?? '', plugin.state), open ? pill('bad', `breaker ${open}`) : null),
    h('span', null, hidden('Hooks: '), (plugin.hooks || []).join(', ') || h('span', { class: 'dim' }, 'not loaded')),
    h('span', null, hidden('Mean time: '), runs > 0 ? (plugin.hooks || []).map((name) => mean(counters.hooks[name])).join(', ') : ''),
    h('span', { class: 'n' }, runs > 0 ? plural(runs, 'run') : '', failed > 0 ? [', ', h('b', { class: 'wrong' }, plural(failed, 'error'))] : ''),
    plugin.error ? h('span', { class: 'why' }, plugin.error) : null,
  ];
  return [summary.filter(Boolean), [
    ['last error', counters.last_error],
    ['what it does', plugin.description],
    ['cost', ran.map(([name, hook]) => `${name}: ${time(hook.mean_us)} a run, ${plural(hook.runs, 'run')}`)],
    ['errors', errors.map(([kind, count]) => `${kind}: ${number(count)}`)],
    ['breaker', plugin.breaker && `${plugin.breaker}; of the hooks on finished calls: ${plugin.finish_breaker || plugin.breaker}`],
    ['probation', trial && `${plural(trial.hooks, 'run')} of the first ${number(trial.of)}, ${number(trial.failed)} failed`],
    ['runs on', plugin.conditional ? 'the calls that its match fits' : undefined],
    ['on_error', plugin.on_error],
    ['streams', plugin.streams],
    ['digest', plugin.digest && h('span', { class: 'mono' }, plugin.digest)],
    ['size', plugin.size && `${number(plugin.size)} bytes`],
    ['live since', plugin.generation ? `generation ${plugin.generation} of the chain` : undefined],
  ]];
});

const inChain = (plugin) => plugin.order === undefined ? Infinity : plugin.order;

function showPlugins(document) {
  const sorted = [...document.plugins].sort((a, b) => inChain(a) - inChain(b) || (a.name < b.name ? -1 : 1));
  for (const name of document.required_missing) {
    if (!sorted.some((plugin) => plugin.name === name)) sorted.push({ name, state: 'missing', error: 'required, and not there' });
  }
  const live = sorted.filter((plugin) => plugin.state === 'active' || plugin.state === 'stale').length;
  $('chain').textContent = sorted.length > 0 ? `${live} of ${sorted.length} live, in the order in which requests meet them; generation ${document.generation}` : '';
  $('plugins-head').hidden = sorted.length === 0;
  const dir = seen.status ? seen.status.plugins_dir : 'plugins';
  plugins.show(sorted, ['No plugin yet: every call passes as it is.', h('ol', null,
    h('li', null, 'Drop a ', code('.wasm'), ' file into ', code(`${dir}/`), ': it is live within a second, without a restart.'),
    h('li', null, 'Its settings go beside it: ', code('NAME.yaml'), '.'),
    h('li', null, 'Make your own: ', code('sluice plugin new my-guard'), '.'))]);
}

// ---- Calls

const ENDINGS = { ok: 'good', answered: 'good', refused: 'warn', denied: 'warn', 'client-gone': '', 'upstream-error': 'bad', truncated: 'bad', failed: 'bad' };
const pad = (value) => String(value).padStart(2, '0');

function clock(seconds) {
  const at = new Date(seconds * 1000);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

const target = (provider, name) => provider ? (name ? `${provider}/${name}` : provider) : '';

/** Each plugin once, with what it did besides letting pass. */
function chips(receipt) {
  const did = new Map();
  for (const stamp of receipt) {
    const verdicts = did.get(stamp.plugin) || new Set();
    if (stamp.verdict !== 'pass' && stamp.verdict !== 'release') verdicts.add(stamp.verdict);
    did.set(stamp.plugin, verdicts);
  }
  return [...did].map(([plugin, verdicts]) => h('span', { class: 'chip' }, h('b', null, plugin), ' ', [...verdicts].join(', ') || 'pass'));
}

const calls = new Rows($('list'), (call) => call.seq, 'call', (call) => {
  const tokens = call.tokens || {};
  const receipt = call.plugins || [];
  const to = target(call.provider, call.upstream_model);
  const attempts = call.targets || [];
  const summary = [
    h('span', { class: 'mono dim' }, clock(call.ts)),
    h('span', null, pill(ENDINGS[call.outcome] ?? '', call.outcome), ' ', h('span', { class: 'mono dim' }, String(call.status))),
    h('span', null, call.model || h('span', { class: 'dim' }, call.operation), to && to !== call.model ? h('span', { class: 'dim to' }, '→ ', to, call.attempts > 1 ? ` (attempt ${call.attempts})` : '') : null),
    h('span', null, chips(receipt)),
    h('span', { class: 'n' }, call.tokens ? [label('tokens '), `${number(tokens.input || 0)} → ${number(tokens.output || 0)}`] : ''),
    h('span', { class: 'n' }, label('total '), time(call.us)),
    h('span', { class: 'n dim' }, label('Sluice '), time(call.overhead_us)),
  ];
  return [summary, [
    ['error', call.error && `${call.blame}: ${call.error}`],
    ['detail', call.detail],
    ['receipt', receipt.map((stamp) => `${stamp.plugin}@${stamp.digest} ${stamp.hook}: ${stamp.verdict}, ${time(stamp.us)}${stamp.runs > 1 ? ` in ${stamp.runs} runs` : ''}`)],
    ['attempts', attempts.map((one) => [target(one.provider, one.model), one.key && `key ${one.key}`, one.status, one.class, time(one.ms * 1000), one.reason].filter(Boolean).join(', '))],
    ['route', call.route && `${call.route}${call.session ? ', within a session' : ''}`],
    ['left out', (call.skipped || []).map((one) => `${one.target}: ${one.reason}`)],
    ['key', [call.key, call.team && `team ${call.team}`, call.user && `user ${call.user}`].filter(Boolean).join(', ')],
    ['tokens', Object.entries(tokens).map(([kind, count]) => `${kind}: ${number(count)}`).join(', ')],
    ['first token', call.first_token_us && `after ${time(call.first_token_us)}`],
    ['tags', Object.entries(call.tags || {}).map(([name, value]) => `${name}: ${value}`)],
    ['request', [call.operation, call.dialect, call.stream ? 'streamed' : 'whole', `chain generation ${call.generation}`].join(', ')],
    ['id', h('span', { class: 'mono' }, call.id)],
  ]];
});

const WRONG = new Set(['refused', 'denied', 'upstream-error', 'truncated', 'failed']);

function showCalls() {
  const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const wrong = $('failed').checked;
  const shown = seen.calls.filter((call) => {
    if (wrong && !WRONG.has(call.outcome)) return false;
    return words.every((word) => call.text.includes(word));
  });
  const all = seen.calls.length;
  $('count').textContent = all === 0 ? '' : shown.length === all ? `the last ${all}` : `${shown.length} of the last ${all}`;
  calls.show(shown.map(({ text, ...call }) => call),
    all > 0 ? 'No call fits the filter.' : 'No call yet. Copy one of the commands above into a terminal: it shows up here within a second.');
}

function addCalls(answer) {
  // Another process counts from the start again.
  if (answer.started !== seen.started) Object.assign(seen, { calls: [], started: answer.started });
  seen.cursor = answer.newest;
  if (answer.calls.length === 0 && seen.drawn) return;
  const first = answer.newest - answer.calls.length + 1;
  const fresh = answer.calls.map((call, at) => ({ ...call, seq: first + at, text: JSON.stringify(call).toLowerCase() })).reverse();
  seen.calls = [...fresh, ...seen.calls].slice(0, CALLS);
  seen.drawn = true;
  showCalls();
}

// ---- Asking

const TOKEN = 'sluice-admin-token';
const seen = { status: null, calls: [], cursor: 0, started: null, drawn: false, notes: '', providers: '', problems: [] };
let paused = false;
let timer = 0;
let running = false;
let nextState = 0;
let wait = EVERY;

/** What the gateway answers; throws `{ kind, word, text, login }` where it refuses or cannot be reached. */
async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  let reply;
  try {
    reply = await fetch(path, { headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  } catch {
    throw { kind: 'bad', word: 'not reachable', text: 'The gateway does not answer. What is shown is how it was; this page goes on asking.' };
  }
  if (reply.ok) return reply.json();
  const said = await reply.json().catch(() => ({}));
  const message = (said.error && said.error.message) || `The gateway answered ${reply.status}.`;
  if (reply.status === 401) {
    throw { kind: token ? 'bad' : 'info', word: 'locked', login: true, text: token ? 'That is not the admin token of this gateway.' : 'State and calls are shown to whoever has the admin token.' };
  }
  throw { kind: 'bad', word: 'refused', text: message };
}

function lock(locked) {
  if ($('login').hidden === locked) $('login').hidden = !locked;
  for (const section of document.querySelectorAll('[data-live]')) section.hidden = locked;
  if (locked) {
    $('facts').textContent = '';
    Object.assign(seen, { status: null, cursor: 0, calls: [], drawn: false });
  }
}

async function look() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  try {
    if (Date.now() >= nextState) {
      const [status, standings, chain] = await Promise.all([ask('/api/status'), ask('/api/targets'), ask('/api/plugins')]);
      seen.status = status;
      lock(false);
      showStatus(status);
      showTargets(standings);
      showPlugins(chain);
      showSnippet(status);
      nextState = Date.now() + STATE_EVERY;
    }
    let answer = await ask(`/api/calls?after=${seen.cursor}`);
    if (seen.started !== null && answer.started !== seen.started && seen.cursor > 0) answer = await ask('/api/calls?after=0');
    addCalls(answer);
    showNotes(null);
    wait = EVERY;
  } catch (trouble) {
    if (!trouble.word) throw trouble;
    if (trouble.login) lock(true);
    showNotes(trouble);
    nextState = 0;
    wait = Math.min(wait * 2, 8000);
  } finally {
    running = false;
    // A wrong token is not tried again by itself.
    if (!paused && !document.hidden && $('login').hidden) timer = setTimeout(look, wait);
  }
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $('token').value);
  $('token').value = '';
  nextState = 0;
  look().then(() => { if (!$('login').hidden) sessionStorage.removeItem(TOKEN); });
});
$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  if (paused) clearTimeout(timer); else look();
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer);
  else if (!paused && $('login').hidden) { nextState = 0; look(); }
});
$('filter').addEventListener('input', showCalls);
$('failed').addEventListener('change', showCalls);
$('copy').addEventListener('click', copy);
makeTabs();
showSnippet(null);
look();
