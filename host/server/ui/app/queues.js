// @ts-check
// How much is worked on at once: of a work queue, and of tasks with a tag.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { Text } from "./field.js";
import { useAct, useLoad } from "./load.js";
import { Card, Head, Show, WhatIsWrong, say } from "./notes.js";
import { Table } from "./table.js";
/** @import { Deployment, Limited, Page as Items } from "../wire" */

/** @param {{ kind: "queues" | "task-tags", of?: Limited, name?: string, close: () => void, done: () => void }} props */
function Limit({ kind, of, name: given, close, done }) {
  const [name, setName] = useState(of?.name ?? given ?? "");
  const [most, setMost] = useState(of ? String(of.concurrency) : "");
  const { busy, wrong, act } = useAct();
  const word = kind === "queues" ? "work queue" : "tag";
  const n = Number(most);
  const apply = () => act(async () => {
    await ask("PUT", path(kind, name.trim()), { concurrency: n });
    say(`The ${word} ${name} is limited to ${n}`);
    done();
  });
  return html`<${Dialog} title=${`Limit a ${word}`} close=${close} submit=${apply} actions=${html`<${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" need="admin" busy=${busy} not=${!name.trim() ? "Say a name first." : !(Number.isInteger(n) && n > 0) ? "Say how many." : false}>Limit it<//>`}>
    ${!of && html`<${Text} label="Name" value=${name} set=${setName} />`}
    <${Text} label="At once, at most" type="number" value=${most} set=${setMost} hint=${kind === "queues" ? "Runs of it, children apart. What is beyond waits." : "Attempts of tasks with this tag, over all runs."} />
    <${WhatIsWrong} wrong=${wrong} />
  <//>`;
}

/** @typedef {{ queues: Limited[], tags: Limited[], names: string[] }} All */

export function Page() {
  const [editing, setEditing] = useState(/** @type {{ kind: "queues" | "task-tags", of?: Limited, name?: string } | undefined} */ (undefined));
  const all = useLoad("queues", async (signal) => {
    const [queues, tags, deployments] = await Promise.all([/** @type {Promise<Items<Limited>>} */ (get("/queues", signal)), /** @type {Promise<Items<Limited>>} */ (get("/task-tags", signal)), /** @type {Promise<Items<Deployment>>} */ (get("/deployments", signal))]);
    return { queues: queues.items, tags: tags.items, names: [...new Set(["default", ...deployments.items.map((it) => it.queue)])] };
  });
  const lift = (/** @type {"queues" | "task-tags"} */ kind, /** @type {Limited} */ it) => confirm({ title: `Lift the limit of ${it.name}?`, yes: "Lift it", danger: false, what: "As much of it is worked on as there are slots.", act: async () => {
    await ask("DELETE", path(kind, it.name));
    say(`The limit of ${it.name} is lifted`);
    await all.reload();
  } });
  const table = (/** @type {"queues" | "task-tags"} */ kind, /** @type {Limited[]} */ rows) => html`<${Table} label=${kind === "queues" ? "Work queues" : "Tags"} rows=${rows} id=${(/** @type {Limited} */ it) => it.name} columns=${[
    ["Name", (/** @type {Limited} */ it) => html`<b>${it.name}</b>`],
    ["At once", (/** @type {Limited} */ it) => (it.concurrency ? String(it.concurrency) : html`<span class="muted">as many as there are slots</span>`)],
    ["", (/** @type {Limited} */ it) => it.concurrency ? html`<${Button} class="small" need="admin" onClick=${() => setEditing({ kind, of: it })}>Change…<//><${Button} class="small" need="admin" onClick=${() => lift(kind, it)}>Lift…<//>`
      : html`<${Button} class="small" need="admin" onClick=${() => setEditing({ kind, name: it.name })}>Limit…<//>`, "right"],
  ]} />`;
  return html`<${Head} title="Work queues" under="Where workers look for runs. What is beyond a limit waits, and what is not limited goes on." />
    <${Show} of=${all}>${(/** @type {All} */ { queues, tags, names }) => html`
      <${Card} title="Work queues" side=${html`<${Button} icon="plus" need="admin" onClick=${() => setEditing({ kind: "queues" })}>Limit another…<//>`}>
        ${table("queues", [...queues, ...names.filter((name) => queues.every((it) => it.name !== name)).map((name) => ({ name, concurrency: 0 }))])}<//>
      <${Card} title="Tags of tasks" side=${html`<${Button} icon="plus" need="admin" onClick=${() => setEditing({ kind: "task-tags" })}>Limit a tag…<//>`}>
        ${tags.length ? table("task-tags", tags) : html`<p class="muted">No tag has a limit. A limit bounds how many attempts of tasks with a tag are made at once, over all runs.</p>`}<//>`}<//>
    ${editing && html`<${Limit} ...${editing} close=${() => setEditing(undefined)} done=${() => { setEditing(undefined); void all.reload(); }} />`}`;
}
