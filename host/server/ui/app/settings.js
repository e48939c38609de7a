// @ts-check
// The settings of the server that are in force, and what it is.
import { html } from "../vendor/preact.js";
import { get } from "./api.js";
import { useLoad } from "./load.js";
import { Card, Facts, Head, Show } from "./notes.js";
import { Table } from "./table.js";
/** @import { Page as Items, Setting } from "../wire" */

/** @typedef {{ settings: Setting[], version: { version: string, contract: string[] } }} All */

export function Page() {
  const all = useLoad("settings", async (signal) => {
    const [settings, version] = await Promise.all([/** @type {Promise<Items<Setting>>} */ (get("/settings", signal)), /** @type {Promise<All["version"]>} */ (get("/version", signal))]);
    return { settings: settings.items, version };
  });
  return html`<${Head} title="Settings" under="As they are in force. They are set by flags, the environment or a file, and read when the server starts." />
    <${Show} of=${all}>${(/** @type {All} */ { settings, version }) => html`
      <${Card}><${Facts} of=${[["Retake", version.version], ["Contracts", version.contract.join(", ")], ["API", html`<a href="/docs/" target="_blank">described here</a>`], ["Metrics", html`<a href="/metrics" target="_blank">/metrics</a>`]]} /><//>
      <${Table} label="Settings" rows=${settings} id=${(/** @type {Setting} */ it) => it.name} columns=${[
        ["Setting", (/** @type {Setting} */ it) => html`<code>--${it.name}</code>`, "fit"],
        ["Value", (/** @type {Setting} */ it) => (it.value === undefined ? html`<span class="muted">not set</span>` : html`<b>${it.value}</b>`)],
        ["Said by", (/** @type {Setting} */ it) => html`<span class="muted">${it.from}${it.default !== undefined && it.from !== "default" ? `; otherwise ${it.default}` : ""}</span>`],
        ["What it is for", (/** @type {Setting} */ it) => html`<span class="muted">${it.what}</span>`],
      ]} />`}<//>`;
}
