// SPDX-License-Identifier: MIT
// browser.mjs CHROMIUM: obeys lines ["METHOD", ARGUMENT...] of standard input, methods of playwright's page and those
// below. Answers each with a line: {"value": ...} or {"error": "..."}.

import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath: process.argv[2], args });
let page;
let complaints;

const commands = {
  // A window of its own, as another person has it.
  async open(url, options) {
    await page?.context().close();
    page = await (await browser.newContext(options)).newPage();
    complaints = [];
    page.setDefaultTimeout(20000);
    page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    await page.goto(url);
  },
  complaints: () => complaints,
  key: (key) => page.keyboard.press(key),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await (commands[name] ?? page[name].bind(page))(...rest)) ?? null };
  } catch (error) {
    answer = { error: `${name}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
