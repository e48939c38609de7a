// What the engine of a sandbox lacks: refused, or as everywhere. In a process of its own, because it changes what all see.
import assert from "node:assert/strict";
import { test } from "node:test";

const { localeCompare } = String.prototype;
await import("../src/missing.js");

test("ASCII is compared as by ICU", () => {
  const all = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n));
  const words = [...all, ...all.map((it) => `a${it}b`), "", "apple", "Apple", "aPple", "a b", "a-b", "ab", "10", "9"];
  for (const one of words) for (const other of words) assert.equal(Math.sign(one.localeCompare(other)), Math.sign(localeCompare.call(one, other)), `${one} ${other}`);
  for (const [one, ...more] of [["ä", "z"], ["a", "b", "da"], ["a", "b", "en", { numeric: true }]]) assert.throws(() => one.localeCompare(...more), /compares ASCII alone/);
});

test("what would be wrong in silence is refused for good", () => {
  for (const [call, words] of [
    [() => new Date(0).toLocaleString("de", { timeZone: "Europe/Berlin" }), /toISOString/], [() => new Date(0).toLocaleDateString(undefined, { timeZone: "UTC" }), /cannot heed/],
    [() => (1.5).toLocaleString("de"), /toFixed/], [() => [1].toLocaleString("de"), /map/], [() => new Intl.NumberFormat("de"), /Intl\.NumberFormat/], [() => Intl.DateTimeFormat().resolvedOptions(), /moment-timezone/],
    [() => "e\u0301".normalize(), /`unorm`/], [() => "i".toLocaleUpperCase("tr"), /`tr`/],
    [() => new WebSocket("wss://api.example.com/x"), /`api\.example\.com` cannot be reached/], [() => new XMLHttpRequest().open("GET", "/x"), /it cannot be reached/],
  ]) {
    assert.throws(call, (it) => it.permanent && words.test(it.message));
  }
  assert.equal("é".normalize(), "é");
  assert.equal("É".toLocaleLowerCase("de"), "é");
  assert.throws(() => "a".normalize("NFX"), RangeError);
});

test("the network is denied by name", async () => {
  for (const given of ["https://api.example.com/a", new URL("https://api.example.com"), new Request("https://api.example.com")]) {
    await assert.rejects(fetch(given), (it) => it.code === "sandbox.denied" && it.permanent && it.details.host === "api.example.com");
  }
});
