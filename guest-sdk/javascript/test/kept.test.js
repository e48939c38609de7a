// Promises that nobody waits for, and stacks.
import assert from "node:assert/strict";
import { test } from "node:test";

const Native = Promise;
const { throwLost } = await import("../src/kept.js");
const { placed, readable } = await import("../src/sourcemap.js");
const idle = () => new Native((done) => setTimeout(done, 5));
// An `async` function as the bundle has it.
const made = (body) => new Promise((resolve) => resolve(body()));

test("what a promise failed with is told when nobody asked", async () => {
  made(() => { throw new Error("lost"); });
  await idle();
  assert.throws(throwLost, /lost/);
  throwLost();
  Promise.reject(new Error("derived")).then(() => 1);
  await idle();
  assert.throws(throwLost, /derived/);
});

test("a promise that somebody asked is nobody's affair", async () => {
  const late = Promise.reject(new Error("late"));
  await idle();
  await assert.rejects(late);
  await Promise.allSettled([Promise.reject(new Error("a")), Promise.resolve(1)]);
  await Promise.race([Promise.resolve(1), made(() => { throw new Error("loser"); })]);
  await Promise.any([Promise.reject(new Error("b")), Promise.resolve(1)]);
  await Promise.reject(new Error("c")).catch(() => 1).finally(() => 2);
  await idle();
  throwLost();
  assert.ok(Native.resolve(1) instanceof Promise && !(1 instanceof Promise) && Promise.name === "Promise");
  class Own extends Promise {}
  assert.ok(Own.resolve(1) instanceof Own && !(Promise.resolve(1) instanceof Own));
});

test("places of the bundle are those of the author", () => {
  // Line 2 of the bundle: its columns 0 and 4 are line 1, column 0, and line 12, column 8 of the second file.
  const map = { sources: ["<retake>/src/x.js", "flows.ts"], mappings: ";AAAA,ICWQ" };
  assert.equal(placed("x@source.js:2:7 y@source.js:9:1", "source.js", map), "x@flows.ts:12:9 y@source.js:9:1");
  assert.equal(readable("body<@source.js:2:7\nrun@source.js:2:1\nhelper@source.js:1:1\n@source.js:2:5\n", "source.js", map), "at body (flows.ts:12:9)\nat the top of the module (flows.ts:12:9)");
});
