// @ts-check
// Secrets, which are given to flows and shown to nobody, and variables, which people see.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { Text } from "./field.js";
import { brief } from "./json.js";
import { useAct, useLoad } from "./load.js";
import { Card, Head, Show, WhatIsWrong, say } from "./notes.js";
import { Table } from "./table.js";
import { Time } from "./time.js";
/** @import { Json, Page as Items, Secret, Variable } from "../wire" */

/** @typedef {"secret" | "variable"} Kind */

/** @param {{ kind: Kind, of?: Secret | Variable, close: () => void, done: () => void }} props */
function Edit({ kind, of, close, done }) {
  const [name, setName] = useState(of?.name ?? "");
  const [text, setText] = useState(of && "value" in of ? JSON.stringify(of.value, null, 2) : "");
  const { busy, wrong, act } = useAct();
  const secret = kind === "secret";
  let value = /** @type {Json | undefined} */ (secret ? text : undefined);
  try {
    if (!secret && text.trim()) value = JSON.parse(text);
  } catch {
    // It is said below the field.
  }
  const apply = () => act(async () => {
    await ask("PUT", path(kind + "s", name.trim()), { value });
    say(`The ${kind} ${name} is set`);
    done();
  });
  return html`<${Dialog} title=${of ? `Set ${of.name}` : `A new ${kind}`} close=${close} submit=${apply} actions=${html`<${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" need=${secret ? "admin" : "deployer"} busy=${busy} not=${!name.trim() ? "Say a name first." : value === undefined || text === "" ? "Say a value first." : false}>Set it<//>`}>
    ${!of && html`<${Text} label="Name" value=${name} set=${setName} />`}
    ${secret ? html`<${Text} label="Value" type="password" value=${text} set=${setText} hint="It is sealed, and never shown again." />`
      : html`<${Text} label="Value, as JSON" rows=${5} code value=${text} set=${setText} wrong=${text.trim() && value === undefined ? "This is not JSON: a text stands in double quotes." : undefined} />`}
    <p class="muted">What is set counts from the next attempt on.</p><${WhatIsWrong} wrong=${wrong} />
  <//>`;
}

/** @param {Secret} it */
const grants = (it) => it.granted_to.length === 0 ? html`<span class="muted">nobody</span>` : it.granted_to.map((one, at) => html`${at > 0 && ", "}<a href=${"/deployments" + path(...one.split("/"))}>${one}</a>`);

export function Page() {
  const [editing, setEditing] = useState(/** @type {{ kind: Kind, of?: Secret | Variable } | undefined} */ (undefined));
  const all = useLoad("values", async (signal) => {
    const [secrets, variables] = await Promise.all([/** @type {Promise<Items<Secret>>} */ (get("/secrets", signal)), /** @type {Promise<Items<Variable>>} */ (get("/variables", signal))]);
    return { secrets: secrets.items, variables: variables.items };
  });
  const remove = (/** @type {Kind} */ kind, /** @type {Secret} */ it) => confirm({ title: `Remove the ${kind} ${it.name}?`, yes: "Remove it", what: "That is refused while a deployment grants it.", act: async () => {
    await ask("DELETE", path(kind + "s", it.name));
    say(`The ${kind} ${it.name} is removed`);
    await all.reload();
  } });
  const columns = (/** @type {Kind} */ kind) => [
    ["Name", (/** @type {Secret} */ it) => html`<b>${it.name}</b>`],
    ["Value", (/** @type {Variable} */ it) => (kind === "secret" ? html`<span class="muted">never shown</span>` : html`<code>${brief(it.value, 120)}</code>`)],
    ["Granted to", grants],
    ["Set", (/** @type {Secret} */ it) => html`<${Time} at=${it.updated} />, version ${it.version}`, "fit"],
    ["", (/** @type {Secret} */ it) => html`<${Button} class="small" need=${kind === "secret" ? "admin" : "deployer"} onClick=${() => setEditing({ kind, of: it })}>Set…<//><${Button} class="small" need=${kind === "secret" ? "admin" : "deployer"} onClick=${() => remove(kind, it)}>Remove…<//>`, "right"],
  ];
  const id = (/** @type {Secret} */ it) => it.name;
  return html`<${Head} title="Secrets and variables" under="A flow has one when its code asks for it and the deployment of its run grants it." />
    <${Show} of=${all}>${(/** @type {{ secrets: Secret[], variables: Variable[] }} */ { secrets, variables }) => html`
      <${Card} title="Secrets" side=${html`<${Button} icon="plus" need="admin" onClick=${() => setEditing({ kind: "secret" })}>New secret…<//>`}>
        ${secrets.length ? html`<${Table} label="Secrets" rows=${secrets} id=${id} columns=${columns("secret")} />` : html`<p class="muted">None yet. A secret is a text that flows are given and nobody is shown again.</p>`}<//>
      <${Card} title="Variables" side=${html`<${Button} icon="plus" need="deployer" onClick=${() => setEditing({ kind: "variable" })}>New variable…<//>`}>
        ${variables.length ? html`<${Table} label="Variables" rows=${variables} id=${id} columns=${columns("variable")} />` : html`<p class="muted">None yet. A variable is a JSON value that flows read and people see.</p>`}<//>`}<//>
    ${editing && html`<${Edit} ...${editing} close=${() => setEditing(undefined)} done=${() => { setEditing(undefined); void all.reload(); }} />`}`;
}
