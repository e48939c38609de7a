// What a newcomer does who has only the pages: upload, run, see it fail, be told, and retry until it succeeds.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { close, done, fits, open, shot } from "./browser.mjs";
import { component, start, turn, until } from "./server.mjs";

let server;
let receiver;
const messages = [];

before(async () => {
  await turn();
  server = await start();
  receiver = http.createServer((request, answer) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      messages.push(JSON.parse(body));
      answer.end();
    });
  });
  await new Promise((listening) => receiver.listen(0, "127.0.0.1", listening));
});
after(async () => {
  await close();
  receiver.close();
  await server.stop();
});

/** Drops a file where the mouse is, as a person does who drags it out of another window. */
async function drop(page, selector, file) {
  const box = await page.locator(selector).boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [file], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await devtools.send("Input.dispatchDragEvent", { type, x, y, data });
}

test("a flow is dropped, run, seen to fail, told of, and retried until it succeeds", async () => {
  const page = await open(server);
  await page.getByRole("heading", { name: "Upload a flow" }).waitFor();
  await shot(page, "first-run");
  const say = (text) => page.getByText(text, { exact: false }).first().waitFor();

  await page.getByRole("link", { name: "Notifications" }).first().click();
  await page.getByRole("button", { name: "New notification…" }).first().click();
  await page.getByLabel("Name").fill("night");
  await page.getByLabel("Address").fill(`http://127.0.0.1:${receiver.address().port}/hook`);
  await page.getByRole("button", { name: "Set it" }).click();
  await say("It is shown this once");
  await page.getByRole("button", { name: "I have it" }).click();

  await page.getByRole("link", { name: "Upload" }).first().click();
  await page.getByText("Drop a .wasm file here").waitFor();
  await drop(page, ".drop", component("orders"));
  await page.getByRole("progressbar").waitFor();
  await say("nothing is kept yet");
  assert.equal((await server.ask("GET", "/components")).items.length, 0, "a look keeps nothing");
  await shot(page, "upload-inspected");
  await page.getByRole("button", { name: "Deploy" }).click();
  await page.getByRole("heading", { name: "orders/dev" }).waitFor();

  await page.getByLabel("load").selectOption({ label: "fail-once: It fails in its first attempt, and succeeds when the flow is retried." });
  await page.getByLabel("enrich_fails").fill("1");
  await page.getByLabel("pause_ms").fill("300");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.locator(".pill", { hasText: "Running" }).first().waitFor();
  await page.getByRole("heading", { name: "Timeline" }).waitFor();
  await shot(page, "run-live");
  await page.locator("h1 .pill", { hasText: "Failed" }).waitFor({ timeout: 20_000 });
  await say("the warehouse refused the orders");
  await say("2 results are kept");
  await shot(page, "run-failed");
  await until(() => messages.length > 0);
  assert.equal(messages[0].type, "flow-run.failed");
  assert.equal(messages[0].data.flow, "orders");

  await page.getByRole("button", { name: "Retry…" }).click();
  await say("2 results fed back, 1 call runs again");
  await page.locator(".plan li.fed-back").nth(1).waitFor();
  await shot(page, "retry-plan");
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor({ timeout: 20_000 });
  await page.getByRole("button", { name: /extract/ }).click();
  await page.locator(".call .pill", { hasText: "Cached" }).waitFor();
  await page.getByRole("tab", { name: "History" }).click();
  await say("manual-retry");
  await page.getByText("did retry").first().waitFor();
  await shot(page, "run-retried");

  await page.getByRole("link", { name: "Notifications" }).first().click();
  await page.locator(".pill", { hasText: "delivered" }).first().waitFor();
  await page.getByRole("button", { name: "Test" }).click();
  await until(() => messages.length > 1);
  await shot(page, "notifications-delivered");
  await done(page);
});

test("the same by thumb, on a narrow screen, in the dark", async () => {
  const page = await open(server, { narrow: true, dark: true });
  const tap = async (name, role = "button") => (await page.getByRole(role, { name, exact: true }).locator("visible=true").first()).tap();
  const bar = page.locator(".bar");
  await bar.getByRole("link", { name: "Upload" }).tap();
  await page.locator("input[type=file]").setInputFiles(component("orders"));
  await page.getByText("nothing is kept yet").waitFor();
  await page.getByLabel("Name", { exact: true }).fill("thumb");
  await fits(page, "an upload");
  await tap("Deploy");
  await page.getByRole("heading", { name: "orders/thumb" }).waitFor();
  await bar.getByRole("link", { name: "Flows" }).tap();
  await page.locator(".cards a", { hasText: "orders" }).first().tap();
  const top = async (text) => (await page.getByText(text, { exact: true }).locator("visible=true").first().boundingBox()).y;
  assert.ok((await top("Run it")) < (await top("When its attempts begin")), "what is done comes first");
  await page.getByLabel("Through").selectOption({ label: "Deployment orders/thumb" });
  await page.getByLabel("load").selectOption({ label: "fail-once: It fails in its first attempt, and succeeds when the flow is retried." });
  await tap("Run");
  await page.locator("h1 .pill", { hasText: "Failed" }).waitFor({ timeout: 20_000 });
  await page.getByText("the warehouse refused the orders").first().waitFor();
  await fits(page, "a failed run");
  await shot(page, "thumb-failed");
  await tap("Retry…");
  await page.getByText("2 results fed back, 1 call runs again").waitFor();
  await fits(page, "the plan");
  await shot(page, "thumb-plan");
  await tap("Retry now");
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor({ timeout: 20_000 });
  await page.getByRole("button", { name: /extract/ }).tap();
  await page.locator(".call .pill", { hasText: "Cached" }).waitFor();
  await fits(page, "a call");
  await shot(page, "thumb-call");
  await done(page);
});

