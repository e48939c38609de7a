// A run with 1,000 calls, and one with 10,000 lines, are followed without a frame over 100 ms.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, shot } from "./browser.mjs";
import { start, turn } from "./server.mjs";

const LONGEST = 100;
let server;
before(async () => {
  await turn();
  server = await start();
  await server.deploy("effects", "effects");
  await server.deploy("hostile", "log-a-lot");
});
after(async () => {
  await close();
  await server.stop();
});

/** Takes down how long the page's thread was busy at most, and how far apart frames were. */
async function watch(page) {
  await page.evaluate(() => {
    globalThis.longest = 0;
    globalThis.apart = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((it) => (globalThis.longest = Math.max(globalThis.longest, it.duration)))).observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => {
      globalThis.apart = Math.max(globalThis.apart, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  // That it sees what it looks for.
  await page.evaluate(() => new Promise((done) => setTimeout(() => {
    for (const end = performance.now() + 120; performance.now() < end; );
    done();
  })));
  await page.waitForTimeout(100);
  assert.ok((await longest(page)) >= 120, "a busy page is not noticed");
  await page.evaluate(() => (globalThis.longest = globalThis.apart = 0));
}
const longest = (page) => page.evaluate(() => Math.round(Math.max(globalThis.longest, globalThis.apart)));

/** How long the machine takes a page's thread away at most, whatever that does: nothing is smoother than that. */
const stolen = (page) => page.evaluate(() => {
  const times = [];
  for (let i = 0; i < 25; i++) {
    const began = performance.now();
    for (let j = 0, x = 0; j < 2e7; j++) x = (x * 31 + j) | 0;
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return Math.round(times.at(-1) - times[0]);
});

/** Scrolls through lines and calls, and says how long the page was busy at most. */
async function scrolled(page, context) {
  const following = await longest(page);
  const rows = await page.locator(".log .entry, .gantt .row").count();
  for (const box of [".log", ".gantt .rows"]) {
    await page.locator(box).hover();
    for (let i = 0; i < 40; i++) await page.mouse.wheel(0, i % 8 ? -3000 : 9000);
  }
  context.diagnostic(`longest frame: ${following} ms while following, ${await longest(page)} ms with scrolling; ${rows} rows in the document`);
  assert.ok(rows < 150, `${rows} rows are in the document`);
  const most = await longest(page);
  if (most < LONGEST) return;
  const apart = await stolen(page);
  context.diagnostic(`the machine takes up to ${apart} ms away`);
  assert.ok(most < LONGEST + apart, `a frame took ${most} ms`);
}

test("a run with 1,000 calls stays smooth", async (context) => {
  const { id } = await server.run({ deployment: "effects/dev", parameters: { key: "a", steps: 1000, pause_ms: 1 }, in_ms: 1500 });
  const page = await open(server, { at: `/runs/${id}` });
  await watch(page);
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor({ timeout: 60_000 });
  await page.getByText("1,000 of 1,000 calls").waitFor({ timeout: 20_000 });
  await scrolled(page, context);
  await shot(page, "smooth-calls");
  await done(page);
});

test("a run with 10,000 lines stays smooth", async (context) => {
  const { id } = await server.run({ deployment: "log-a-lot/dev", parameters: { n: 6000 } });
  await server.reaches(id, "Completed");
  const page = await open(server, { at: `/runs/${id}` });
  await page.getByText("6,000 of 6,000 lines").waitFor();
  await watch(page);
  await server.ask("POST", `/flow-runs/${id}/retry`, { all: true });
  await page.getByText("12,000 of 12,000 lines").waitFor({ timeout: 20_000 });
  await scrolled(page, context);
  await shot(page, "smooth-lines");
  await done(page);
});
