// @ts-check
// One component: what it says about itself, and how it differs from the version before.
import { html } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Asks, Changes, differences } from "./asks.js";
import { Button, Copy } from "./button.js";
import { Deploy } from "./deploy.js";
import { confirm } from "./dialog.js";
import { useLoad } from "./load.js";
import { Card, Facts, Head, Show, say } from "./notes.js";
import { PolicyView } from "./policy.js";
import { go } from "./route.js";
import { Time, count, size } from "./time.js";
/** @import { Component, FlowInfo, Inspection, Page as Items, TaskInfo } from "../wire" */

/** @param {{ kind: string, of: FlowInfo | TaskInfo }} props */
const One = ({ kind, of }) => html`<details><summary>${kind} ${of.name}</summary><${Card}>
  <p>${of.description}</p><h3>What it asks for</h3><${Asks} of=${of} /><h3>Retries</h3><${PolicyView} policy=${of.retry} /><//></details>`;

/** @param {{ of: Component | Inspection }} props */
export const Inside = ({ of }) => html`<${Card} title=${`${count(of.flows.length, "flow")}, ${count(of.tasks.length, "task")}`}>
  ${of.flows.map((it) => html`<${One} key=${"f" + it.name} kind="Flow" of=${it} />`)}${of.tasks.map((it) => html`<${One} key=${"t" + it.name} kind="Task" of=${it} />`)}<//>`;

/** The newest other version of the same name. @param {Component[]} all @param {Component | Inspection} of */
export function before(all, of) {
  const older = all.filter((it) => it.name === of.name && it.digest !== of.digest);
  return "uploaded" in of ? older.find((it) => it.uploaded < of.uploaded) : older[0];
}

/** @param {{ all: Component[], of: Component | Inspection }} props */
export function Against({ all, of }) {
  const had = before(all, of);
  if (!had) return html`<${Card} title="What is new"><p class="muted">It is the first of its name.</p><//>`;
  return html`<${Card} title=${`What is new since ${had.name} ${had.version}`} side=${html`<a class="digest" href=${path("components", had.digest)}>${had.digest.slice(0, 12)}</a>`}><${Changes} of=${differences(had, of)} /><//>`;
}

/** @param {{ parts: string[] }} props */
export function Page({ parts: [digest = ""] }) {
  const all = useLoad(digest, async (signal) => {
    const [one, others] = await Promise.all([/** @type {Promise<Component>} */ (get(path("components", digest), signal)), /** @type {Promise<Items<Component>>} */ (get("/components", signal))]);
    return { one, others: others.items };
  });
  return html`<${Show} of=${all}>${(/** @type {{ one: Component, others: Component[] }} */ { one, others }) => {
    const remove = () => confirm({
      title: `Forget ${one.name} ${one.version}?`, yes: "Forget it",
      what: "The component is removed. That is refused while a run or a deployment refers to it.",
      act: async () => {
        await ask("DELETE", path("components", one.digest));
        say("The component is forgotten");
        go("/flows");
      },
    });
    return html`<${Head} title=${html`${one.name} <span class="tag">${one.version}</span>`} under=${one.description}><${Button} need="deployer" onClick=${remove}>Forget…<//><//>
      <${Card}><${Facts} of=${[
        ["Digest", html`<code>${one.digest}</code> <${Copy} text=${one.digest} label="Copy the digest" />`], ["Size", size(one.bytes)], ["Uploaded", html`<${Time} at=${one.uploaded} />`],
      ]} /><//>
      <div class="aside"><div><${Against} all=${others} of=${one} /><${Inside} of=${one} /></div><${Card} title="Deploy it"><${Deploy} component=${one} /><//></div>`;
  }}<//>`;
}