test("a run is retried again and again, with another result by hand in between", async () => {
  await server.deploy("manual_retry", "Manual retry");
  const page = await open(server, { at: "/flows/Manual%20retry" });
  await page.getByLabel("fail_times", { exact: true }).fill("2");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  for (const attempt of [2, 3]) {
    await page.locator("h1 .pill", { hasText: "Failed" }).waitFor();
    await page.getByRole("button", { name: "Retry…" }).click();
    await page.getByText(`Attempt ${attempt} in a fresh sandbox`).waitFor();
    await page.getByRole("button", { name: "Retry now" }).click();
    await page.getByText(`Attempt ${attempt} of`).waitFor();
  }
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor();

  const { id } = await server.run({ deployment: "orders/dev", parameters: { load: "fail" } });
  await server.reaches(id, "Failed");
  await page.goto(`${server.base}/runs/${id}?call=3`);
  await page.getByRole("button", { name: "Set its result…" }).click();
  await page.getByLabel("Result, as JSON").fill('{"customer": "acme", "orders": 3, "cents": 1, "load_attempt": 9}');
  await page.getByRole("button", { name: "Set it", exact: true }).click();
  await page.getByText("result set by hand").first().waitFor();
  await page.getByRole("button", { name: "Retry…" }).click();
  await page.getByText("3 results fed back").waitFor();
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor();
  await done(page);
});

test("many runs are retried at once, after a look at which", async () => {
  const runs = await Promise.all(["a", "b", "c"].map((customer) => server.run({ deployment: "orders/dev", parameters: { customer, load: "fail-once" } })));
  for (const { id } of runs) await server.reaches(id, "Failed");
  const page = await open(server, { at: "/runs?state=Failed&deployment=orders%2Fdev" });
  await page.getByRole("button", { name: "Retry many…" }).click();
  await page.getByRole("button", { name: "Retry 3 runs" }).click();
  await page.getByText("3 runs retried").waitFor();
  for (const { id } of runs) await server.reaches(id, "Completed");
  await page.getByText("No run is like that").waitFor();
  await done(page);
});

test("runs are there as soon as they are made, and those that are ticked are cancelled", async () => {
  const page = await open(server, { at: "/runs?flow=orders&state=Scheduled" });
  await page.getByText("No run is like that").waitFor();
  const at = new Date(Date.now() + 86_400_000).toISOString();
  const runs = [];
  for (let i = 0; i < 3; i++) runs.push(await server.run({ deployment: "orders/dev", at }));
  // Sooner than the page looks by itself.
  await page.locator(".runs tbody tr").nth(2).waitFor({ timeout: 5000 });
  for (const { name } of runs.slice(0, 2)) await page.getByLabel(`Tick ${name}`).check();
  await page.getByRole("button", { name: "Cancel 2 ticked…" }).click();
  await page.getByText("The runs that are ticked.").waitFor();
  await page.getByRole("button", { name: "Cancel 2 runs" }).click();
  await page.getByText("2 runs cancelled").waitFor();
  for (const { id } of runs.slice(0, 2)) await server.reaches(id, "Cancelled");
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 1);
  assert.equal((await server.ask("GET", `/flow-runs/${runs[2].id}`)).state, "Scheduled");
  await page.getByLabel("Tick all that are shown").check();
  await page.getByRole("button", { name: "Cancel 1 ticked…" }).waitFor();
  await page.getByRole("button", { name: "Untick" }).click();
  await page.getByRole("button", { name: "Cancel many…" }).waitFor();
  await server.ask("POST", `/flow-runs/${runs[2].id}/cancel`);
  await page.getByText("No run is like that").waitFor({ timeout: 5000 });
  await done(page);
});

test("a call is looked at while its first attempt is made", async () => {
  const { id } = await server.run({ deployment: "orders/dev", parameters: { pause_ms: 4000 } });
  const page = await open(server, { at: `/runs/${id}` });
  await page.getByRole("button", { name: /extract/ }).click();
  await page.locator(".call .pill", { hasText: "Running" }).waitFor();
  await page.locator(".call", { hasText: "Takes so far" }).waitFor();
  await page.locator(".call .pill", { hasText: "Completed" }).waitFor();
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor({ timeout: 20_000 });
  await done(page);
});

test("a run that waits is paused, resumed, begun at once, and cancelled after a question", async () => {
  await server.deploy("retry_it", "retry-it");
  const { id } = await server.run({ deployment: "retry-it/dev", parameters: { fail_times: 9 } });
  await server.reaches(id, "AwaitingRetry");
  const page = await open(server, { at: `/runs/${id}` });
  const state = (text) => page.locator("h1 .pill", { hasText: text }).waitFor();
  await state("AwaitingRetry");
  await page.getByRole("button", { name: "Pause" }).click();
  await state("Paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await state("AwaitingRetry");
  await page.getByRole("button", { name: "Run now" }).click();
  await page.getByText("2 of").or(page.getByText("attempt 2 failed")).first().waitFor();
  await page.getByRole("button", { name: "Cancel…" }).click();
  await page.getByText("so are its children").waitFor();
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await state("Cancelled");
  await done(page);
});
