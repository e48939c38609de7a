// Everything that an operator sets, by mouse: schedules, limits, secrets, variables, tokens, deployments, nodes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, visit } from "./browser.mjs";
import { start, turn } from "./server.mjs";

let server;
let page;
before(async () => {
  await turn();
  server = await start();
  await server.deploy("orders", "orders");
  await server.deploy("values", "values");
  // What is refused on purpose.
  page = await open(server, { expected: [/status of (400|409|422)/] });
});
after(async () => {
  await done(page);
  await close();
  await server.stop();
});

const press = (name) => page.getByRole("button", { name, exact: true }).first().click();
const said = (text) => page.locator(".said", { hasText: text }).waitFor();
const dialog = () => page.locator("dialog[open]");

test("a variable and a secret are set, granted, and refused to be removed while they are", async () => {
  await visit(page, server, "/values");
  await press("New variable…");
  await page.getByLabel("Name").fill("batch-size");
  await page.getByLabel("Value, as JSON").fill("{\"rows\": ");
  await page.getByText("This is not JSON").waitFor();
  assert.equal(await dialog().getByRole("button", { name: "Set it" }).getAttribute("aria-disabled"), "true");
  await page.getByLabel("Value, as JSON").fill("{\"rows\": 5}");
  await press("Set it");
  await said("The variable batch-size is set");
  for (const name of ["shop-token", "flow-token"]) {
    await press("New secret…");
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Value").fill("hush hush hush");
    await press("Set it");
    await said(`The secret ${name} is set`);
  }
  assert.equal(await page.getByText("hush hush").count(), 0, "a secret is never shown");

  const { items } = await server.ask("GET", "/components");
  await visit(page, server, `/components/${items.find((it) => it.name === "guest-values").digest}`);
  await page.getByLabel("Flow", { exact: true }).selectOption("values");
  for (const it of ["secret shop-token", "secret flow-token", "variable batch-size"]) await page.getByLabel(it).check();
  await press("Preview");
  await page.getByText("What would change").waitFor();
  await press("Deploy");
  await page.getByText("shop-token, flow-token, batch-size").or(page.getByText("flow-token, shop-token, batch-size")).waitFor();
  await visit(page, server, "/values");
  await page.locator("tr", { hasText: "batch-size" }).getByRole("button", { name: "Remove…" }).click();
  await press("Remove it");
  await dialog().locator(".wrong").waitFor();
  await press("Leave it");
});

test("a schedule is made after a look at its next times, changed and removed", async () => {
  await visit(page, server, "/schedules");
  await press("New schedule…");
  await page.getByLabel("Name").fill("nightly");
  await page.getByLabel("Deployment").selectOption("orders/dev");
  await page.getByLabel("Cron").fill("0 6 * * 1-5");
  await page.getByLabel("Time zone").fill("Europe/Berlin");
  await press("Preview");
  await page.getByText("The next times").waitFor();
  assert.equal(await dialog().locator("li time").count(), 10);
  await press("Set it");
  await said("nightly is set");
  await press("Change…");
  await page.getByLabel("Kind").selectOption("every");
  await page.getByLabel("Every").fill("90 min");
  await page.getByLabel("Paused").check();
  await press("Set it");
  await page.getByText("every 1 h 30 min").waitFor();
  const { schedule } = await server.ask("GET", "/schedules/nightly");
  assert.deepEqual([schedule.when.every.interval_ms, schedule.paused], [5_400_000, true]);
  await press("Remove…");
  await press("Remove it");
  await page.getByText("Nothing runs by itself yet").waitFor();
});

test("what is no component is refused, and says why", async () => {
  await visit(page, server, "/upload");
  await page.locator("input[type=file]").setInputFiles({ name: "notes.wasm", mimeType: "application/wasm", buffer: Buffer.from("no component") });
  await page.locator(".wrong").waitFor();
  assert.equal(await page.getByRole("button", { name: "Deploy" }).count(), 0);
});

test("a queue is limited and let go, a node is drained and goes on", async () => {
  await visit(page, server, "/queues");
  await page.locator("tr", { hasText: "default" }).getByRole("button", { name: "Limit…" }).click();
  await page.getByLabel("At once, at most").fill("3");
  await press("Limit it");
  await said("default is limited to 3");
  await press("Lift…");
  await press("Lift it");
  await said("The limit of default is lifted");
  await visit(page, server, "/nodes");
  await press("Drain…");
  await press("Drain it");
  await page.locator(".pill", { hasText: "draining" }).waitFor();
  await press("Go on…");
  await press("Go on");
  await page.locator(".pill", { hasText: "working" }).waitFor();
});

test("a token is made, shown once, and revoked", async () => {
  await visit(page, server, "/tokens");
  await press("New token…");
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Role").selectOption("viewer");
  await page.getByLabel("Lasts").fill("1 d");
  await press("Make it");
  const token = await dialog().locator("code").textContent();
  assert.match(token, /^rtk_/);
  await press("I have it");
  await page.locator("tr", { hasText: "ann" }).getByRole("button", { name: "Revoke…" }).click();
  await press("Revoke it");
  await said("The token ann is revoked");
});

test("a deployment is changed after a look, paused, and forgotten", async () => {
  await visit(page, server, "/deployments/orders/dev");
  await press("Change…");
  await dialog().getByLabel("Tags").fill("shop, night");
  await dialog().getByLabel("Ended runs are kept").fill("30 d");
  await dialog().getByLabel("Wait before each").fill("5 s");
  await dialog().getByLabel("Default parameters, as JSON").fill("{\"customer\": \"globex\"}");
  await press("Preview");
  await page.getByText("What would change").waitFor();
  await press("Change it");
  await said("orders/dev is changed");
  const it = await server.ask("GET", "/deployments/orders/dev");
  assert.deepEqual([it.tags, it.retention_ms, it.policy, it.parameters], [["shop", "night"], 30 * 86_400_000, { retry_delay_ms: 5000 }, { customer: "globex" }]);
  await page.waitForFunction(() => [...document.querySelectorAll("main input")].some((it) => it.value === "globex"));
  await press("Pause…");
  await press("Pause");
  await page.locator("h1", { hasText: "paused" }).waitFor();
  await page.getByRole("tab", { name: "Raw JSON" }).click();
  await page.getByLabel("Parameters, as JSON").fill("{\"customer\": 5}");
  await press("Run");
  await page.locator(".wrong", { hasText: "customer" }).waitFor();
  await press("Forget…");
  await press("Forget it");
  await page.getByRole("heading", { name: "Deployments", exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: "orders/dev" }).count(), 0);
});
