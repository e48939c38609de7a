// @ts-check
// Who is told of which runs, and what became of the messages.
import { html, useEffect, useState } from "../vendor/preact.js";
import { ask, get, path, query } from "./api.js";
import { Button, Copy } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { Check, Text } from "./field.js";
import { Value } from "./json.js";
import { useAct, useLoad } from "./load.js";
import { Card, Empty, Facts, Head, Show, WhatIsWrong, say } from "./notes.js";
import { hueOf } from "./state.js";
import { Table } from "./table.js";
import { Time, length, took } from "./time.js";
/** @import { Delivery, Notification, Page as Items, Rule } from "../wire" */

const STATES = ["Failed", "TimedOut", "Crashed", "Parked", "Completed", "Cancelled", "AwaitingRetry"];
const UNLESS_SAID = STATES.slice(0, 4);
const KINDS = /** @type {[string, string][]} */ ([["webhook", "A webhook"], ["slack", "Slack"], ["apprise", "An Apprise server"], ["email", "E-mail"]]);

/** @param {Rule["to"]} to */
const where = (to) => to.email ? to.email.addresses.join(", ") : (to.webhook ?? to.slack ?? to.apprise)?.url ?? "";

/** @param {{ of?: Notification, close: () => void, done: (made: Notification) => void }} props */
function Edit({ of, close, done }) {
  const rule = of?.rule;
  const [it, set] = useState({
    name: of?.name ?? "", kind: rule ? Object.keys(rule.to)[0] ?? "webhook" : "webhook", to: "", flow: rule?.flow ?? "", deployment: rule?.deployment ?? "", tag: rule?.tag ?? "",
    in_a_row: String(rule?.in_a_row ?? 1), quiet: rule?.quiet_ms ? took(rule.quiet_ms) : "", paused: rule?.paused ?? false,
  });
  const [states, setStates] = useState(rule?.states ?? UNLESS_SAID);
  const { busy, wrong, act } = useAct();
  const quiet = length(it.quiet) ?? 0;
  const to = () => it.kind === "email" ? { email: { addresses: it.to.split(",").map((one) => one.trim()).filter(Boolean) } } : { [it.kind]: { url: it.to.trim() } };
  const apply = () => act(async () => done(/** @type {Notification} */ (await ask("PUT", path("notifications", it.name.trim()), {
    to: to(), states, in_a_row: Number(it.in_a_row) || 1, quiet_ms: quiet, paused: it.paused,
    ...(it.flow ? { flow: it.flow } : {}), ...(it.deployment ? { deployment: it.deployment } : {}), ...(it.tag ? { tag: it.tag } : {}),
  }))));
  const text = (/** @type {keyof typeof it} */ name) => ({ value: String(it[name]), set: (/** @type {string} */ value) => set({ ...it, [name]: value }) });
  const not = !it.name.trim() ? "Say a name first." : !it.to.trim() ? "Say who is told." : states.length === 0 ? "Choose a state." : Number.isNaN(quiet) ? "That is no length of time." : false;
  return html`<${Dialog} title=${of ? `Change ${of.name}` : "A new notification"} close=${close} wide submit=${apply} actions=${html`<${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" need="admin" busy=${busy} not=${not}>${of ? "Change it" : "Make it"}<//>`}>
    <${WhatIsWrong} wrong=${wrong} />
    <div class="two">${!of && html`<${Text} label="Name" ...${text("name")} />`}<${Text} label="Who is told" ...${text("kind")} options=${KINDS} />
      <${Text} label=${it.kind === "email" ? "Addresses" : "Address"} ...${text("to")} placeholder=${it.kind === "email" ? "ops@example.org, night@example.org" : "https://example.org/hook"} hint=${of ? "The whole address is never shown again: type it anew." : it.kind === "email" ? "Separated by commas." : ""} /></div>
    <fieldset class="choice"><legend>When a run is</legend><div class="row">${STATES.map((state) => html`<${Check} label=${state} checked=${states.includes(state)} set=${(/** @type {boolean} */ on) => setStates(on ? [...states, state] : states.filter((one) => one !== state))} />`)}</div></fieldset>
    <details><summary>Only some runs, and not too often</summary><div class="two"><${Text} label="Only of the flow" ...${text("flow")} /><${Text} label="Only of the deployment" ...${text("deployment")} placeholder="flow/name" /><${Text} label="Only with the tag" ...${text("tag")} />
      <${Text} label="Only when so many in a row" type="number" ...${text("in_a_row")} /><${Text} label="Then quiet for" ...${text("quiet")} placeholder="not at all" hint="Such as 1 h." /></div></details>
    <${Check} label="Paused" checked=${it.paused} set=${(/** @type {boolean} */ paused) => set({ ...it, paused })} />
  <//>`;
}

const HUES = /** @type {Record<string, string>} */ ({ delivered: "good", "given-up": "bad", pending: "wait" });

/** @param {{ changed: number }} props */
function Deliveries({ changed }) {
  const [shown, setShown] = useState(/** @type {Delivery | undefined} */ (undefined));
  const [before, setBefore] = useState("");
  const all = useLoad("deliveries" + before, (signal) => /** @type {Promise<Items<Delivery>>} */ (get("/deliveries" + query({ limit: 50, before }), signal)));
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && all.reload(), 3000);
    return () => clearInterval(timer);
  }, [all.reload]);
  useEffect(() => void (changed && all.reload()), [changed]);
  return html`<${Card} title="Messages" side=${before && html`<${Button} onClick=${() => setBefore("")}>The newest<//>`}><${Show} of=${all}>${(/** @type {Items<Delivery>} */ { items, next }) => items.length === 0 ? html`<p class="muted">None was sent yet.</p>` : html`
    <${Table} label="Messages" rows=${items} id=${(/** @type {Delivery} */ it) => it.id} columns=${[
      ["State", (/** @type {Delivery} */ it) => html`<span class=${`pill ${HUES[it.state] ?? "idle"}`}>${it.state}</span>`, "fit"],
      ["Notification", (/** @type {Delivery} */ it) => it.rule],
      ["Run", (/** @type {Delivery} */ it) => (it.run ? html`<a href=${path("runs", it.run)}>open it</a>` : html`<span class="muted">a test</span>`), "fit"],
      ["Answer", (/** @type {Delivery} */ it) => html`<span class="muted">${it.answer ?? ""}</span>`],
      ["Tried", (/** @type {Delivery} */ it) => html`${it.attempts}×${it.state === "pending" && it.due ? html`, next <${Time} at=${it.due} />` : ""}`, "fit"],
      ["Made", (/** @type {Delivery} */ it) => html`<${Time} at=${it.created} />`, "fit"],
      ["", (/** @type {Delivery} */ it) => html`<${Button} class="small" onClick=${() => setShown(it)}>Show<//>`, "right"],
    ]} />${next && html`<p><${Button} onClick=${() => setBefore(next)}>Older<//></p>`}`}<//>
    ${shown && html`<${Dialog} title="A message" close=${() => setShown(undefined)} wide><${Facts} of=${[["Id", html`<code>${shown.id}</code>`], ["State", shown.state], ["Answer", shown.answer]]} /><${Value} value=${shown.body} label="message" /><//>`}<//>`;
}

