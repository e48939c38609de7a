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

/** Takes down the longest task of the page's thread, which no frame comes through. */
const watch = (page) => page.evaluate(() => {
  globalThis.longest = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((it) => (globalThis.longest = Math.max(globalThis.longest, it.duration)))).observe({ type: "longtask" });
});
const longest = (page) => page.evaluate(() => Math.round(globalThis.longest));

for (const [name, ask, check] of [
  ["1,000 calls", { deployment: "effects/dev", parameters: { key: "a", steps: 1000, pause_ms: 1 } }, "1,000 of 1,000 calls"],
  ["10,000 lines", { deployment: "log-a-lot/dev", parameters: { n: 10_000 } }, "10,000 of 10,000 lines"],
]) {
  test(`a run with ${name} stays smooth`, async (context) => {
    const { id } = await server.run({ ...ask, in_ms: 1500 });
    const page = await open(server, { at: `/runs/${id}` });
    await watch(page);
    await page.locator("h1 .pill", { hasText: "Completed" }).waitFor({ timeout: 60_000 });
    await page.getByText(check).waitFor({ timeout: 20_000 });
    const following = await longest(page);
    const rows = await page.locator(".log .entry, .gantt .row").count();
    await page.locator(".log").hover();
    for (let i = 0; i < 40; i++) await page.mouse.wheel(0, i % 8 ? -3000 : 9000);
    await page.locator(".gantt .rows").hover();
    for (let i = 0; i < 40; i++) await page.mouse.wheel(0, i % 8 ? 1500 : -3000);
    context.diagnostic(`longest task: ${following} ms while following, ${await longest(page)} ms with scrolling; ${rows} rows in the document`);
    assert.ok(rows < 150, `${rows} rows are in the document`);
    assert.ok((await longest(page)) < LONGEST, `a frame took ${await longest(page)} ms`);
    await shot(page, `smooth-${name.replace(/\W/g, "")}`);
    await done(page);
  });
}
