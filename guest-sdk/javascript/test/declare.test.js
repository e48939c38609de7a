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
    [{ jitter: 2 }, /jitter/], [{ whenExhausted: "stop" }, /whenExhausted/], [{ timeout: "soon" }, /timeout/], [{ memory: "64MB" }, /memory/], [{ retry: 1 }, /no `retry`/], [{ tag: ["x"] }, /did you mean `tags`\?/], [{ timeOut: 1 }, /did you mean `timeout`\?/],
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
  assert.equal(Failure.of(circle).message, '{"self":"(it holds itself, which JSON cannot say)"}');
  assert.equal(new Failure("a", "b", { retryAfter: "2s" }).retryAfter, 2000);
  assert.equal(String(new Failure("a", "b")), "a: b");
});

test("what a flow has not and a task has is said", () => {
  assert.throws(() => flow({ name: "tagged", tags: ["x"] }, async () => null), /a flow has no `tags`; a task has one/);
  assert.throws(() => task({ name: "called" }, async () => null).withOptions({ retry: 1 }), /a call has no `retry`; did you mean `retries`\?/);
});

test("defaults are filled in wherever they are, and null is not nothing", async () => {
  const options = object({ depth: optional(integer(), 3), more: optional(nullable(object({ wide: optional(boolean(), true) })), {}) });
  const it = task({ name: "filled", input: { limit: optional(nullable(integer()), 10), options: optional(options, {}), rows: optional(list(options), []) } }, async (given) => given);
  const whole = { depth: 3, more: { wide: true } };
  assert.deepEqual(await it.body({}), { limit: 10, options: whole, rows: [] });
  assert.deepEqual(await it.body({ limit: null, options: { more: null }, rows: [{}, { depth: 1 }] }), { limit: null, options: { depth: 3, more: null }, rows: [whole, { ...whole, depth: 1 }] });
});

test("what led to an error is told, and nothing that is thrown is lost", () => {
  const said = (thrown) => {
    const { code, message } = Failure.of(thrown);
    return `${code}: ${message}`;
  };
  const ring = new Error("round");
  ring.cause = ring;
  const mute = new Error("x");
  Object.defineProperty(mute, "message", { get: () => fail() });
  for (const [thrown, expected] of [
    [new Error("cannot load", { cause: new TypeError("no text") }), "Error: cannot load, because of TypeError: no text"],
    [new Failure("http.503", "away", { cause: "the moon" }), "http.503: away, because of the moon"],
    [new AggregateError([new RangeError("a"), null], "both"), "AggregateError: both: RangeError: a; null was thrown"],
    [ring, "Error: round"], [mute, "Error: "], [null, "error: null was thrown"], [undefined, "error: undefined was thrown"], [Symbol("q"), "error: Symbol(q) was thrown"],
    [{ code: "http.404", message: "gone" }, "http.404: gone"], [{ n: NaN }, 'error: {"n":"(it is NaN, which JSON cannot say)"}'],
    [Object.assign(new Error("x"), { code: 503 }), "503: x"], [new DOMException("stop", "AbortError"), "AbortError: stop"], [new Failure(503, 5), "503: 5"],
    [new Proxy({}, { get: () => fail() }), 'error: "(it cannot be read: fail is not defined)"'],
  ]) {
    assert.equal(said(thrown), expected);
  }
  const missing = Failure.of(new ReferenceError("Buffer is not defined"));
  assert.ok(missing.permanent && missing.message.includes("`Uint8Array`"), missing.message);
});
