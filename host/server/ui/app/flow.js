// @ts-check
// One flow: run it, and see what it is.
import { html } from "../vendor/preact.js";
import { get, path } from "./api.js";
import { Asks } from "./asks.js";
import { Value } from "./json.js";
import { useLoad } from "./load.js";
import { Card, Empty, Head, Show, Tabs } from "./notes.js";
import { PolicyView } from "./policy.js";
import { asked, search } from "./route.js";
import { RunForm } from "./run-form.js";
import { Table } from "./table.js";
import { Time, count } from "./time.js";
/** @import { Component, Deployment, Flow, Json, Page as Items } from "../wire" */

const TABS = /** @type {[string, string][]} */ ([["policy", "Retry policy"], ["asks", "What it asks for"], ["schema", "Schemas"], ["tasks", "Tasks"], ["versions", "Versions"], ["deployments", "Deployments"]]);

/** @param {{ parts: string[] }} props */
export function Page({ parts: [name = ""] }) {
  const all = useLoad(name, async (signal) => {
    const [flows, components, deployments] = await Promise.all([
      /** @type {Promise<Items<Flow>>} */ (get("/flows", signal)), /** @type {Promise<Items<Component>>} */ (get("/components", signal)),
      /** @type {Promise<Items<Deployment>>} */ (get("/deployments", signal)),
    ]);
    return { flow: flows.items.find((it) => it.name === name), versions: components.items.filter((it) => it.flows.some((flow) => flow.name === name)),
      deployments: deployments.items.filter((it) => it.flow === name) };
  });
  const tab = asked("tab") || "policy";
  return html`<${Show} of=${all}>${(/** @type {{ flow?: Flow, versions: Component[], deployments: Deployment[] }} */ { flow, versions, deployments }) => {
    if (!flow) return html`<${Empty} title=${`No component has a flow ${name}`} icon="flows"><p><a href="/flows">All flows</a></p><//>`;
    const component = versions.find((it) => it.digest === flow.component);
    return html`<${Head} title=${flow.name} under=${html`${flow.description} <a href=${path("components", flow.component)}>${flow.component_name} ${flow.component_version}</a>`}>
        <a class="button" href=${"/runs?flow=" + encodeURIComponent(name)}>Its runs</a><//>
      <div class="aside"><div>
        <${Tabs} label="About the flow" of=${TABS} at=${tab} go=${(/** @type {string} */ id) => search({ tab: id === "policy" ? null : id })} />
        ${tab === "policy" && html`<${Card} title="When its attempts begin"><${PolicyView} policy=${flow.retry} /><//>
          ${component?.tasks.filter((it) => it.retry.retries > 0 || it.retry.rules.length > 0).map((it) => html`<${Card} title=${`Task ${it.name}`}><${PolicyView} policy=${it.retry} />
            ${flow.retry.retries > 0 && html`<p class="muted small">With those of the flow: ${count((it.retry.retries + 1) * (flow.retry.retries + 1), "attempt")} of it at most.</p>`}<//>`)}`}
        ${tab === "asks" && html`<${Card}><${Asks} of=${flow} /><//>`}
        ${tab === "schema" && html`<${Card} title="Parameters"><${Value} value=${/** @type {Json} */ (/** @type {unknown} */ (flow.parameters))} label="schema of the parameters" /><//>
          <${Card} title="Result"><${Value} value=${flow.returns ? /** @type {Json} */ (/** @type {unknown} */ (flow.returns)) : undefined} label="schema of the result" /><//>`}
        ${tab === "tasks" && (component?.tasks.length ? component.tasks.map((it) => html`<${Card} title=${it.name} side=${html`<span class="tag">version ${it.version}</span>${it.tags.map((tag) => html`<span class="tag">${tag}</span>`)}`}>
          <p>${it.description}</p><p class="muted">${it.retry.retries ? count(it.retry.retries, "retry", "retries") : "No retries"}.</p><${Asks} of=${it} /><//>`) : html`<${Empty} title="It has no tasks" />`)}
        ${tab === "versions" && html`<${Table} label="Versions" rows=${versions} id=${(/** @type {Component} */ it) => it.digest} columns=${[
          ["Component", (/** @type {Component} */ it) => html`<a href=${path("components", it.digest)}>${it.name} ${it.version}</a>`],
          ["Digest", (/** @type {Component} */ it) => html`<code>${it.digest.slice(0, 12)}</code>`, "fit"],
          ["Uploaded", (/** @type {Component} */ it) => html`<${Time} at=${it.uploaded} />`, "fit"],
        ]} />`}
        ${tab === "deployments" && (deployments.length ? html`<${Table} label="Deployments" rows=${deployments} id=${(/** @type {Deployment} */ it) => it.full_name} columns=${[
          ["Name", (/** @type {Deployment} */ it) => html`<a href=${path("deployments", it.flow, it.name)}>${it.full_name}</a>`],
          ["Work queue", (/** @type {Deployment} */ it) => it.queue],
          ["Code", (/** @type {Deployment} */ it) => html`<code>${it.component.slice(0, 12)}</code>`, "fit"],
        ]} />` : html`<${Empty} title="It is not deployed" icon="deployments"><p><a class="button" href=${path("components", flow.component)}>Deploy it…</a></p><//>`)}
      </div><${Card} title="Run it"><${RunForm} flow=${flow} deployments=${deployments} /><//></div>`;
  }}<//>`;
}
