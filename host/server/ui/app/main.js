// @ts-check
// The way from an address to a page.
import { html, render, useEffect, useState } from "../vendor/preact.js";
import { ComponentPage, Upload } from "./component.js";
import { DeploymentPage, Deployments, Schedules } from "./deployments.js";
import { FlowPage, Flows } from "./flow.js";
import { Empty, Loading, WhatIsWrong } from "./kit.js";
import { Audit, Settings, Tokens, Values } from "./manage.js";
import { Nodes, Notifications, Queues } from "./operate.js";
import { place, useCell } from "./page.js";
import { RunPage } from "./run.js";
import { Runs } from "./runs.js";
import { epoch, lost, session, wrongOf } from "./server.js";
import { begin, Shell, SignIn } from "./shell.js";
/** @import { Wrong } from "../wire" */

/** Pages by address: their title, and what shows them. @type {Record<string, [title: string, page: any]>} */
const PAGES = {
  "": ["Runs", Runs],
  runs: ["Runs", Runs],
  "runs/*": ["Run", RunPage],
  flows: ["Flows", Flows],
  "flows/*": ["Flow", FlowPage],
  "components/*": ["Component", ComponentPage],
  upload: ["Upload", Upload],
  deployments: ["Deployments", Deployments],
  "deployments/*/*": ["Deployment", DeploymentPage],
  schedules: ["Schedules", Schedules],
  queues: ["Work queues", Queues],
  nodes: ["Nodes", Nodes],
  notifications: ["Notifications", Notifications],
  values: ["Secrets and variables", Values],
  tokens: ["Tokens", Tokens],
  audit: ["Audit", Audit],
  settings: ["Settings", Settings],
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
  useEffect(() => {
    document.title = [rest.join("/"), found?.[0] ?? "Nothing here", "Retake"].filter(Boolean).join(" · ");
  }, [at]);
  if (!found) return html`<${Empty} title="There is no such page"><p><a href="/runs">All runs</a></p><//>`;
  // A page of one thing begins afresh with another.
  return html`<${found[1]} key=${at} parts=${rest} />`;
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
