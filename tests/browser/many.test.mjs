// A hundred thousand runs: the list is there at once, and scrolls.
//
// Within 300 ms; on a machine that takes longer for a list of one run, it takes hardly longer than that. Of nine times
// the third best counts: what else the machine does comes on top, and for moments only.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, shot } from "./browser.mjs";
import { start, turn } from "./server.mjs";

const data = process.env.RETAKE_MANY;
const skip = data ? false : "RETAKE_MANY names no data directory with 100,000 runs";
let server;
let small;
before(async () => {
  await turn();
  if (!data) return;
  server = await start({ data });
  small = await start();
  await small.deploy("orders", "orders");
  await small.run({ deployment: "orders/dev" });
});
after(async () => {
  await close();
  await server?.stop();
  await small?.stop();
});
const typical = (times) => times.toSorted((a, b) => a - b)[2];

test("100,000 runs are painted within 300 ms, and page smoothly", { skip }, async (context) => {
  const page = await open(server);
  const other = await open(small);
  for (const it of [page, other]) await it.addInitScript(() => new MutationObserver((_, observer) => {
    if (!document.querySelector(".runs tbody tr")) return;
    observer.disconnect();
    requestAnimationFrame(() => (globalThis.painted = performance.now()));
  }).observe(document, { childList: true, subtree: true }));
  const [times, few] = [[], []];
  const painted = async (page, at) => {
    await page.goto(`${at.base}/runs`);
    return page.waitForFunction(() => globalThis.painted).then((it) => it.jsonValue());
  };
  for (let i = 0; i < 9; i++) {
    times.push(await painted(page, server));
    few.push(await painted(other, small));
  }
  const most = Math.max(300, 1.5 * typical(few));
  context.diagnostic(`the first rows were there after ${times.map(Math.round).join(", ")} ms; of one run after ${few.map(Math.round).join(", ")} ms`);
  assert.ok(typical(times) < most, `typical are ${typical(times)} ms`);
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
  await done(other);
  await done(page);
});
