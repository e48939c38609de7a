// @ts-check
// What makes runs by itself, and when.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { Check, Text } from "./field.js";
import { brief } from "./json.js";
import { useAct, useLoad } from "./load.js";
import { Empty, Head, Show, WhatIsWrong, say } from "./notes.js";
import { Table } from "./table.js";
import { Time, length, took, withWeekday } from "./time.js";
/** @import { Deployment, Page as Items, Schedule, ScheduleAsk } from "../wire" */

/** @param {ScheduleAsk["when"]} when */
export const whenWords = (when) => when.cron ? `${when.cron.expression} ${when.cron.time_zone ?? "UTC"}` : when.every ? `every ${took(when.every.interval_ms)}` : `once at ${when.once?.at}`;

/** @param {{ of?: Schedule, deployments: Deployment[], close: () => void, done: () => void }} props */
function Edit({ of, deployments, close, done }) {
  const was = of?.schedule;
  const [it, set] = useState({
    name: of?.name ?? "", deployment: was?.deployment ?? deployments[0]?.full_name ?? "", kind: was?.when.every ? "every" : was?.when.once ? "once" : "cron",
    cron: was?.when.cron?.expression ?? "0 6 * * 1-5", zone: was?.when.cron?.time_zone ?? (Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"),
    every: was?.when.every ? took(was.when.every.interval_ms) : "15 min", once: was?.when.once?.at ?? "", overlap: was?.overlap ?? "allow", catch_up: was?.catch_up ?? "latest",
    jitter: was?.jitter_ms ? took(was.jitter_ms) : "", parameters: JSON.stringify(was?.parameters ?? {}), paused: was?.paused ?? false,
  });
  const [would, setWould] = useState(/** @type {Schedule | undefined} */ (undefined));
  const { busy, wrong, act } = useAct();
  const every = length(it.every);
  const jitter = length(it.jitter) ?? 0;
  let parameters;
  try {
    parameters = JSON.parse(it.parameters || "{}");
  } catch {
    // It is said below the field.
  }
  const instant = Date.parse(it.once);
  const when = () => it.kind === "cron" ? { cron: { expression: it.cron, time_zone: it.zone } } : it.kind === "every" ? { every: { interval_ms: every, ...(was?.when.every?.anchor ? { anchor: was.when.every.anchor } : {}) } } : { once: { at: new Date(instant).toISOString() } };
  const send = (/** @type {boolean} */ dry) => /** @type {Promise<Schedule>} */ (ask("PUT", path("schedules", it.name.trim()) + (dry ? "?dry_run=true" : ""), {
    deployment: it.deployment, when: when(), overlap: it.overlap, catch_up: it.catch_up, jitter_ms: jitter, parameters, paused: it.paused,
  }));
  const apply = () => act(async () => {
    await send(false);
    say(`The schedule ${it.name} is set`);
    done();
  });
  const text = (/** @type {keyof typeof it} */ name) => ({ value: String(it[name]), set: (/** @type {string} */ value) => set({ ...it, [name]: value }) });
  const not = !it.name.trim() ? "Say a name first." : !it.deployment ? "Choose a deployment." : it.kind === "every" && (!every || Number.isNaN(every)) ? "The interval is no length of time."
    : it.kind === "once" && Number.isNaN(instant) ? "Say when." : Number.isNaN(jitter) ? "The jitter is no length of time." : parameters === undefined ? "The parameters are no JSON." : false;
  return html`<${Dialog} title=${of ? `Change ${of.name}` : "A new schedule"} close=${close} wide submit=${apply} actions=${html`
    <${Button} not=${not} onClick=${() => act(async () => setWould(await send(true)))}>Show the next times<//><${Button} type="submit" kind="primary" need="deployer" busy=${busy} not=${not}>${of ? "Change it" : "Make it"}<//>`}>
    <${WhatIsWrong} wrong=${wrong} />
    <div class="two">${!of && html`<${Text} label="Name" ...${text("name")} />`}<${Text} label="Deployment" ...${text("deployment")} options=${deployments.map((one) => one.full_name)} />
      <${Text} label="Kind" ...${text("kind")} options=${[["cron", "Cron"], ["every", "At an interval"], ["once", "Once"]]} />
      ${it.kind === "cron" && html`<${Text} label="Cron" ...${text("cron")} code hint="Minute, hour, day of the month, month, weekday." /><${Text} label="Time zone" ...${text("zone")} />`}
      ${it.kind === "every" && html`<${Text} label="Every" ...${text("every")} hint="Such as 15 min or 1 h." />`}
      ${it.kind === "once" && html`<${Text} label="At" ...${text("once")} type=${was?.when.once ? "text" : "datetime-local"} />`}
      <${Text} label="When an earlier run has not ended" ...${text("overlap")} options=${[["allow", "Run all the same"], ["skip", "Make no run"], ["queue", "Wait for it"]]} />
      <${Text} label="Times that were missed" ...${text("catch_up")} options=${[["latest", "Run for the last of them"], ["none", "Make no runs"], ["all", "Run for each"]]} />
      <${Text} label="Begin up to so much later" ...${text("jitter")} placeholder="at once" /></div>
    <${Text} label="Parameters, as JSON" ...${text("parameters")} rows=${3} code wrong=${parameters === undefined ? "This is not JSON." : undefined} />
    <${Check} label="Paused" checked=${it.paused} set=${(/** @type {boolean} */ paused) => set({ ...it, paused })} />
    ${would && html`<div role="status"><h3>The next times</h3><ul>${would.next.map((at) => html`<li><time datetime=${at} title=${at}>${withWeekday(at)}</time></li>`)}</ul></div>`}
  <//>`;
}

export function Page() {
  const [editing, setEditing] = useState(/** @type {Schedule | "new" | undefined} */ (undefined));
  const all = useLoad("schedules", async (signal) => {
    const [schedules, deployments] = await Promise.all([/** @type {Promise<Items<Schedule>>} */ (get("/schedules", signal)), /** @type {Promise<Items<Deployment>>} */ (get("/deployments", signal))]);
    return { schedules: schedules.items, deployments: deployments.items };
  });
  const remove = (/** @type {Schedule} */ it) => confirm({ title: `Remove ${it.name}?`, yes: "Remove it", what: `It makes no more runs of ${it.schedule.deployment}. Those that it made stay.`, act: async () => {
    await ask("DELETE", path("schedules", it.name));
    say(`The schedule ${it.name} is removed`);
    await all.reload();
  } });
  return html`<${Head} title="Schedules" under="Each time makes exactly one run, also when the server dies."><${Button} kind="primary" icon="plus" need="deployer" not=${all.data?.deployments.length === 0 && "Deploy a flow first."} onClick=${() => setEditing("new")}>New schedule…<//><//>
    <${Show} of=${all}>${(/** @type {{ schedules: Schedule[], deployments: Deployment[] }} */ { schedules, deployments }) => html`
      ${schedules.length === 0 ? html`<${Empty} title="Nothing runs by itself yet" icon="calendar"><p>A schedule makes runs of a deployment.</p><//>` : html`<${Table} label="Schedules" rows=${schedules} id=${(/** @type {Schedule} */ it) => it.name} columns=${[
        ["Name", (/** @type {Schedule} */ it) => html`<b>${it.name}</b>${it.schedule.paused && html` <span class="pill wait">paused</span>`}`],
        ["Deployment", (/** @type {Schedule} */ it) => html`<a href=${"/deployments" + path(...it.schedule.deployment.split("/"))}>${it.schedule.deployment}</a>`],
        ["When", (/** @type {Schedule} */ it) => html`<code>${whenWords(it.schedule.when)}</code>`],
        ["Next", (/** @type {Schedule} */ it) => html`<span title=${it.next.join("\n")}>${it.next[0] ? html`<${Time} at=${it.next[0]} />` : "never"}</span>${it.queued.length > 0 && html` <span class="tag">${it.queued.length} wait</span>`}`, "fit"],
        ["Last", (/** @type {Schedule} */ it) => html`<${Time} at=${it.last} />`, "fit"],
        ["Parameters", (/** @type {Schedule} */ it) => html`<code>${brief(it.schedule.parameters ?? {}, 40)}</code>`],
        ["", (/** @type {Schedule} */ it) => html`<${Button} class="small" need="deployer" onClick=${() => setEditing(it)}>Change…<//><${Button} class="small" need="deployer" onClick=${() => remove(it)}>Remove…<//>`, "right"],
      ]} />`}
      ${editing && html`<${Edit} of=${editing === "new" ? undefined : editing} deployments=${deployments} close=${() => setEditing(undefined)} done=${() => { setEditing(undefined); void all.reload(); }} />`}`}<//>`;
}
