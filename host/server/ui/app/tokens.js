// @ts-check
// Who may ask the server for what.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button, Copy } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { Choice, Text } from "./field.js";
import { useAct, useLoad } from "./load.js";
import { Empty, Head, Show, WhatIsWrong, say } from "./notes.js";
import { refusal } from "./session.js";
import { Table } from "./table.js";
import { Time, length } from "./time.js";
/** @import { Page as Items, Token } from "../wire" */

const ROLES = /** @type {[string, string, string][]} */ ([["viewer", "Viewer", "Looks."], ["operator", "Operator", "Also starts, retries, cancels and pauses runs."], ["deployer", "Deployer", "Also uploads, deploys and schedules."], ["admin", "Admin", "Everything: tokens, notifications, limits, secrets."]]);

/** @param {{ close: () => void, done: () => void }} props */
function Make({ close, done }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("operator");
  const [lasts, setLasts] = useState("90 d");
  const [made, setMade] = useState(/** @type {Token | undefined} */ (undefined));
  const { busy, wrong, act } = useAct();
  const ms = length(lasts);
  const bad = Number.isNaN(ms) ? "Say it as 90 d or 12 h." : undefined;
  const apply = () => act(async () => setMade(/** @type {Token} */ (await ask("POST", path("tokens", name.trim()), { role, ...(ms ? { expires: new Date(Date.now() + ms).toISOString() } : {}) }))));
  if (made) return html`<${Dialog} title=${`The token ${made.name}`} close=${done} actions=${html`<${Button} kind="primary" onClick=${done}>I have it<//>`}>
    <p>It is shown this once: only its hash is kept.</p><div class="command plain"><code>${made.token}</code><${Copy} text=${made.token ?? ""} label="Copy the token" /></div><//>`;
  return html`<${Dialog} title="A new token" close=${close} submit=${apply} actions=${html`<${Button} onClick=${close}>Leave it<//><${Button} type="submit" kind="primary" need="admin" busy=${busy} not=${!name.trim() ? "Say a name first." : bad ?? false}>Make it<//>`}>
    <${Text} label="Name" value=${name} set=${setName} hint="Of who will have it: the audit shows it." />
    <${Choice} legend="Role" value=${role} set=${setRole} options=${ROLES} />
    <${Text} label="Lasts" value=${lasts} set=${setLasts} hint="Empty for ever." wrong=${bad} /><${WhatIsWrong} wrong=${wrong} />
  <//>`;
}

export function Page() {
  const [making, setMaking] = useState(false);
  const refused = refusal("admin");
  const all = useLoad("tokens", (signal) => (refused ? Promise.resolve({ items: [] }) : /** @type {Promise<Items<Token>>} */ (get("/tokens", signal))));
  const revoke = (/** @type {Token} */ it) => confirm({ title: `Revoke ${it.name}?`, yes: "Revoke it", what: "Whoever has it is shut out at once, and so are the browsers that were signed in with it.", act: async () => {
    await ask("DELETE", path("tokens", it.name));
    say(`The token ${it.name} is revoked`);
    await all.reload();
  } });
  return html`<${Head} title="Tokens" under="Each has a name and a role. Only its hash is kept."><${Button} kind="primary" icon="plus" need="admin" onClick=${() => setMaking(true)}>New token…<//><//>
    ${refused ? html`<${Empty} title="Tokens are shown to admins" icon="token"><p>${refused}</p><//>` : html`<${Show} of=${all}>${(/** @type {Items<Token>} */ { items }) => html`<${Table} label="Tokens" rows=${items} id=${(/** @type {Token} */ it) => it.name} columns=${[
      ["Name", (/** @type {Token} */ it) => html`<b>${it.name}</b>`], ["Role", (/** @type {Token} */ it) => html`<span class="tag">${it.role}</span>`],
      ["Made", (/** @type {Token} */ it) => html`<${Time} at=${it.created} />`], ["Ends", (/** @type {Token} */ it) => (it.expires ? html`<${Time} at=${it.expires} />` : html`<span class="muted">never</span>`)],
      ["", (/** @type {Token} */ it) => html`<${Button} class="small" need="admin" onClick=${() => revoke(it)}>Revoke…<//>`, "right"],
    ]} />`}<//>`}
    ${making && html`<${Make} close=${() => setMaking(false)} done=${() => { setMaking(false); void all.reload(); }} />`}`;
}
