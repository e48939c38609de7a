// Every page, wide and narrow, light and dark: nothing on the console, nothing too wide, nothing that keeps people out.
import { after, before, test } from "node:test";
import fs from "node:fs";
import path from "node:path";
import { accessible, close, done, fits, open, shot, visit } from "./browser.mjs";
import { SHOTS, component, start, turn } from "./server.mjs";
import { pages, stock } from "./stocked.mjs";

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

// What a page says that is not there is an answer of 404, of which the browser tells.
const expected = [/status of 404/];

for (const [narrow, dark] of [[false, false], [false, true], [true, false], [true, true]]) {
  const mode = `${narrow ? "narrow" : "wide"}-${dark ? "dark" : "light"}`;
  test(`every page, ${mode}`, async () => {
    const page = await open(server, { narrow, dark, expected });
    for (const [name, at] of Object.entries(pages(stocked))) {
      await visit(page, server, at);
      await fits(page, name);
      await accessible(page, `${name}, ${mode}`);
      await shot(page, `${name}-${mode}`);
    }
    await done(page);
  });
}

const dialogs = [
  ["run-failed", "Retry…"], ["run-failed", "Remove…"], ["runs", "Retry many…"], ["deployment", "Change…"], ["schedules", "New schedule…"], ["queues", "Limit a tag…"], ["nodes", "Drain…"],
  ["notifications", "New notification…"], ["notifications", "Show"], ["values", "New secret…"], ["values", "New variable…"], ["tokens", "New token…"],
];
for (const narrow of [false, true]) {
  test(`every dialog, ${narrow ? "narrow" : "wide"}`, async () => {
    const page = await open(server, { narrow, dark: narrow });
    for (const [name, button] of dialogs) {
      await visit(page, server, pages(stocked)[name]);
      await page.getByRole("button", { name: button, exact: true }).first().click();
      await page.locator("dialog[open]").waitFor();
      await page.waitForFunction(() => !document.querySelector("dialog .loading"));
      await page.waitForTimeout(200);
      await fits(page, button);
      await accessible(page, `${name}, ${button}`);
      await shot(page, `dialog-${name}-${button.replace(/\W+/g, "")}-${narrow ? "narrow-dark" : "wide-light"}`);
      await page.keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
    }
    await done(page);
  });
}

for (const narrow of [false, true]) {
  test(`an upload that was looked into, ${narrow ? "narrow" : "wide"}`, async () => {
    const page = await open(server, { narrow, dark: narrow, at: "/upload" });
    for (const name of ["values", "changed_added"]) {
      await page.locator("input[type=file]").setInputFiles(component(name));
      await page.getByText("nothing is kept yet").waitFor();
      await page.locator("h2", { hasText: `${name}.wasm` }).waitFor();
      for (const summary of await page.locator("main summary").all()) await summary.click();
      await fits(page, name);
      await accessible(page, name);
      await shot(page, `upload-${name}-${narrow ? "narrow-dark" : "wide-light"}`);
    }
    await done(page);
  });
}

test("two pictures for the README are small", async () => {
  const page = await open(server, { at: `/runs/${stocked.failed.id}` });
  for (const [name, at] of [["readme-run", `/runs/${stocked.failed.id}`], ["readme-runs", "/runs"]]) {
    await visit(page, server, at);
    await page.waitForTimeout(300);
    await shot(page, name);
    const { size } = fs.statSync(path.join(SHOTS, `${name}.png`));
    if (size > 120 * 1024) throw new Error(`${name}.png has ${size} bytes`);
  }
  await done(page);
});
