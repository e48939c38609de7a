// The files that the UI consists of: how much they are, what is not in them, and whether their types are right.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { UI } from "./server.mjs";

/** All files gzipped together. With comments and JSDoc types, which the server sends too, it is more than 60 kB. */
const BUDGET = 71_000;
/** The same without comments and indentation. */
const CODE = 61_000;
/** What the page of all runs loads, each file gzipped: the others are loaded when somebody goes there. */
const FIRST = 46_000;
const FIRST_FILES = ["index.html", "style.css", "favicon.svg", "vendor/preact.js", ...["theme", "main", "shell", "server", "page", "look", "kit", "forms", "runs", "runs-list"].map((it) => `app/${it}.js`)];

const served = ["index.html", "style.css", "favicon.svg", ...["app", "vendor"].flatMap((dir) => fs.readdirSync(path.join(UI, dir)).map((it) => `${dir}/${it}`))].filter((it) => /\.(html|css|svg|js)$/.test(it));
const text = (name) => fs.readFileSync(path.join(UI, name), "utf8");

const packed = (all) => gzipSync(all, { level: 9 }).length;

/** Leaves out comments and indentation. */
const bare = (all) => all.replace(/\/\*\*(?:(?!\*\/)[^])*\*\/ ?/g, "").replace(/^\s*\/\/.*\n/gm, "").replace(/^ +/gm, "");

test("all of it is small", (context) => {
  const all = packed(served.map(text).join("\n"));
  const code = packed(served.map((it) => (it.startsWith("app/") ? bare(text(it)) : text(it))).join("\n"));
  const first = FIRST_FILES.map((it) => packed(text(it))).reduce((sum, it) => sum + it, 0);
  context.diagnostic(`${served.length} files: ${all} bytes gzipped together, ${code} of them code; the page of all runs loads ${first}`);
  assert.ok(all <= BUDGET, `${all} bytes gzipped, at most ${BUDGET} are allowed`);
  assert.ok(code <= CODE, `${code} bytes of code gzipped, at most ${CODE} are allowed`);
  assert.ok(first <= FIRST, `the first page loads ${first} bytes, at most ${FIRST} are allowed`);
});

test("no file of ours makes HTML of a text, or asks for more than the policy allows", () => {
  for (const name of served.filter((it) => it.startsWith("app/") || it.endsWith(".html"))) {
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
