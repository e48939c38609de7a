// A hundred thousand runs: the list is there at once, and scrolls.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, shot } from "./browser.mjs";
import { start, turn } from "./server.mjs";

const data = process.env.RETAKE_MANY;
const skip = data ? false : "RETAKE_MANY names no data directory with 100,000 runs";
let server;
before(async () => {
  await turn();
  if (data) server = await start({ data });
});
after(async () => {
  await close();
  await server?.stop();
});

test("100,000 runs are painted within 300 ms, and page smoothly", { skip }, async (context) => {
  const page = await open(server);
  await page.addInitScript(() => new MutationObserver((_, observer) => {
    if (!document.querySelector(".runs tbody tr")) return;
    observer.disconnect();
    requestAnimationFrame(() => (globalThis.painted = performance.now()));
  }).observe(document, { childList: true, subtree: true }));
  const times = [];
  for (let i = 0; i < 5; i++) {
    await page.goto(`${server.base}/runs`);
    times.push(await page.waitForFunction(() => globalThis.painted).then((it) => it.jsonValue()));
  }
  times.sort((a, b) => a - b);
  context.diagnostic(`the first rows were there after ${times.map(Math.round).join(", ")} ms`);
  assert.ok(times[2] < 300, `the median is ${times[2]} ms`);
  const gap = await page.evaluate(async () => {
    let most = 0;
    let last = performance.now();
    for (let i = 0; i < 300; i++) {
      scrollBy(0, 400);
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      most = Math.max(most, now - last);
      last = now;
    }
    return { most, rows: document.querySelectorAll(".runs tbody tr").length };
  });
  context.diagnostic(`longest frame while scrolling: ${Math.round(gap.most)} ms, ${gap.rows} rows in the document`);
  assert.ok(gap.rows < 120);
  await shot(page, "many");
  await done(page);
});
