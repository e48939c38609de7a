// Fills a server with something of everything, so that no page is empty.
import http from "node:http";
import { component } from "./server.mjs";

export async function stock(server) {
  const receiver = http.createServer((request, answer) => request.resume().on("end", () => answer.end()));
  await new Promise((done) => receiver.listen(0, "127.0.0.1", done));
  const hook = `http://127.0.0.1:${receiver.address().port}/hook`;
  await server.ask("PUT", "/notifications/night", { to: { webhook: { url: hook } }, states: ["Failed", "Completed"] });
  await server.ask("PUT", "/secrets/shop-token", { value: "not to be seen" });
  await server.ask("PUT", "/variables/batch-size", { value: { rows: 500 } });
  await server.ask("PUT", "/queues/night", { concurrency: 4 });
  await server.ask("PUT", "/task-tags/shop", { concurrency: 2 });
  await server.ask("POST", "/tokens/ann", { role: "viewer" });
  const orders = await server.deploy("orders", "orders", { description: "Takes orders where they belong.", tags: ["shop"] });
  await server.deploy("values", "values", { secrets: ["shop-token"], variables: ["batch-size"], queue: "night" });
  await server.deploy("retry_it", "retry-it", { queue: "night" });
  await server.deploy("hostile", "panic");
  await server.deploy("hostile", "eat-memory");
  await server.deploy("parent", "parent");
  await server.ask("PUT", "/schedules/nightly", { deployment: "orders/dev", when: { cron: { expression: "0 6 * * 1-5", time_zone: "Europe/Amsterdam" } } });
  const run = async (ask, ...states) => server.reaches((await server.run(ask)).id, ...states);
  const failed = await run({ deployment: "orders/dev", parameters: { enrich_fails: 1, load: "fail-once", pause_ms: 150 } }, "Failed");
  const retried = await run({ deployment: "orders/dev", parameters: { load: "fail-once" } }, "Failed");
  await server.ask("POST", `/flow-runs/${retried.id}/retry`, {});
  await server.reaches(retried.id, "Completed");
  const trapped = await run({ deployment: "panic/dev" }, "Failed");
  await run({ deployment: "eat-memory/dev" }, "Failed");
  const waiting = await run({ deployment: "retry-it/dev", parameters: { fail_times: 9 } }, "AwaitingRetry");
  const parent = await run({ deployment: "parent/dev" }, "Completed");
  await run({ deployment: "orders/dev", parameters: { customer: "globex" } }, "Completed");
  return { orders, failed, retried, trapped, waiting, parent, component, receiver };
}

/** Every page, with what it is called in the names of screenshots. */
export const pages = ({ orders, failed, retried, trapped, waiting, parent }) => ({
  runs: "/runs", "runs-filtered": "/runs?state=Failed&flow=orders&range=24h", "runs-none": "/runs?text=nothing-like-that",
  "run-failed": `/runs/${failed.id}`, "run-call": `/runs/${failed.id}?call=2&tab=values`, "run-retried": `/runs/${retried.id}?tab=history`, "run-trapped": `/runs/${trapped.id}`,
  "run-waiting": `/runs/${waiting.id}`, "run-parent": `/runs/${parent.id}?tab=children`, "run-missing": "/runs/nobody-knows-it",
  flows: "/flows", flow: "/flows/orders", "flow-policy": "/flows/retry-it", "flow-schema": "/flows/orders?tab=schema", component: `/components/${orders}`, upload: "/upload",
  deployments: "/deployments", deployment: "/deployments/orders/dev", schedules: "/schedules", queues: "/queues", nodes: "/nodes", notifications: "/notifications",
  values: "/values", tokens: "/tokens", audit: "/audit", settings: "/settings", nowhere: "/nowhere",
});
