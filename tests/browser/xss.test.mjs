// Whatever somebody writes is shown as text: names, parameters, lines, results, failures, descriptions.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, ready, shot } from "./browser.mjs";
import { start, turn } from "./server.mjs";
import { pages, stock } from "./stocked.mjs";

const SCRIPTS = ["hit()", "window.hit()", "top.hit()", "globalThis['hit']()", "setTimeout(hit)", "fetch('/hit')", "eval('hit()')", "document.title='hit'", "alert(1)", "import('/hit')"];
const AROUND = [
  (js) => `<script>${js}</script>`, (js) => `"><script>${js}</script>`, (js) => `'><img src=/hit onerror=${js}>`, (js) => `<img src=x onerror="${js}">`, (js) => `<svg onload=${js}>`, (js) => `<svg><script>${js}</script></svg>`,
  (js) => `</title><script>${js}</script>`, (js) => `</textarea><script>${js}</script>`, (js) => `</style><script>${js}</script>`, (js) => `<iframe srcdoc="<script>${js}</script>">`, (js) => `<iframe src="javascript:${js}">`,
  (js) => `<a href="javascript:${js}" autofocus onfocus=${js}>x</a>`, (js) => `javascript:${js}`, (js) => `" onmouseover="${js}" x="`, (js) => `' autofocus onfocus='${js}`, (js) => `\`-\${${js}}-\``, (js) => `\${${js}}`, (js) => `{{${js}}}`,
  (js) => `<math><mtext><mglyph><style><img src=x onerror=${js}></style></mglyph></mtext></math>`, (js) => `<details open ontoggle=${js}>`, (js) => `<form><button formaction="javascript:${js}">x</button></form>`,
];
/** Two hundred and ten payloads. */
const CORPUS = AROUND.flatMap((around) => SCRIPTS.map(around));
const EVIL = ["__proto__", "constructor", "\u202egnp.exe", "\u0000\u001b[31m", "&lt;script&gt;", "<!--", "]]>", "{\"constructor\":null}"];

let server;
let stocked;
before(async () => {
  await turn();
  server = await start();
  stocked = await stock(server);
});
after(async () => {
  await close();
  stocked?.receiver.close();
  await server.stop();
});

/** Nothing but what the page is made of may be there, and nothing may have run. */
async function clean(page, where) {
  const found = await page.evaluate(() => ({
    ran: Boolean(globalThis.ran) || document.title === "hit",
    elements: [...document.querySelectorAll("script:not([src^='/ui/']), iframe, object, embed, math, marquee, base, style, meta[http-equiv], img:not([src^='/ui/']), form[action], [formaction], [srcdoc]")].map((it) => it.outerHTML.slice(0, 200)),
    handlers: [...document.querySelectorAll("*")].filter((it) => [...it.attributes].some((attribute) => /^on/.test(attribute.name) || /^\s*javascript:/i.test(attribute.value) && /^(href|src|action|xlink:href)$/.test(attribute.name))).map((it) => it.outerHTML.slice(0, 200)),
  }));
  assert.deepEqual(found, { ran: false, elements: [], handlers: [] }, where);
}

/** A browser in which `hit` is what must not be called, and in which requests for anything odd are complained of. */
async function guarded(expected = []) {
  const page = await open(server, { expected });
  await page.addInitScript(() => (globalThis.hit = () => (globalThis.ran = true)));
  page.on("request", (request) => /\/hit|\/x$/.test(new URL(request.url()).pathname) && page.complaints.push(`a request to ${request.url()}`));
  return page;
}

