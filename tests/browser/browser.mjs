// Opens pages in a real browser, and fails on anything that it complains of.
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";
import { SHOTS } from "./server.mjs";

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser;
export async function launch() {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: QUIET });
  return browser;
}
export const close = () => browser?.close();

export const WIDE = { width: 1280, height: 800 };
export const NARROW = { width: 390, height: 844 };

/**
 * Opens a browser of its own, signed in unless `token` is null. `page.complaints` has what went wrong; `expected` are
 * messages that belong to the test.
 */
export async function open(server, { at = "/runs", token = server.token, narrow = false, dark = false, expected = [] } = {}) {
  const context = await (await launch()).newContext({ viewport: narrow ? NARROW : WIDE, colorScheme: dark ? "dark" : "light", hasTouch: narrow, locale: "en-GB", timezoneId: "Europe/Amsterdam" });
  const page = await context.newPage();
  page.complaints = [];
  const complain = (text) => expected.some((it) => it.test(text)) || page.complaints.push(text);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(`${message.text()} (${page.url()})`));
  page.on("pageerror", (error) => complain(`${error.stack} (${page.url()})`));
  page.on("dialog", (dialog) => {
    complain(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => request.url().startsWith(server.base) || request.url().startsWith("blob:") || complain(`a request to ${request.url()}`));
  await page.goto(`${server.base}${at}${token ? `#token=${token}` : ""}`);
  if (token) await ready(page);
  return page;
}

/** Waits until a page shows what it loaded. */
export async function ready(page) {
  await page.waitForSelector("main h1, main .empty h2, main .wrong");
  await page.waitForFunction(() => !document.querySelector(".loading"));
}

/** Goes to another place of the same page, as a link does. */
export async function visit(page, server, at) {
  await page.goto(server.base + at);
  await ready(page);
}

/** Fails if the browser complained, and closes the page. */
export async function done(page) {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

export const shot = (page, name) => page.screenshot({ path: path.join(SHOTS, `${name}.png`) });

/** Fails on what keeps people out who cannot see, or use no mouse. */
export async function accessible(page, where) {
  await page.evaluate(AXE + ";0");
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.filter((it) => ["serious", "critical"].includes(it.impact)).map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
  });
  assert.deepEqual(found, [], where);
}

/** Nothing may be wider than the window: the page would scroll sideways. */
export async function fits(page, where) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${where} is ${over} px too wide`);
}