export function Page() {
  const [editing, setEditing] = useState(/** @type {Notification | "new" | undefined} */ (undefined));
  const [secret, setSecret] = useState(/** @type {{ name: string, secret: string } | undefined} */ (undefined));
  const [changed, setChanged] = useState(0);
  const testing = useAct();
  const all = useLoad("notifications", (signal) => /** @type {Promise<Items<Notification>>} */ (get("/notifications", signal)));
  const test = (/** @type {Notification} */ it) => testing.act(async () => {
    await ask("POST", path("notifications", it.name, "test"));
    say(`A test is sent to ${it.name}`);
    setChanged(changed + 1);
  });
  const remove = (/** @type {Notification} */ it) => confirm({ title: `Remove ${it.name}?`, yes: "Remove it", what: "Nobody is told by it any more, and what is still to be sent is not sent.", act: async () => {
    await ask("DELETE", path("notifications", it.name));
    say(`${it.name} is removed`);
    await all.reload();
  } });
  const done = (/** @type {Notification} */ made) => {
    setEditing(undefined);
    const key = made.rule.to.webhook?.secret;
    if (key?.startsWith("whsec_")) setSecret({ name: made.name, secret: key });
    else say(`${made.name} is set`);
    void all.reload();
  };
  return html`<${Head} title="Notifications" under="Who is told of which runs. What is to be told is kept with the run's end, and sent at least once."><${Button} kind="primary" icon="plus" need="admin" onClick=${() => setEditing("new")}>New notification…<//><//>
    <${WhatIsWrong} wrong=${testing.wrong} />
    <${Show} of=${all}>${(/** @type {Items<Notification>} */ { items }) => items.length === 0 ? html`<${Empty} title="Nobody is told of anything yet" icon="bell"><p>A notification tells a webhook, Slack, an Apprise server or an e-mail address when runs fail.</p><//>` : html`<${Table} label="Notifications" rows=${items} id=${(/** @type {Notification} */ it) => it.name} columns=${[
      ["Name", (/** @type {Notification} */ it) => html`<b>${it.name}</b>${it.rule.paused && html` <span class="pill wait">paused</span>`}`],
      ["Who is told", (/** @type {Notification} */ it) => html`${KINDS.find(([kind]) => kind in it.rule.to)?.[1]} <span class="muted">${where(it.rule.to)}</span>`],
      ["Of", (/** @type {Notification} */ it) => html`${(it.rule.states ?? UNLESS_SAID).map((state) => html`<span class=${`pill ${hueOf(state)}`}>${state}</span> `)}<span class="muted">${[it.rule.flow && `flow ${it.rule.flow}`, it.rule.deployment, it.rule.tag && `tag ${it.rule.tag}`, (it.rule.in_a_row ?? 1) > 1 && `${it.rule.in_a_row} in a row`].filter(Boolean).join(", ")}</span>`],
      ["", (/** @type {Notification} */ it) => html`<${Button} class="small" need="admin" busy=${testing.busy} onClick=${() => test(it)}>Test<//><${Button} class="small" need="admin" onClick=${() => setEditing(it)}>Change…<//><${Button} class="small" need="admin" onClick=${() => remove(it)}>Remove…<//>`, "right"],
    ]} />`}<//>
    <${Deliveries} changed=${changed} />
    ${editing && html`<${Edit} of=${editing === "new" ? undefined : editing} close=${() => setEditing(undefined)} done=${done} />`}
    ${secret && html`<${Dialog} title=${`The secret of ${secret.name}`} close=${() => setSecret(undefined)} actions=${html`<${Button} kind="primary" onClick=${() => setSecret(undefined)}>I have it<//>`}>
      <p>Its messages are signed with this secret. It is shown this once.</p><div class="command plain"><code>${secret.secret}</code><${Copy} text=${secret.secret} label="Copy the secret" /></div><//>`}`;
}
