// What is declared, and what is wrong with it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure, boolean, exponential, flow, integer, list, literal, nullable, object, optional, schema, string, task } from "retake";

test("schemas follow from fields", async () => {
  const it = task(
    { name: "shown", input: { a: string({ minLength: 1 }), b: optional(integer(), 3), c: optional(list(boolean())), d: literal("x", "y"), e: nullable(object({ f: schema({ const: 1 }) })) } },
    async (given) => given,
  );
  const { input } = it.about;
  assert.deepEqual(input.required, ["a", "d", "e"]);
  assert.equal(input.additionalProperties, false);
  assert.deepEqual(input.properties.b, { type: "integer", default: 3 });
  assert.deepEqual(input.properties.e.anyOf[0].properties, { f: { const: 1 } });
  assert.deepEqual(await it.body({ a: "1", d: "x", e: null }), { a: "1", b: 3, d: "x", e: null });
});

test("policies are read, and what is wrong with them is said", () => {
  const policy = (more) => task({ name: `p${Math.random()}`, ...more }, async () => null).about.policy;
  assert.deepEqual(policy({ retries: 3, delay: "1m 30s" }).delay, { fixed: 90_000 });
  assert.deepEqual(policy({ delay: [5, "2h"] }).delay, { listed: [5, 7_200_000] });
  assert.deepEqual(policy({ delay: exponential("1s", { factor: 1.5 }) }).delay, { exponential: { initial: 1000, factorPermille: 1500 } });
  assert.deepEqual(policy({ failOn: [TypeError, "http.4.*"] }).rules, [{ codes: ["TypeError", "http.4.*"], action: "fail" }]);
  for (const [wrong, field] of [
    [{ retries: -1 }, /retries/], [{ retries: 10_001 }, /retries/], [{ delay: "5 minutes" }, /delay/], [{ delay: "31d" }, /delay/], [{ delay: [] }, /delay/],
    [{ jitter: 2 }, /jitter/], [{ whenExhausted: "stop" }, /whenExhausted/], [{ timeout: "soon" }, /timeout/], [{ memory: "64MB" }, /memory/], [{ retry: 1 }, /no `retry`/],
  ]) {
    assert.throws(() => policy(wrong), field);
  }
});

test("names are needed, and are no one else's", () => {
  flow({ name: "twice" }, async () => null);
  assert.throws(() => flow({ name: "twice" }, async () => null), /two flows are called `twice`/);
  assert.throws(() => task({}, async () => null), /a task has a `name`/);
  assert.throws(() => task({ name: "x" }), /a function/);
});

test("errors are failures", () => {
  assert.equal(Failure.of(new TypeError("x")).code, "TypeError");
  assert.ok(Failure.of(new TypeError("x")).details.stack.includes("declare.test.js"));
  assert.equal(Failure.of(Object.assign(new Error("x"), { code: "ENOENT" })).code, "ENOENT");
  assert.equal(Failure.of("text").message, "text");
  const circle = {};
  circle.self = circle;
  assert.equal(Failure.of(circle).message, "[object Object]");
  assert.equal(new Failure("a", "b", { retryAfter: "2s" }).retryAfter, 2000);
  assert.equal(String(new Failure("a", "b")), "a: b");
});
