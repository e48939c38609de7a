// @ts-check
// The way from an address to a page.
import { html, render, useEffect, useState } from "../vendor/preact.js";
import { wrongOf } from "./api.js";
import { epoch, lost } from "./connection.js";
import { Empty, Loading, WhatIsWrong } from "./notes.js";
import { place } from "./route.js";
import { session } from "./session.js";
import { Shell } from "./shell.js";
import { SignIn, begin } from "./sign-in.js";
/** @import { Wrong } from "../wire" */

/** @typedef {{ Page: (props: { parts: string[] }) => unknown }} PageModule */

/** @type {Record<string, [title: string, load: () => Promise<PageModule>]>} */
const PAGES = {
  "": ["Runs", () => import("./runs.js")],
  runs: ["Runs", () => import("./runs.js")],
  "runs/*": ["Run", () => import("./run.js")],
  flows: ["Flows", () => import("./flows.js")],
  "flows/*": ["Flow", () => import("./flow.js")],
  "components/*": ["Component", () => import("./component.js")],
  upload: ["Upload", () => import("./upload.js")],
  deployments: ["Deployments", () => import("./deployments.js")],
  "deployments/*/*": ["Deployment", () => import("./deployment.js")],
  schedules: ["Schedules", () => import("./schedules.js")],
  queues: ["Work queues", () => import("./queues.js")],
  nodes: ["Nodes", () => import("./nodes.js")],
  notifications: ["Notifications", () => import("./notifications.js")],
  values: ["Secrets and variables", () => import("./values.js")],
  tokens: ["Tokens", () => import("./tokens.js")],
  audit: ["Audit", () => import("./audit.js")],
  settings: ["Settings", () => import("./settings.js")],
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
  const [first = "", ...rest] = place.value.pathname.split("/").filter(Boolean).map(decoded);
  const found = PAGES[[first, ...rest.map(() => "*")].join("/")];
  const load = found?.[1];
  const [loaded, setLoaded] = useState(/** @type {{ load?: unknown, page?: PageModule, wrong?: Wrong }} */ ({}));
  const healed = epoch.value;
  useEffect(() => {
    document.title = [rest.join("/"), found?.[0] ?? "Nothing here", "Retake"].filter(Boolean).join(" · ");
  }, [place.value.pathname]);
  useEffect(() => {
    load?.().then((page) => setLoaded({ load, page }), (error) => setLoaded({ load, wrong: wrongOf(error) }));
  }, [load, healed]);
  if (!found) return html`<${Empty} title="There is no such page"><p><a href="/runs">All runs</a></p><//>`;
  if (loaded.load !== load) return html`<${Loading} />`;
  if (loaded.wrong || !loaded.page) return html`<${WhatIsWrong} wrong=${loaded.wrong} again=${() => location.reload()} />`;
  // A page of one thing begins afresh with another.
  return html`<${loaded.page.Page} key=${place.value.pathname} parts=${rest} />`;
}

function App() {
  const [wrong, setWrong] = useState(/** @type {Wrong | undefined} */ (undefined));
  const healed = epoch.value;
  useEffect(() => {
    begin().then(() => setWrong(undefined), (error) => {
      setWrong(wrongOf(error));
      lost();
    });
  }, [healed]);
  if (session.value) return html`<${Shell}><${Routed} /><//>`;
  if (session.value === null) return html`<${SignIn} />`;
  return wrong ? html`<main class="sign-in"><${WhatIsWrong} wrong=${wrong} /></main>` : html`<${Loading} />`;
}

render(html`<${App} />`, /** @type {Element} */ (document.getElementById("app")));
