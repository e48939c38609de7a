// What is below a run and what was begun in it, as its page shows them; and numbers that keep their digits.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open, visit } from "./browser.mjs";
import { start, turn } from "./server.mjs";

let server;
let page;
before(async () => {
  await turn();
  server = await start();
  for (const flow of ["crowd", "regions"]) await server.deploy("family", flow);
  page = await open(server);
});
after(async () => {
  await done(page);
  await close();
  await server.stop();
});

const press = (name) => page.getByRole("button", { name, exact: true }).first().click();
const dialog = () => page.locator("dialog[open]");
const made = (deployment, parameters = {}) => server.ask("POST", "/flow-runs", { deployment, parameters });

test("calls that run are told apart by their inputs, and stay when they are stopped", async () => {
  const run = await made("crowd/dev", { ms: 60_000 });
  await visit(page, server, `/runs/${run.id}`);
  for (const number of [1, 2, 3]) await page.getByText(`step ms=60000 number=${number}`).first().waitFor();
  // Once more from what is kept: nothing of it is remembered by the page.
  await page.waitForTimeout(600);
  await page.reload();
  for (const number of [1, 2, 3]) await page.getByText(`step ms=60000 number=${number}`).first().waitFor();
  await server.ask("POST", `/flow-runs/${run.id}/cancel`, {});
  await server.reaches(run.id, "Cancelled");
  await press("Retry…");
  await dialog().getByText("had begun, and was stopped").first().waitFor();
  assert.equal(await dialog().getByText("had begun, and was stopped").count(), 3);
  await press("Leave it");
});

test("a plan shows the calls of a child that runs again", async () => {
  const run = await made("regions/dev");
  await server.reaches(run.id, "Failed");
  await visit(page, server, `/runs/${run.id}`);
  await press("Retry…");
  await dialog().getByText("2 results fed back, 2 calls run again").waitFor();
  await dialog().getByText("step ms=0 number=2").waitFor();
  await press("Leave it");
  await page.getByLabel("With child runs").check();
  await page.getByText("step 1 begins").waitFor();
});

test("a whole number keeps its digits through the editor of a deployment", async () => {
  await server.deploy("family", "crowd", { parameters: { ms: 1 } });
  const digits = "9007199254740993";
  const patch = await fetch(`${server.base}/api/v1/deployments/crowd/dev`, {
    method: "PATCH", headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" }, body: `{"parameters": {"ms": ${digits}}}`,
  });
  assert.equal(patch.status, 200);
  await visit(page, server, "/deployments/crowd/dev");
  await page.getByText(digits).first().waitFor();
  await press("Change…");
  await page.getByLabel("Runs at once").fill("7");
  await press("Preview");
  await page.getByText("What would change").waitFor();
  await press("Change it");
  await page.locator(".said").first().waitFor();
  const after = await fetch(`${server.base}/api/v1/deployments/crowd/dev`, { headers: { authorization: `Bearer ${server.token}` } });
  const text = await after.text();
  assert.match(text, new RegExp(`"ms": ?${digits}[^0-9]`), text);
});
