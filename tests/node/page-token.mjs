// The page of a gateway with an admin token: open to everybody, empty without the token, and careful with it.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { accessible, launch, open, plan, see } from './browser.mjs';

const { url, token, chromium, config } = plan();
const browser = await launch(chromium);
const { page, context, complaints } = await open(browser, url);

await see(page, '#state', 'locked');
await page.getByLabel('Admin token').waitFor();
await see(page, '#code', `${url}/v1/chat/completions`);
for (const live of await page.locator('[data-live]').all()) assert(await live.isHidden());
await accessible(page, 'locked');

await page.getByLabel('Admin token').fill('not-the-token');
await page.getByRole('button', { name: 'Show' }).click();
await see(page, '.note', 'not the admin token');
assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'a wrong token is kept');

await page.getByLabel('Admin token').fill(token);
await page.keyboard.press('Enter');
await see(page, '#providers', 'llama');
assert(await page.locator('#login').isHidden());
// It is known to this tab only, and nowhere in what could be stored, shared or logged.
await page.reload();
await see(page, '#providers', 'llama');
assert.equal(await page.evaluate(() => localStorage.length), 0);
assert.deepEqual(await context.cookies(), []);
assert(!(await page.content()).includes(token));
const other = await context.newPage();
await other.goto(url);
await see(other, '#state', 'locked');

// A bad edit of the configuration is said with its place, and that it is mended by its going away.
const good = readFileSync(config);
writeFileSync(config, good + 'nonsense: 1\n');
await see(page, '.note', 'The last good configuration is serving');
await see(page, '.note', /sluice\.yaml:\d+:\d+/);
await see(page, '#state', 'degraded');
await accessible(page, 'with a bad configuration');
writeFileSync(config, good);
await page.locator('.note').waitFor({ state: 'detached' });
await see(page, '#state', /^ready$/);

// The browser itself reports each 401; nothing else is said.
const rest = complaints.filter((text) => !/status of 401/.test(text));
assert.deepEqual(rest, []);
await browser.close();
console.log('seen');
