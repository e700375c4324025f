// A person's first minutes with the page of a fresh gateway: what it teaches, a call, a plugin dropped in, broken and mended.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { accessible, launch, open, plan, see } from './browser.mjs';

const { url, plugins, component, settings, chromium, snippets, picture } = plan();
const browser = await launch(chromium);
const { page, context, complaints } = await open(browser, url);

/** Aside, then renamed over: a half written file is not what is tested here. */
function drop(name, content) {
  writeFileSync(join(plugins, `.${name}`), content);
  renameSync(join(plugins, `.${name}`), join(plugins, name));
}

async function call(text, model = 'openai/gpt-4o-mini', more = {}) {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: text }], ...more });
  const reply = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  await reply.text();
  return reply;
}

const plugin = (name) => page.locator('details.plugin').filter({ has: page.locator('summary b').getByText(name, { exact: true }) });
const rows = page.locator('details.call');

// A fresh start teaches.
await see(page, '#state', 'ready');
await see(page, '.note', 'Demo mode');
await see(page, '.note', 'OPENAI_API_KEY');
assert.equal(await page.locator('#base').innerText(), `${url}/v1`);
await see(page, '#providers', 'echo');
await see(page, '#plugins', 'Drop a .wasm file into');
await see(page, '#plugins', 'sluice plugin new');
await see(page, '#list', 'No call yet');
await accessible(page, 'empty');

// The commands, as they would be copied; the test runs them.
const texts = {};
for (const tab of ['curl', 'Python', 'Node', 'LangGraph']) {
  await page.getByRole('tab', { name: tab, exact: true }).click();
  texts[tab] = await page.locator('#code').innerText();
  assert(texts[tab].includes(`${url}/v1`), texts[tab]);
}
writeFileSync(snippets, JSON.stringify(texts));
await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
await page.getByRole('button', { name: 'Copy' }).click();
await see(page, '#copied', 'Copied.');
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), texts.LangGraph);

// By keyboard: arrows choose a tab, the space bar opens a row.
await page.getByRole('tab', { name: 'LangGraph' }).press('ArrowRight');
assert.equal(await page.getByRole('tab', { name: 'curl' }).getAttribute('aria-selected'), 'true');
assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-curl');

// A call shows up by itself.
const first = await call('hello');
await rows.first().waitFor();
const row = rows.first();
assert.match(await row.innerText(), /ok\s+200/);
await row.locator('summary').press('Space');
await see(page, 'details.call[open]', first.headers.get('x-request-id'));
await see(page, 'details.call[open] dl', 'chain generation');

// A plugin dropped in is live, and the next call has it on its receipt.
drop('deny-words.yaml', settings);
drop('deny-words.wasm', readFileSync(component));
await plugin('deny-words').locator('.pill', { hasText: 'active' }).waitFor();
await call('a fine day');
await see(page, 'details.call .chip', 'deny-words pass');
assert.equal((await call('the codename please')).status, 400);
await see(page, 'details.call .chip', 'deny-words deny');
await rows.first().locator('summary').click();
const receipt = await rows.first().locator('dl').innerText();
assert.match(receipt, /deny-words@[0-9a-f]{12} on-request: deny, [\d.]+ (µs|ms)/);
await plugin('deny-words').locator('summary').click();
await page.waitForFunction(() => /on-request: [\d.]+ .s a run, 2 runs/.test(document.querySelector('details.plugin dl').innerText));
await accessible(page, 'with calls and a plugin, opened');
assert.equal(await page.locator('details.call[open]').count(), 2, 'what was opened stays open while calls come in');

// What a client says is text.
await call('x', '<img src=x onerror=alert(1)><b>bold</b>');
await see(page, 'details.call', '<img src=x onerror=alert(1)><b>bold</b>');
assert.equal(await page.locator('#list img, #list summary b:text("bold")').count(), 0);

// Broken, it says why, and the good version goes on; another one that never was good says so too.
drop('deny-words.wasm', Buffer.from('not a component'));
await plugin('deny-words').locator('.pill', { hasText: 'stale' }).waitFor();
assert((await plugin('deny-words').locator('.why').innerText()).length > 10);
drop('other.wasm', Buffer.from('nor this'));
await plugin('other').locator('.pill', { hasText: 'failed' }).waitFor();
await see(page, '#state', 'degraded');
assert.equal((await call('the codename please')).status, 400);
if (picture) {
  for (const text of ['What is the weather?', 'Tell me the codename', 'Write a haiku about rivers']) await call(text, 'openai/gpt-4o-mini', { stream: text.startsWith('Write') });
  await rows.nth(7).waitFor();
  await plugin('deny-words').locator('summary').click();
  await rows.nth(1).locator('summary').click();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: picture, clip: { x: 0, y: 0, width: 1200, height: 990 }, fullPage: true });
  await plugin('deny-words').locator('summary').click();
}
await accessible(page, 'with broken plugins');
rmSync(join(plugins, 'other.wasm'));
drop('deny-words.wasm', readFileSync(component));
await plugin('deny-words').locator('.pill', { hasText: 'active' }).waitFor();
await plugin('other').waitFor({ state: 'detached' });
await see(page, '#state', /^ready$/);

// The filter finds, and what it does not find stays known.
const all = await rows.count();
await page.locator('#filter').fill('deny');
await page.waitForFunction((count) => document.querySelectorAll('details.call').length < count, all);
await page.locator('#filter').fill('');
await page.getByLabel('only what went wrong').check();
assert(await rows.count() >= 2);
assert.equal(await rows.filter({ hasText: /ok\s+200/ }).count(), 0);
await page.getByLabel('only what went wrong').uncheck();

// Paused, it asks nothing.
await page.getByRole('button', { name: 'Pause' }).click();
await page.waitForLoadState('networkidle');
const asked = [];
page.on('request', (request) => asked.push(request.url()));
const before = await rows.count();
await call('unseen while paused');
await new Promise((resolve) => setTimeout(resolve, 2500));
assert.deepEqual(asked, []);
await page.getByRole('button', { name: 'Go on' }).click();
await page.waitForFunction((count) => document.querySelectorAll('details.call').length > count, before);
assert.deepEqual(complaints, []);
await context.close();

// In the dark, and on a phone.
for (const [name, options] of [
  ['dark', { colorScheme: 'dark' }],
  ['phone', { viewport: { width: 400, height: 800 }, isMobile: true, hasTouch: true }],
]) {
  const other = await open(browser, url, options);
  await see(other.page, 'details.plugin', 'deny-words');
  await see(other.page, 'details.call', 'deny');
  for (const summary of [other.page.locator('details.plugin summary').first(), other.page.locator('details.call summary').first()]) await summary.click();
  await accessible(other.page, name);
  const wide = await other.page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${name}: ${wide} pixels wider than the screen`);
  assert.deepEqual(other.complaints, []);
  await other.context.close();
}
await browser.close();
console.log('seen');
