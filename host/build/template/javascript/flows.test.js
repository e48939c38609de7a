// Flows and tasks are ordinary functions outside of a component: `npm install`, once, and `npm test`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "retake/testing";
import { compose, greet } from "./flows.js";

test("a greeting names whom it greets", async () => {
  assert.equal(await compose({ name: "Ann" }), "Hello, Ann!");
});

// A host for tests runs the whole flow, with its retries, on a clock that waits for nothing.
test("a retry sends again and does not write again", async () => {
  // Both rounds of `send` fail: its three attempts in the flow's first attempt, and three in its second.
  const run = await new Host().fail("send", 6).run(greet, { name: "Ann", fails: 0 });
  assert.equal(run.state, "Failed");
  assert.deepEqual(run.call("send").waits, [1000, 2000, 5000, 1000, 2000]);
  await run.retry();
  assert.equal(run.state, "Completed");
  assert.ok(run.call("compose").fedBack);
  assert.equal(run.call("compose").attempts.length, 1);
});
