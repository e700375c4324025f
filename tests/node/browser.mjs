// What both scripts of the page need: a browser, a page whose every complaint is kept, and an accessibility check.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** As long as a loaded machine may take for what needs milliseconds. */
export const LIMIT = 30_000;

export async function launch(executablePath) {
  // The sandbox of the browser needs privileges that a container's root does not have; it only meets pages of the test.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
}

/** A page that keeps every error, refusal of its policy and message of its console in `complaints`. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT);
  const complaints = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.stack}`));
  await page.exposeFunction('complain', (text) => complaints.push(text));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => globalThis.complain(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(url);
  return { page, context, complaints };
}

/** Fails on every violation that a person would notice; the rules are those for WCAG 2.2 AA and axe's own best practices. */
export async function accessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert(found.passes.length > 10 || found.violations.length > 0, `${where}: the check checked nothing`);
  const bad = found.violations.map((one) => `${one.impact} ${one.id}: ${one.help}\n  ${one.nodes.map((node) => node.html).join('\n  ')}`);
  assert.equal(bad.length, 0, `${where}:\n${bad.join('\n')}`);
}

/** The plan that the test wrote. */
export function plan() {
  return JSON.parse(readFileSync(process.argv[2], 'utf8'));
}

/** Waits for an element with this text. */
export function see(page, selector, text) {
  return page.locator(selector).filter({ hasText: text }).first().waitFor();
}
