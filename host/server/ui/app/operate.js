// @ts-check
// Work queues, nodes, and notifications.
import { html, useEffect, useState } from "../vendor/preact.js";
import { Check, Editor } from "./forms.js";
import { Button, Card, Command, confirm, Dialog, doings, Empty, Facts, Head, removes, say, shown, table, Value, WhatIsWrong } from "./kit.js";
import { State, Time, took } from "./look.js";
import { useAct, useLists, useLoad } from "./page.js";
import { Meter } from "./run-call.js";
import { ask, get, path, query } from "./server.js";
/** @import { Delivery, Limited, Node, Notification, Rule } from "../wire" */
/** @import { FieldOf } from "./forms.js" */

/** How much is worked on at once: of a work queue, and of tasks with a tag. */
export function Queues() {
  const [editing, setEditing] = useState(/** @type {{ kind: string, it?: Limited } | undefined} */ (undefined));
  const all = useLists("/queues", "/task-tags", "/deployments");
  const lift = (/** @type {string} */ kind, /** @type {Limited} */ it) => confirm({
    title: `Lift the limit of ${it.name}?`, yes: "Lift it", calm: true, what: "As much of it is worked on as there are slots.",
    act: removes(path(kind, it.name), `The limit of ${it.name} is lifted`, () => all.reload()),
  });
  const set = async ({ name = editing?.it?.name ?? "", concurrency }) => {
    await ask("PUT", path(editing?.kind ?? "", name), { concurrency });
    say(`${name} is limited to ${concurrency}`);
    setEditing(undefined);
    await all.reload();
  };
  const limits = (/** @type {string} */ kind, /** @type {Limited[]} */ rows) => table(kind === "queues" ? "Work queues" : "Tags", rows, [
    ["Name", (it) => html`<b>${it.name}</b>`], ["At once", (it) => it.concurrency || html`<span class="muted">as many as there are slots</span>`],
    ["", (it) => doings("admin", [it.concurrency ? "Change…" : "Limit…", () => setEditing({ kind, it })], .../** @type {[string, () => void][]} */ (it.concurrency ? [["Lift…", () => lift(kind, it)]] : [])), "right"],
  ]);
  return html`<${Head} title="Work queues" under="Where workers look for runs. What is beyond a limit waits, and what is not limited goes on." />
    ${shown(all, ([queues = [], tags = [], deployments = []]) => {
      const names = [...new Set(["default", ...deployments.map((it) => it.queue)])].filter((name) => queues.every((it) => it.name !== name));
      return html`<${Card} title="Work queues" side=${html`<${Button} icon="plus" need="admin" onClick=${() => setEditing({ kind: "queues" })}>Limit another…<//>`}>${limits("queues", [...queues, ...names.map((name) => ({ name, concurrency: 0 }))])}<//>
        <${Card} title="Tags of tasks" side=${html`<${Button} icon="plus" need="admin" onClick=${() => setEditing({ kind: "task-tags" })}>Limit a tag…<//>`}>
          ${tags.length ? limits("task-tags", tags) : html`<p class="muted">No tag has a limit. A limit bounds how many attempts of tasks with a tag are made at once, over all runs.</p>`}<//>`;
    })}
    ${editing && html`<${Editor} title=${editing.it ? "Limit " + editing.it.name : editing.kind === "queues" ? "Limit a work queue" : "Limit a tag"} yes="Limit it" need="admin" close=${() => setEditing(undefined)} send=${set}
      start=${{ concurrency: editing.it?.concurrency || "" }} fields=${() => [!editing.it && ["name", "Name", { must: true }], ["concurrency", "At once, at most", { as: "number", must: true, type: "number" }]]} />`}`;
}

/** The processes that work on runs. */
export function Nodes() {
  const all = useLoad("nodes", (signal) => get("/nodes", signal), 3000);
  const drain = (/** @type {Node} */ it) => confirm({
    title: it.draining ? `Let ${it.name} go on?` : `Drain ${it.name}?`, yes: it.draining ? "Go on" : "Drain it", calm: it.draining,
    what: it.draining ? "Runs begin there again." : "No run begins or goes on there from now on. What is worked on goes on to its end. It lasts until it is changed, or the process ends.",
    act: async () => {
      await ask("PATCH", path("nodes", it.name), { draining: !it.draining });
      say(it.draining ? `${it.name} goes on` : `${it.name} is drained`);
      await all.reload();
    },
  });
  const words = (/** @type {number} */ n) => n.toLocaleString("en");
  return html`<${Head} title="Nodes" under="Processes that work on runs, and how much they work on at this moment." />
    ${shown(all, ({ items }) => !items.length ? html`<${Empty} title="Nobody works on runs" icon="node" />` : items.map((/** @type {Node} */ it) => html`<${Card} key=${it.name} title=${html`${it.name} <${State} state=${it.draining ? "draining" : "working"} />`}
      side=${html`<${Button} need="admin" onClick=${() => drain(it)}>${it.draining ? "Go on…" : "Drain…"}<//>`}>
      <div class="meters"><${Meter} title="Flow runs" used=${it.flow_runs.used} limit=${it.flow_runs.slots} words=${words} /><${Meter} title="Task attempts" used=${it.task_attempts.used} limit=${it.task_attempts.slots} words=${words} /></div>
      <${Facts} of=${[["Version", it.version], ["Works since", html`<${Time} at=${it.since} />`], ["Work queues", it.queues.join(", ") || "all"]]} /><//>`))}`;
}

const TOLD = ["Failed", "TimedOut", "Crashed", "Parked", "Completed", "Cancelled", "AwaitingRetry"];
/** Of what is told unless a rule says so. */
const BAD = TOLD.slice(0, 4);
const KINDS = [["webhook", "A webhook"], ["slack", "Slack"], ["apprise", "An Apprise server"], ["email", "E-mail"]];

/** @param {Rule["to"]} to */
const where = (to) => to.email ? to.email.addresses.join(", ") : (to.webhook ?? to.slack ?? to.apprise)?.url;

/** @param {{ of?: Notification, close: () => void, done: (made: Notification) => unknown }} props */
function EditNotification({ of, close, done }) {
  const rule = of?.rule;
  const [states, setStates] = useState(rule?.states ?? BAD);
  /** @type {(it: Record<string, any>) => (FieldOf | false)[]} */
  const fields = ({ kind }) => [
    !of && ["name", "Name", { must: true }], ["kind", "Who is told", { options: KINDS }],
    kind === "email" ? ["addresses", "Addresses", { as: "list", must: true, hint: "Separated by commas." }] : ["url", "Address", { must: true, placeholder: "https://example.org/hook", hint: of && "The whole address is never shown again: type it anew." }],
    ["flow", "Only of the flow"], ["deployment", "Only of the deployment", { placeholder: "flow/name" }], ["tag", "Only with the tag"],
    ["in_a_row", "Only when so many in a row", { as: "number", none: 1 }], ["quiet_ms", "Then quiet for", { as: "length", none: 0, placeholder: "not at all", hint: "Such as 1 h." }], ["paused", "Paused", { as: "check" }],
  ];
  const send = async ({ name = of?.name ?? "", kind, url, addresses, ...rest }) => done(await ask("PUT", path("notifications", name), { ...rest, states, to: { [kind]: addresses ? { addresses } : { url } } }));
  const start = { kind: rule ? Object.keys(rule.to)[0] : "webhook", ...rule, quiet_ms: rule?.quiet_ms ? took(rule.quiet_ms) : "" };
  return html`<${Editor} title=${of ? "Change " + of.name : "A new notification"} need="admin" wide close=${close} fields=${fields} start=${start} send=${send}
    about=${html`<fieldset><legend>When a run is</legend><div class="row">${TOLD.map((state) => html`<${Check} label=${state} checked=${states.includes(state)} set=${(on) => setStates(on ? [...states, state] : states.filter((one) => one !== state))} />`)}</div></fieldset>`} />`;
}

/** What became of messages. @param {{ changed: number }} props */
function Deliveries({ changed }) {
  const [it, setIt] = useState(/** @type {Delivery | undefined} */ (undefined));
  const [before, setBefore] = useState("");
  const all = useLoad("deliveries" + before, (signal) => get("/deliveries" + query({ limit: 50, before }), signal), 3000);
  useEffect(() => void (changed && all.reload()), [changed]);
  return html`<${Card} title="Messages" side=${before && html`<${Button} onClick=${() => setBefore("")}>The newest<//>`}>${shown(all, ({ items, next }) => !items.length ? html`<p class="muted">None was sent yet.</p>` : html`${table("Messages", /** @type {Delivery[]} */ (items), [
      ["State", (one) => html`<${State} state=${one.state} />`, "fit"], ["Notification", (one) => one.rule], ["Run", (one) => (one.run ? html`<a href=${path("runs", one.run)}>open it</a>` : html`<span class="muted">a test</span>`), "fit"],
      ["Answer", (one) => html`<span class="muted">${one.answer}</span>`], ["Tried", (one) => html`${one.attempts}×${one.state === "pending" && one.due && html`, next <${Time} at=${one.due} />`}`, "fit"],
      ["Made", (one) => html`<${Time} at=${one.created} />`, "fit"], ["", (one) => doings("viewer", ["Show", () => setIt(one)]), "right"],
    ])}${next && html`<${Button} onClick=${() => setBefore(next)}>Older<//>`}`)}
    ${it && html`<${Dialog} title="A message" close=${() => setIt(undefined)} wide><${Facts} of=${[["Id", html`<code>${it.id}</code>`], ["State", it.state], ["Answer", it.answer]]} /><${Value} value=${it.body} label="message" /><//>`}<//>`;
}

