// @ts-check
// The way from an address to a page.
import { html, render, useEffect, useState } from "../vendor/preact.js";
import { Empty, Loading, WhatIsWrong } from "./kit.js";
import { place, useCell } from "./page.js";
import { epoch, lost, session, wrongOf } from "./server.js";
import { begin, Shell, SignIn } from "./shell.js";
/** @import { Wrong } from "../wire" */

/** Pages by address: their title, their file, and what it exports. @type {Record<string, [title: string, load: () => Promise<any>, name: string]>} */
const PAGES = {
  "": ["Runs", () => import("./runs.js"), "Runs"],
  runs: ["Runs", () => import("./runs.js"), "Runs"],
  "runs/*": ["Run", () => import("./run.js"), "RunPage"],
  flows: ["Flows", () => import("./flow.js"), "Flows"],
  "flows/*": ["Flow", () => import("./flow.js"), "FlowPage"],
  "components/*": ["Component", () => import("./component.js"), "ComponentPage"],
  upload: ["Upload", () => import("./component.js"), "Upload"],
  deployments: ["Deployments", () => import("./deployments.js"), "Deployments"],
  "deployments/*/*": ["Deployment", () => import("./deployments.js"), "DeploymentPage"],
  schedules: ["Schedules", () => import("./deployments.js"), "Schedules"],
  queues: ["Work queues", () => import("./operate.js"), "Queues"],
  nodes: ["Nodes", () => import("./operate.js"), "Nodes"],
  notifications: ["Notifications", () => import("./operate.js"), "Notifications"],
  values: ["Secrets and variables", () => import("./manage.js"), "Values"],
  tokens: ["Tokens", () => import("./manage.js"), "Tokens"],
  audit: ["Audit", () => import("./manage.js"), "Audit"],
  settings: ["Settings", () => import("./manage.js"), "Settings"],
};

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function Routed() {
  const at = useCell(place).pathname;
  const [first = "", ...rest] = at.split("/").filter(Boolean).map(decoded);
  const found = PAGES[[first, ...rest.map(() => "*")].join("/")];
  const [loaded, setLoaded] = useState(/** @type {{ of?: unknown, page?: any, wrong?: Wrong }} */ ({}));
  const healed = useCell(epoch);
  useEffect(() => {
    document.title = [rest.join("/"), found?.[0] ?? "Nothing here", "Retake"].filter(Boolean).join(" · ");
  }, [at]);
  useEffect(() => {
    found?.[1]().then((page) => setLoaded({ of: found, page: page[found[2]] }), (error) => setLoaded({ of: found, wrong: wrongOf(error) }));
  }, [found, healed]);
  if (!found) return html`<${Empty} title="There is no such page"><p><a href="/runs">All runs</a></p><//>`;
  if (loaded.of !== found) return html`<${Loading} />`;
  if (loaded.wrong) return html`<${WhatIsWrong} wrong=${loaded.wrong} again=${() => location.reload()} />`;
  // A page of one thing begins afresh with another.
  return html`<${loaded.page} key=${at} parts=${rest} />`;
}

function App() {
  const [wrong, setWrong] = useState(/** @type {Wrong | undefined} */ (undefined));
  const who = useCell(session);
  const healed = useCell(epoch);
  useEffect(() => {
    begin().then(setWrong, (error) => {
      setWrong(wrongOf(error));
      lost();
    });
  }, [healed]);
  if (who) return html`<${Shell}><${Routed} /><//>`;
  if (who === null) return html`<${SignIn} wrong=${wrong} />`;
  return wrong ? html`<main class="sign-in"><${WhatIsWrong} wrong=${wrong} /></main>` : html`<${Loading} />`;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById("app")));
