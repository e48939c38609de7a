// @ts-check
// Flows made ready to be run.
import { html } from "../vendor/preact.js";
import { get, path } from "./api.js";
import { useLoad } from "./load.js";
import { Empty, Head, Show } from "./notes.js";
import { Table } from "./table.js";
import { Time } from "./time.js";
/** @import { Deployment, Page as Items } from "../wire" */

export function Page() {
  const all = useLoad("deployments", (signal) => /** @type {Promise<Items<Deployment>>} */ (get("/deployments", signal)));
  return html`<${Head} title="Deployments" under="A flow under a name: which code, on which work queue, with which parameters and grants."><a class="button primary" href="/upload">Upload and deploy</a><//>
    <${Show} of=${all}>${(/** @type {Items<Deployment>} */ { items }) => items.length === 0 ? html`<${Empty} title="Nothing is deployed yet" icon="deployments"><p><a class="button primary" href="/upload">Upload a component</a></p><//>`
      : html`<${Table} label="Deployments" rows=${items} id=${(/** @type {Deployment} */ it) => it.full_name} columns=${[
        ["Name", (/** @type {Deployment} */ it) => html`<a href=${path("deployments", it.flow, it.name)}>${it.full_name}</a>${it.paused && html` <span class="tag">schedules paused</span>`}`],
        ["Work queue", (/** @type {Deployment} */ it) => it.queue],
        ["Code", (/** @type {Deployment} */ it) => html`<a class="digest" href=${path("components", it.component)}>${it.component.slice(0, 12)}</a>`, "fit"],
        ["Tags", (/** @type {Deployment} */ it) => it.tags.map((tag) => html`<a class="tag" href=${"/runs?tag=" + encodeURIComponent(tag)}>${tag}</a> `)],
        ["Changed", (/** @type {Deployment} */ it) => html`<${Time} at=${it.updated} />`, "fit"],
        ["", (/** @type {Deployment} */ it) => html`<a class="button small" href=${"/runs?deployment=" + encodeURIComponent(it.full_name)}>Runs</a> <a class="button small" href=${path("deployments", it.flow, it.name)}>Run…</a>`, "right"],
      ]} />`}<//>`;
}