/** Who is told of which runs. */
export function Notifications() {
  const [editing, setEditing] = useState(/** @type {Notification | "new" | undefined} */ (undefined));
  const [made, setMade] = useState(/** @type {Notification | undefined} */ (undefined));
  const [changed, setChanged] = useState(0);
  const testing = useAct();
  const all = useLists("/notifications");
  const test = (/** @type {Notification} */ it) => testing.act(async () => {
    await ask("POST", path("notifications", it.name, "test"));
    say(`A test is sent to ${it.name}`);
    setChanged(changed + 1);
  });
  const remove = (/** @type {Notification} */ it) => confirm({
    title: `Remove ${it.name}?`, yes: "Remove it", what: "Nobody is told by it any more, and what is still to be sent is not sent.",
    act: removes(path("notifications", it.name), `${it.name} is removed`, () => all.reload()),
  });
  const done = async (/** @type {Notification} */ it) => {
    setEditing(undefined);
    if (it.rule.to.webhook?.secret?.startsWith("whsec_")) setMade(it);
    else say(`${it.name} is set`);
    await all.reload();
  };
  const told = () => setMade(undefined);
  return html`<${Head} title="Notifications" under="Who is told of which runs. What is to be told is kept with the run's end, and sent at least once."><${Button} kind="primary" icon="plus" need="admin" onClick=${() => setEditing("new")}>New notification…<//><//>
    <${WhatIsWrong} wrong=${testing.wrong} />
    ${shown(all, ([items = []]) => !items.length ? html`<${Empty} title="Nobody is told of anything yet" icon="bell"><p>A notification tells a webhook, Slack, an Apprise server or an e-mail address when runs fail.</p><//>` : table("Notifications", /** @type {Notification[]} */ (items), [
      ["Name", (it) => html`<b>${it.name}</b>${it.rule.paused && html` <${State} state="paused" />`}`],
      ["Who is told", (it) => html`${KINDS.find(([kind = ""]) => kind in it.rule.to)?.[1]} <span class="muted">${where(it.rule.to)}</span>`],
      ["Of", (it) => html`<div class="row">${(it.rule.states ?? BAD).map((state) => html`<${State} state=${state} />`)}</div><span class="muted">${[it.rule.flow && `flow ${it.rule.flow}`, it.rule.deployment, it.rule.tag && `tag ${it.rule.tag}`, (it.rule.in_a_row ?? 1) > 1 && `${it.rule.in_a_row} in a row`].filter(Boolean).join(", ")}</span>`],
      ["", (it) => doings("admin", ["Test", () => test(it)], ["Change…", () => setEditing(it)], ["Remove…", () => remove(it)]), "right"],
    ]))}<${Deliveries} changed=${changed} />
    ${editing && html`<${EditNotification} of=${editing === "new" ? undefined : editing} close=${() => setEditing(undefined)} done=${done} />`}
    ${made && html`<${Dialog} title=${"The secret of " + made.name} close=${told} actions=${html`<${Button} kind="primary" onClick=${told}>I have it<//>`}><p>Its messages are signed with this secret. It is shown this once.</p><${Command} plain text=${made.rule.to.webhook?.secret} /><//>`}`;
}