test("what is stored in the server is shown as text", async () => {
  const name = (i) => CORPUS[i % CORPUS.length].replaceAll("/", "|").slice(0, 100).trim();
  let n = 0;
  const all = [...CORPUS, ...EVIL];
  const runs = [];
  // Parameters come back as inputs, results and lines of the log.
  for (let i = 0; i < all.length; i += 12) {
    const customer = all.slice(i, i + 12).join("\n");
    runs.push((await server.run({ deployment: "orders/dev", parameters: { customer, load: i % 24 ? "ok" : "fail" } })).id);
  }
  for (const id of runs) await server.reaches(id, "Completed", "Failed");
  for (let i = 0; i < 20; i++) {
    const at = (kind) => `/${kind}/${encodeURIComponent(name(n++))}`;
    await server.ask("PUT", `/deployments/orders${at("x").slice(2)}`, { component: stocked.orders, description: CORPUS[n++ % CORPUS.length], queue: name(n++), tags: [name(n++), name(n++)], parameters: { customer: all[n++ % all.length] } });
    await server.ask("PUT", at("schedules"), { deployment: "orders/dev", when: { every: { interval_ms: 86_400_000 } }, parameters: { customer: all[n++ % all.length] } });
    await server.ask("PUT", at("variables"), { value: { [all[n++ % all.length]]: all[n++ % all.length] } });
    await server.ask("PUT", at("secrets"), { value: all[n++ % all.length] });
    await server.ask("PUT", at("queues"), { concurrency: 1 });
    await server.ask("PUT", at("task-tags"), { concurrency: 1 });
    await server.ask("PUT", at("notifications"), { to: { webhook: { url: `http://127.0.0.1:9/${encodeURIComponent(all[n++ % all.length])}` } }, tag: name(n++) });
    await server.ask("POST", at("tokens"), { role: "viewer" });
  }
  const page = await guarded([/status of 404/]);
  const places = { ...pages(stocked) };
  for (const [i, id] of runs.entries()) places[`run ${i}`] = `/runs/${id}?call=${(i % 3) + 1}&tab=${["logs", "values", "history"][i % 3]}`;
  for (const it of (await server.ask("GET", "/deployments")).items.slice(0, 4)) places[it.full_name] = `/deployments/${it.full_name.split("/").map(encodeURIComponent).join("/")}`;
  for (const [where, at] of Object.entries(places)) {
    await page.goto(server.base + at);
    await ready(page);
    await clean(page, where);
  }
  await page.goto(`${server.base}/runs/${runs[0]}`);
  await page.locator(".log").getByText("<script>hit()</script>").first().waitFor();
  await shot(page, "xss-log");
  await done(page);
});

test("a payload in the address is shown as text", async () => {
  const page = await guarded([/status of 404|status of 400/]);
  for (const it of CORPUS.filter((_, i) => i % 17 === 0)) {
    const text = encodeURIComponent(it);
    for (const at of [`/runs?text=${text}&flow=${text}&tag=${text}&code=${text}`, `/runs/${text}`, `/flows/${text}`, `/${text}`, `/audit?subject=${text}`]) {
      await page.goto(server.base + at);
      await ready(page);
      await clean(page, at);
    }
  }
  await done(page);
});

/** What must stay as it is for a page to be that page. */
const KEPT = new Set(["id", "at", "state", "began", "ended", "created", "due", "updated", "uploaded", "next", "last", "kind", "level", "digest", "component", "role", "run", "last_event", "from", "until", "fate", "type", "when_exhausted", "run_id", "expires", "since"]);

/** Puts a payload in the place of every text, also of those that no component can be made to say. */
function poisoned(value, payload, key = "") {
  if (typeof value === "string") return KEPT.has(key) ? value : payload();
  if (Array.isArray(value)) return value.map((it) => poisoned(it, payload, key));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, ["total", "states"].includes(key) ? it : poisoned(it, payload, name)]));
  return value;
}

test("whatever the server answers is shown as text", async () => {
  const page = await guarded([/status of 404/]);
  let n = 0;
  const payload = () => CORPUS[n++ % CORPUS.length];
  await page.route("**/api/v1/**", async (route) => {
    const url = new URL(route.request().url());
    if (url.pathname.endsWith("/stream") || url.pathname.endsWith("/session") || route.request().method() !== "GET") return route.continue();
    const answer = await route.fetch();
    const json = answer.status() < 500 ? await answer.json().catch(() => null) : null;
    return route.fulfill({ response: answer, json: poisoned(json, payload) });
  });
  for (const [where, at] of Object.entries(pages(stocked))) {
    await page.goto(server.base + at);
    await page.waitForTimeout(500);
    await clean(page, where);
    for (const summary of await page.locator("details:not([open]) > summary").all()) await summary.click({ timeout: 500 }).catch(() => {});
    await clean(page, `${where}, opened`);
  }
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await done(page);
});
