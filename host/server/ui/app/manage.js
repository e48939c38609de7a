// @ts-check
// Secrets and variables, tokens, who did what, and the settings in force.
import { html, useState } from "../vendor/preact.js";
import { Editor, Text } from "./forms.js";
import { Button, Card, Command, confirm, Dialog, doings, Empty, Facts, Head, removes, say, shown, table } from "./kit.js";
import { brief, Time } from "./look.js";
import { asked, search, useLists, useLoad } from "./page.js";
import { ask, deploymentPath, get, path, query, refusal } from "./server.js";
/** @import { AuditEntry, Secret, Setting, Token, Variable } from "../wire" */

/** Secrets, which are given to flows and shown to nobody, and variables, which people see. */
export function Values() {
  const [editing, setEditing] = useState(/** @type {{ kind: string, it?: Variable } | undefined} */ (undefined));
  const all = useLists("/secrets", "/variables");
  const needs = (/** @type {string} */ kind) => (kind === "secret" ? "admin" : "deployer");
  const remove = (/** @type {string} */ kind, /** @type {Secret} */ it) => confirm({
    title: `Remove the ${kind} ${it.name}?`, yes: "Remove it", what: "That is refused while a deployment grants it.",
    act: removes(path(kind + "s", it.name), `The ${kind} ${it.name} is removed`, () => all.reload()),
  });
  const set = async ({ name = editing?.it?.name ?? "", value }) => {
    await ask("PUT", path(editing?.kind + "s", name), { value });
    say(`The ${editing?.kind} ${name} is set`);
    setEditing(undefined);
    await all.reload();
  };
  const list = (/** @type {string} */ kind, /** @type {string} */ title, /** @type {Variable[]} */ rows, /** @type {string} */ none) => html`<${Card} title=${title} side=${html`<${Button} icon="plus" need=${needs(kind)} onClick=${() => setEditing({ kind })}>New ${kind}…<//>`}>
    ${rows.length ? table(title, rows, [
      ["Name", (it) => html`<b>${it.name}</b>`], ["Value", (it) => (kind === "secret" ? html`<span class="muted">never shown</span>` : html`<code>${brief(it.value, 120)}</code>`)],
      ["Granted to", (it) => it.granted_to.length ? it.granted_to.map((one) => html`<a href=${deploymentPath(one)}>${one}</a> `) : html`<span class="muted">nobody</span>`],
      ["Set", (it) => html`<${Time} at=${it.updated} />, version ${it.version}`, "fit"], ["", (it) => doings(needs(kind), ["Set…", () => setEditing({ kind, it })], ["Remove…", () => remove(kind, it)]), "right"],
    ]) : html`<p class="muted">${none}</p>`}<//>`;
  const isSecret = editing?.kind === "secret";
  return html`<${Head} title="Secrets and variables" under="A flow has one when its code asks for it and the deployment of its run grants it." />
    ${shown(all, ([secrets = [], variables = []]) => html`${list("secret", "Secrets", secrets, "None yet. A secret is a text that flows are given and nobody is shown again.")}${list("variable", "Variables", variables, "None yet. A variable is a JSON value that flows read and people see.")}`)}
    ${editing && html`<${Editor} title=${editing.it ? "Set " + editing.it.name : "A new " + editing.kind} need=${needs(editing.kind)} close=${() => setEditing(undefined)} send=${set} about="What is set counts from the next attempt on."
      start=${{ value: isSecret || !editing.it ? "" : JSON.stringify(editing.it.value, null, 2) }}
      fields=${() => [!editing.it && ["name", "Name", { must: true }], ["value", isSecret ? "Value" : "Value, as JSON", isSecret ? { must: true, type: "password", hint: "It is sealed, and never shown again." } : { must: true, as: "json" }]]} />`}`;
}

const ROLE_WORDS = [["viewer", "Viewer: looks"], ["operator", "Operator: also starts, retries, cancels and pauses runs"], ["deployer", "Deployer: also uploads, deploys and schedules"], ["admin", "Admin: everything"]];

