// The server goes away and comes back: it is said, and it heals itself.
import { after, before, test } from "node:test";
import { close, done, open, shot } from "./browser.mjs";
import { start, turn } from "./server.mjs";

let server;
before(async () => {
  await turn();
  server = await start();
  await server.deploy("orders", "orders");
  await server.deploy("ten_tasks", "nap");
});
after(async () => {
  await close();
  await server.stop();
});

const expected = [/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY_RESPONSE|ERR_NETWORK|503/];

for (const signal of ["SIGKILL", "SIGTERM"]) {
  test(`the list and a run heal after ${signal}`, async () => {
    const { id } = await server.run({ deployment: "nap/dev" });
    await server.reaches(id, "Suspended");
    const page = await open(server, { expected });
    const run = await open(server, { at: `/runs/${id}`, expected });
    await page.locator(".pill", { hasText: "Suspended" }).first().waitFor();
    await server.kill(signal);
    for (const it of [page, run]) {
      await it.getByText("The server does not answer").waitFor();
      await it.getByText(/Next try in \d+ s/).waitFor();
    }
    await shot(page, "connection-lost");
    await server.begin();
    for (const it of [page, run]) await it.locator(".lost.there").waitFor({ state: "detached", timeout: 20_000 });
    const other = await server.run({ deployment: "orders/dev", parameters: { customer: "after" } });
    await server.reaches(other.id, "Completed");
    await page.getByRole("link", { name: other.name, exact: true }).waitFor({ timeout: 10_000 });
    await server.ask("POST", `/flow-runs/${id}/cancel`);
    await run.locator("h1 .pill", { hasText: "Cancelled" }).waitFor({ timeout: 20_000 });
    await done(page);
    await done(run);
  });
}
