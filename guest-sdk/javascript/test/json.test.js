// What becomes JSON, what does not, and what comes back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, encodeAnyhow } from "../src/json.js";

class Point {
  constructor(x) {
    this.x = x;
  }
}
class Sealed {
  #x = 1;
}

test("conversions are the documented ones", () => {
  for (const [value, expected] of [
    [undefined, "null"], [[undefined, , 1], "[null,null,1]"], [{ a: undefined, b: null }, '{"b":null}'], [-0, "0"], [1e300, "1e+300"], [12345678901234567890n, "12345678901234567890"],
    [new Map([["a", new Set([1])]]), '{"a":[1]}'], [new Date(0), '"1970-01-01T00:00:00.000Z"'], [new Uint8Array([1, 2]), "[1,2]"], [new BigInt64Array([5n]), "[5]"],
    [new Number(1), "1"], [Object(1n), "1"], [new Point(1), '{"x":1}'], [new URL("http://a/b"), '"http://a/b"'], [Object.create(null), "{}"], ["é\u2028😀", '"é\u2028😀"'], [{ toJSON: () => [1n] }, "[1]"],
  ]) {
    assert.equal(encode(value), expected);
  }
  const float = { type: "number" };
  assert.equal(encode(2 ** 60, float), "1.152921504606847e+18");
  assert.equal(encode([2 ** 60], { type: "array", items: { anyOf: [{ type: "null" }, float] } }), "[1.152921504606847e+18]");
  assert.equal(encode(new Date(Date.UTC(2026, 2, 1)), { type: "string", format: "date" }), '"2026-03-01"');
});

test("what JSON cannot say is refused with its place", () => {
  const ring = { list: [] };
  ring.list.push(ring);
  let deep = 1;
  for (let n = 0; n < 200; n += 1) deep = [deep];
  for (const [value, words] of [
    [NaN, /^is NaN/], [{ rows: [1.5, NaN] }, /^at `\/rows\/1` is NaN, which JSON cannot say$/], [-Infinity, /^is -Infinity/], [{ "a/b~": NaN }, /^at `\/a~1b~0`/],
    [new Map([[1, 1]]), /a key that is no text \(1\)/], [new Map([[undefined, 1]]), /a key that is no text/], [new Map([["a", NaN]]), /^at `\/a` is NaN/], [new Set([NaN]), /^at `\/0`/],
    [() => 1, /a function|the function/], [{ f() {} }, /^at `\/f` is the function `f`/], [Symbol("q"), /is a symbol/], [/x/, /the class `RegExp`/], [new Error("boom"), /an error \(`Error: boom`\)/],
    [new Date(NaN), /an invalid `Date`/], [new ArrayBuffer(1), /`ArrayBuffer`/], [new WeakMap(), /`WeakMap`/], [new Sealed(), /the class `Sealed`/], [Promise.resolve(1), /a promise that nobody awaited/],
    [ring, /^at `\/list\/0` holds itself/], [deep, /more than 127 levels deep/], ["\ud83d", /half a surrogate pair/], [{ "\ud83d": 1 }, /a key with half a surrogate pair/],
    [{ toJSON: () => JSON.parse("{") }, /cannot be read/], [{ get a() { throw new Error("no"); } }, /^at `\/a` cannot be read: no/], [2 ** 60, /beyond 2\^53.*a BigInt/],
  ]) {
    assert.throws(() => encode(value), { message: words });
  }
  assert.throws(() => encode(1e21, { type: "integer" }), { message: /beyond 2\^53.*a BigInt/ });
  assert.equal(encodeAnyhow({ n: NaN, s: "\ud83d" }), '{"n":"(it is NaN, which JSON cannot say)","s":"(it is text with half a surrogate pair, which JSON cannot say)"}');
});

test("whole numbers come back exactly", () => {
  const text = '{"a":[9007199254740993,-12345678901234567890,0.12345678901234567,1e20,"9007199254740993"],"__proto__":{"b\\"":9007199254740991}}';
  const read = decode(text);
  assert.deepEqual(read.a, [9007199254740993n, -12345678901234567890n, 0.12345678901234567, 1e20, "9007199254740993"]);
  assert.deepEqual(Object.keys(read), ["a", "__proto__"]);
  assert.equal(decode("9007199254740993", { type: "number" }), 9007199254740992);
  assert.equal(encode(decode("[9007199254740993,{}]")), "[9007199254740993,{}]");
  assert.throws(() => decode("[9007199254740993"), SyntaxError);
});