/** Who may ask the server for what. */
export function Tokens() {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState(/** @type {Token | undefined} */ (undefined));
  const refused = refusal("admin");
  const all = useLoad("tokens", async (signal) => (refused ? { items: [] } : get("/tokens", signal)));
  const revoke = (/** @type {Token} */ it) => confirm({
    title: `Revoke ${it.name}?`, yes: "Revoke it", what: "Whoever has it is shut out at once, and so are the browsers that were signed in with it.",
    act: removes(path("tokens", it.name), `The token ${it.name} is revoked`, () => all.reload()),
  });
  const make = async ({ name, role, lasts }) => {
    setMade(await ask("POST", path("tokens", name), { role, ...(lasts && { expires: new Date(Date.now() + lasts).toISOString() }) }));
    setMaking(false);
    await all.reload();
  };
  const told = () => setMade(undefined);
  return html`<${Head} title="Tokens" under="Each has a name and a role. Only its hash is kept."><${Button} kind="primary" icon="plus" need="admin" onClick=${() => setMaking(true)}>New token…<//><//>
    ${refused ? html`<${Empty} title="Tokens are shown to admins" icon="token"><p>${refused}</p><//>` : shown(all, ({ items }) => table("Tokens", /** @type {Token[]} */ (items), [
      ["Name", (it) => html`<b>${it.name}</b>`], ["Role", (it) => html`<span class="tag">${it.role}</span>`], ["Made", (it) => html`<${Time} at=${it.created} />`],
      ["Ends", (it) => (it.expires ? html`<${Time} at=${it.expires} />` : html`<span class="muted">never</span>`)], ["", (it) => doings("admin", ["Revoke…", () => revoke(it)]), "right"],
    ]))}
    ${making && html`<${Editor} title="A new token" yes="Make it" need="admin" close=${() => setMaking(false)} send=${make} start=${{ role: "operator", lasts: "90 d" }}
      fields=${() => [["name", "Name", { must: true, hint: "Of who will have it: the audit shows it." }], ["role", "Role", { options: ROLE_WORDS }], ["lasts", "Lasts", { as: "length", hint: "Empty for ever." }]]} />`}
    ${made && html`<${Dialog} title=${"The token " + made.name} close=${told} actions=${html`<${Button} kind="primary" onClick=${told}>I have it<//>`}><p>It is shown this once: only its hash is kept.</p><${Command} plain text=${made.token} /><//>`}`;
}

/** Who did what. */
export function Audit() {
  const [before, setBefore] = useState("");
  const subject = asked("subject");
  const refused = refusal("admin");
  const all = useLoad(subject + before, async (signal) => (refused ? { items: [] } : get("/audit" + query({ subject, before, limit: 100 }), signal)));
  const of = (/** @type {string} */ value) => {
    setBefore("");
    search({ subject: value });
  };
  return html`<${Head} title="Audit" under="Who did what, the newest first. Kept for 400 days." />
    ${refused ? html`<${Empty} title="The audit is shown to admins" icon="audit"><p>${refused}</p><//>` : html`<div class="filters"><div class="grow"><${Text} label="Only of" value=${subject} set=${of} placeholder="the id of a run, the name of a deployment" /></div></div>
    ${shown(all, ({ items, next }) => !items.length ? html`<${Empty} title="Nothing was done" icon="audit" />` : html`${table("Audit", /** @type {AuditEntry[]} */ (items), [
      ["When", (it) => html`<${Time} at=${it.at} />`, "fit"], ["Who", (it) => html`<b>${it.actor}</b>`], ["What", (it) => it.action],
      ["To", (it) => (it.subject.startsWith("run_") ? html`<a class="digest" href=${path("runs", it.subject)}>${it.subject}</a>` : it.subject.length > 40 ? html`<code title=${it.subject}>${it.subject.slice(0, 12)}</code>` : it.subject)],
      ["How", (it) => html`<code>${Object.keys(it.details).length > 0 && brief(it.details, 160)}</code>`],
    ])}<p class="under-list">${next && html`<${Button} onClick=${() => setBefore(next)}>Older<//> `}${before && html`<${Button} kind="quiet" onClick=${() => setBefore("")}>The newest<//>`}</p>`)}`}`;
}

/** The settings of the server that are in force, and what it is. */
export function Settings() {
  const all = useLoad("settings", async (signal) => {
    const [settings, version] = await Promise.all([get("/settings", signal), get("/version", signal)]);
    return { settings: /** @type {Setting[]} */ (settings.items), version };
  });
  return html`<${Head} title="Settings" under="As they are in force. They are set by flags, the environment or a file, and read when the server starts." />
    ${shown(all, ({ settings, version }) => html`<${Card}><${Facts} of=${[["Retake", version.version], ["Contracts", version.contract.join(", ")], ["API", html`<a href="/docs/" target="_blank">described here</a>`], ["Metrics", html`<a href="/metrics" target="_blank">/metrics</a>`]]} /><//>
      ${table("Settings", settings, [
        ["Setting", (it) => html`<code>${it.name}</code>`, "fit"], ["Value", (it) => (it.value === undefined ? html`<span class="muted">not set</span>` : html`<b>${it.value}</b>`)],
        ["Said by", (it) => html`<span class="muted">${it.from}${it.default !== undefined && it.from !== "default" && `; otherwise ${it.default}`}</span>`], ["What it is for", (it) => html`<span class="muted">${it.what}</span>`],
      ])}`)}`;
}
