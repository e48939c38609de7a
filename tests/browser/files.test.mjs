// The files that the UI consists of: how much they are, what is not in them, and whether their types are right.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { start, UI } from "./server.mjs";

/** What a browser gets that loads everything, each answer gzipped. */
const BUDGET = 62_000;

const files = ["index.html", "style.css", "favicon.svg", ...["app", "vendor"].flatMap((dir) => fs.readdirSync(path.join(UI, dir)).map((it) => `${dir}/${it}`))].filter((it) => /\.(html|css|svg|js)$/.test(it));
const text = (name) => fs.readFileSync(path.join(UI, name), "utf8");

/** What comes over the wire, and what it is. */
const get = (url) => new Promise((done, fail) => http.get(url, { headers: { "accept-encoding": "gzip", accept: "text/html,*/*" } }, async (answer) => {
  const parts = [];
  for await (const part of answer) parts.push(part);
  const sent = Buffer.concat(parts);
  done({ status: answer.statusCode, packed: answer.headers["content-encoding"], bytes: sent.length, text: gunzipSync(sent).toString() });
}).on("error", fail));

test("all of it is small", async (context) => {
  const server = await start();
  try {
    const page = await get(`${server.base}/`);
    const seen = new Map([["/", page]]);
    const load = async (at) => {
      if (seen.has(at)) return;
      seen.set(at, await get(server.base + at));
      if (at.endsWith(".js")) for (const [, from] of seen.get(at).text.matchAll(/^import .* from "(.*)";$/gm)) await load(new URL(from, server.base + at).pathname);
    };
    for (const [at] of page.text.matchAll(/\/ui\/[^"]+/g)) await load(at);
    for (const [at, it] of seen) assert.deepEqual([it.status, it.packed], [200, "gzip"], at);
    const bytes = [...seen.values()].reduce((sum, it) => sum + it.bytes, 0);
    context.diagnostic(`${bytes} bytes in ${seen.size} answers`);
    assert.deepEqual([...seen.keys()].sort(), ["/", "/ui/app/main.js", "/ui/app/theme.js", "/ui/favicon.svg", "/ui/style.css", "/ui/vendor/preact.js"]);
    assert.ok(bytes <= BUDGET, `${bytes} bytes gzipped, at most ${BUDGET} are allowed`);
  } finally {
    await server.stop();
  }
});

test("no two files give something the same name: they are served as one", () => {
  const names = new Map();
  for (const name of files.filter((it) => it.startsWith("app/"))) {
    for (const [, one] of text(name).matchAll(/^(?:export )?(?:async )?(?:function\*?|const|let|class) +([\w$]+)/gm)) {
      assert.equal(names.get(one), undefined, `${one} stands in ${name} too`);
      names.set(one, name);
    }
    for (const [line] of text(name).matchAll(/^import\b.*$/gm)) assert.match(line, /^import \{ [\w, ]+ \} from "(\.\/[\w-]+|\.\.\/vendor\/preact)\.js";$/, name);
    assert.doesNotMatch(text(name), /^export (default|\{|\*)|\bimport\(/m, name);
  }
});

test("no file of ours makes HTML of a text, or asks for more than the policy allows", () => {
  for (const name of files.filter((it) => it.startsWith("app/") || it.endsWith(".html"))) {
    assert.doesNotMatch(text(name), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|\beval\(|new Function|setAttribute\("style"/, name);
    assert.doesNotMatch(text(name), /https?:\/\/(?!example\.org)(?!www\.w3\.org)/, name);
    if (name.endsWith(".html")) assert.doesNotMatch(text(name), /<script(?![^>]*src=)|<style|style=|\son\w+=/, name);
    else if (!name.endsWith("theme.js")) assert.match(text(name), /^\/\/ @ts-check\n/, name);
    assert.ok(text(name).split("\n").length <= 400, `${name} is too long`);
  }
});

test("types are right", () => {
  const tsc = createRequire(import.meta.url).resolve("typescript/package.json");
  const bin = path.join(path.dirname(tsc), JSON.parse(fs.readFileSync(tsc, "utf8")).bin.tsc);
  try {
    execFileSync(process.execPath, [bin, "-p", path.join(UI, "tsconfig.json")], { encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout);
  }
});
