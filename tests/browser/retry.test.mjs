// What is confirmed is what happens: a retry does what its plan said, with the parameters that are shown, and nothing else.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, done, open } from "./browser.mjs";
import { start, turn, until } from "./server.mjs";

let server;
before(async () => {
  await turn();
  server = await start();
  await server.deploy("family", "region");
});
after(async () => {
  await close();
  await server.stop();
});

/** A run whose `day` may be null, and was not said; it has failed. */
async function failed(parameters = {}) {
  const { id } = await server.run({ deployment: "region/dev", parameters, policy: { retries: 0 } });
  return server.reaches(id, "Failed");
}

/** Opens the dialog, and collects what is asked by it. */
async function dialog(run) {
  const page = await open(server, { at: `/runs/${run.id}` });
  const asked = [];
  page.on("request", (it) => it.method() === "POST" && it.url().endsWith("/retry") && asked.push(it.postDataJSON()));
  await page.getByRole("button", { name: "Retry…" }).first().click();
  await page.getByText("in a fresh sandbox").waitFor();
  const now = page.getByRole("button", { name: "Retry now" });
  return { page, asked, now, really: () => asked.filter((it) => !it.dry_run) };
}

const enabled = (button) => until(() => button.isEnabled());

test("a parameter that may be null and was not said is not sent, whatever is chosen", async () => {
  const run = await failed();
  const { page, now, really } = await dialog(run);
  await enabled(now);
  await page.getByRole("radio", { name: /^Everything / }).check();
  await page.getByText("3 calls run again").waitFor();
  await enabled(now);
  await now.click();
  await until(() => really().length);
  assert.deepEqual(really()[0], { all: true, policy: {}, expected_attempt: 1 });
  const retried = await until(async () => {
    const it = await server.ask("GET", `/flow-runs/${run.id}`);
    return it.attempt >= 2 && it;
  });
  assert.deepEqual(retried.parameters, {});
  await done(page);
});

test("null, unset and the text of that name are said apart, and a parameter can be taken away", async () => {
  for (const [had, act, expected] of [
    [{}, (page) => page.getByLabel("day is null").check(), { day: null }],
    [{}, (page) => page.getByLabel("day", { exact: true }).fill("null"), { day: "null" }],
    [{ day: "2026-03-01" }, (page) => page.getByLabel("day", { exact: true }).fill(""), {}],
    [{ day: null }, (page) => page.getByLabel("day is null").uncheck(), {}],
  ]) {
    const run = await failed(had);
    const { page, now, really } = await dialog(run);
    await page.getByText("Change parameters").click();
    await act(page);
    await page.getByText("Other parameters").waitFor();
    await enabled(now);
    await now.click();
    await until(() => really().length);
    const retried = await until(async () => {
      const it = await server.ask("GET", `/flow-runs/${run.id}`);
      return it.attempt >= 2 && it;
    });
    assert.deepEqual(retried.parameters, expected, JSON.stringify(had));
    await done(page);
  }
});

test("the button waits for the plan of what would be sent, also for the keyboard", async () => {
  const run = await failed();
  const { page, now, asked, really } = await dialog(run);
  await enabled(now);
  // Plans are answered late from now on.
  await page.route("**/retry", async (route) => {
    await new Promise((late) => setTimeout(late, 600));
    await route.continue();
  });
  await page.getByRole("radio", { name: /^Everything / }).check();
  assert.equal(await now.isEnabled(), false, "the plan that is shown is of something else");
  await page.keyboard.press("Enter");
  await enabled(now);
  assert.deepEqual(really(), [], "Enter did nothing before the plan was there");
  assert.equal(asked.at(-1).all, true);
  await page.unroute("**/retry");
  // Somebody else is quicker: what was planned is of an attempt that is over.
  await server.ask("POST", `/flow-runs/${run.id}/retry`, { all: true });
  await until(async () => (await server.ask("GET", `/flow-runs/${run.id}`)).attempt === 2);
  await until(() => asked.length > 2 && asked.at(-1).dry_run);
  await page.getByText("Attempt 3 in a fresh sandbox").waitFor();
  await done(page);
});

test("many runs are retried as they were listed", async () => {
  const runs = await Promise.all([failed(), failed()]);
  const page = await open(server, { at: "/runs?state=Failed&flow=region" });
  await page.getByRole("button", { name: /Retry/ }).first().click();
  const listed = page.getByRole("list", { name: "Runs" }).getByRole("listitem");
  await listed.first().waitFor();
  const shown = await listed.count();
  const late = await failed();
  let sent;
  page.on("request", (it) => it.url().endsWith("/bulk-retry") && (sent = it.postDataJSON()));
  await page.getByRole("button", { name: `Retry ${shown} runs` }).click();
  await until(() => sent && !sent.dry_run);
  assert.equal(sent.runs.length, shown);
  assert.ok(runs.every((it) => sent.runs.includes(it.id)) && !sent.runs.includes(late.id), JSON.stringify(sent));
  assert.equal(sent.filter, undefined);
  await done(page);
});
