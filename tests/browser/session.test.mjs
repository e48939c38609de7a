// Signing in and out, what a role may not do, and the whole of a retry by keyboard alone.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, done, open, ready, shot, visit } from "./browser.mjs";
import { start, turn } from "./server.mjs";

let server;
let failed;
before(async () => {
  await turn();
  server = await start();
  await server.deploy("orders", "orders");
  const { id } = await server.run({ deployment: "orders/dev", parameters: { load: "fail-once" } });
  failed = await server.reaches(id, "Failed");
});
after(async () => {
  await close();
  await server.stop();
});

test("somebody signs in, is told when the token is wrong, and signs out", async () => {
  const page = await open(server, { token: null, expected: [/status of 401/] });
  await page.getByRole("heading", { name: "Sign in to Retake" }).waitFor();
  await page.getByText("retake tokens add NAME").waitFor();
  await accessible(page, "sign-in");
  await shot(page, "sign-in");
  await page.getByLabel("Token").fill("rtk_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("the token is not known").waitFor();
  await page.getByLabel("Token").fill(server.token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, "Strict");
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify(localStorage)), "{}", "no script holds anything");
  await page.reload();
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).first().click();
  await page.getByRole("heading", { name: "Sign in to Retake" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in to Retake" }).waitFor();
  await done(page);
});

test("a token in the address signs in, and is not left there; a wrong one is told of", async () => {
  const page = await open(server, { at: "/flows" });
  assert.equal(page.url(), `${server.base}/flows`);
  // Whoever is signed in stays who they are, whatever somebody else's link says.
  const [before] = await page.context().cookies();
  await page.goto(`${server.base}/runs#token=${server.token}`);
  await page.reload();
  await ready(page);
  const [after] = await page.context().cookies();
  assert.equal(after.value, before.value);
  await done(page);
  const wrong = await open(server, { token: null, at: "/runs#token=rtk_nonsense", expected: [/status of 401/] });
  await wrong.getByText("the token is not known").waitFor();
  assert.equal(wrong.url(), `${server.base}/runs`);
  await done(wrong);
});

test("a cookie alone changes nothing, and every answer has its headers", async () => {
  const page = await open(server, { expected: [/status of 403/] });
  const status = await page.evaluate(async (run) => (await fetch(`/api/v1/flow-runs/${run}/retry`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).status, failed.id);
  assert.equal(status, 403);
  for (const at of ["/", "/runs", "/ui/app/main.js", "/ui/style.css", "/ui/nothing", "/api/v1/flow-runs", "/api/v1/nothing", "/healthz"]) {
    const answer = await fetch(server.base + at, { headers: { accept: "text/html" } });
    for (const [name, value] of [["x-content-type-options", "nosniff"], ["referrer-policy", "no-referrer"], ["x-frame-options", "DENY"], ["cross-origin-opener-policy", "same-origin"], ["cross-origin-resource-policy", "same-origin"]]) {
      assert.equal(answer.headers.get(name), value, `${name} of ${at}`);
    }
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /^default-src 'none'/, at);
    assert.doesNotMatch(policy, /unsafe|\*|data:/, at);
  }
  await done(page);
});

test("a viewer sees everything, and what it may not do says why", async () => {
  const { token } = await server.ask("POST", "/tokens/looker", { role: "viewer" });
  const page = await open(server, { token, at: `/runs/${failed.id}` });
  const retry = page.getByRole("button", { name: "Retry…" });
  await retry.waitFor();
  assert.equal(await retry.getAttribute("aria-disabled"), "true");
  assert.match(await retry.getAttribute("title"), /needs the role operator/);
  await retry.click({ force: true });
  assert.equal(await page.locator("dialog").count(), 0);
  for (const at of ["/tokens", "/audit", "/upload", "/deployments/orders/dev", "/values", "/nodes"]) await visit(page, server, at);
  await done(page);
});

test("a run is retried by keyboard alone", async () => {
  const page = await open(server, { at: `/runs/${failed.id}` });
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute("aria-label"));
  const tabTo = async (name) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      if ((await focused()) === name) return;
    }
    throw new Error(`no way to ${name}`);
  };
  await tabTo("Skip to the page");
  await page.keyboard.press("Enter");
  await tabTo("Retry…");
  await shot(page, "focus");
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] .plan").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(), "Retry…", "the focus comes back");
  await page.keyboard.press("Enter");
  await page.locator("dialog[open] .plan").waitFor();
  await tabTo("Retry now");
  await page.keyboard.press("Enter");
  await page.locator("h1 .pill", { hasText: "Completed" }).waitFor();

  await page.locator("body").press("g");
  await page.keyboard.press("f");
  await page.getByRole("heading", { name: "Flows", exact: true }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await ready(page);
  await page.locator("input[type=search]").waitFor();
  await page.keyboard.press("/");
  assert.equal(await focused(), "Search name, flow or failure");
  await page.keyboard.press("Escape");
  await page.locator("h1").click();
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keyboard" }).waitFor();
  await done(page);
});
