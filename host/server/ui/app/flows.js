// @ts-check
// What can be run.
import { html } from "../vendor/preact.js";
import { get, path } from "./api.js";
import { useLoad } from "./load.js";
import { Card, Empty, Head, Show } from "./notes.js";
import { Table } from "./table.js";
import { Time, count, size } from "./time.js";
/** @import { Component, Flow, Page as Items } from "../wire" */

export function Page() {
  const all = useLoad("flows", async (signal) => {
    const [flows, components] = await Promise.all([
      /** @type {Promise<Items<Flow>>} */ (get("/flows", signal)), /** @type {Promise<Items<Component>>} */ (get("/components", signal)),
    ]);
    return { flows: flows.items, components: components.items };
  });
  return html`<${Head} title="Flows" under="Each of the newest component that has it."><a class="button primary" href="/upload">Upload a component</a><//>
    <${Show} of=${all}>${(/** @type {{ flows: Flow[], components: Component[] }} */ { flows, components }) => flows.length === 0
      ? html`<${Empty} title="There is no flow yet" icon="flows"><p>Upload a component, or run <code>retake new hello && retake dev hello</code>.</p><p><a class="button primary" href="/upload">Upload a component</a></p><//>`
      : html`<div class="cards">${flows.map((it) => html`<${Card} key=${it.name}><h2><a href=${path("flows", it.name)}>${it.name}</a></h2>
          <p class="muted">${it.description || "No description."}</p>
          <div class="row"><span class="tag">${it.component_name} ${it.component_version}</span><span class="tag">${it.retry.retries ? count(it.retry.retries, "retry", "retries") : "no retries"}</span>
            ${it.capabilities.length > 0 && html`<span class="tag">asks for ${it.capabilities.length}</span>`}</div>
          <div class="row"><a class="button" href=${path("flows", it.name)}>Run…</a><a href=${"/runs?flow=" + encodeURIComponent(it.name)}>Its runs</a></div><//>`)}</div>
        <${Card} title="Components"><${Table} label="Components" rows=${components} id=${(/** @type {Component} */ it) => it.digest} columns=${[
          ["Name", (/** @type {Component} */ it) => html`<a href=${path("components", it.digest)}>${it.name}</a> <span class="muted">${it.version}</span>`],
          ["Digest", (/** @type {Component} */ it) => html`<code>${it.digest.slice(0, 12)}</code>`, "fit"],
          ["Flows", (/** @type {Component} */ it) => html`<span class="muted">${it.flows.slice(0, 6).map((flow) => flow.name).join(", ")}${it.flows.length > 6 ? ` and ${it.flows.length - 6} more` : ""}</span>`],
          ["Size", (/** @type {Component} */ it) => size(it.bytes), "fit"],
          ["Uploaded", (/** @type {Component} */ it) => html`<${Time} at=${it.uploaded} />`, "fit"],
        ]} /><//>`}<//>`;
}
