// @ts-check
// Flows made ready to be run, and what runs them by itself.
import { html, useState } from "../vendor/preact.js";
import { wouldBe } from "./component.js";
import { RunForm } from "./flow.js";
import { Editor, POLICY } from "./forms.js";
import { Button, Card, confirm, doings, Empty, Facts, Head, removes, say, shown, table, Value } from "./kit.js";
import { brief, count, local, size, State, Time, took } from "./look.js";
import { go, useLists, useLoad } from "./page.js";
import { componentOf } from "./run-call.js";
import { ask, deploymentPath, get, path, query } from "./server.js";
/** @import { Component, Deployment, PolicyAsk, Run, Schedule, ScheduleAsk } from "../wire" */
/** @import { FieldOf } from "./forms.js" */

const digest = (/** @type {string} */ it) => html`<a class="digest" href=${path("components", it)}>${it.slice(0, 12)}</a>`;

export function Deployments() {
  const all = useLists("/deployments");
  return html`<${Head} title="Deployments" under="A flow under a name: which code, on which work queue, with which parameters and grants."><a class="button primary" href="/upload">Upload and deploy</a><//>
    ${shown(all, ([items = []]) => !items.length ? html`<${Empty} title="Nothing is deployed yet" icon="deployments"><p><a class="button primary" href="/upload">Upload a component</a></p><//>` : table("Deployments", /** @type {Deployment[]} */ (items), [
      ["Name", (it) => html`<a href=${deploymentPath(it.full_name)}>${it.full_name}</a>${it.paused && html` <${State} state="paused" />`}`], ["Work queue", (it) => it.queue], ["Code", (it) => digest(it.component), "fit"],
      ["Tags", (it) => it.tags.map((tag) => html`<a class="tag" href=${"/runs" + query({ tag })}>${tag}</a> `)], ["Changed", (it) => html`<${Time} at=${it.updated} />`, "fit"],
      ["", (it) => html`<a class="button small" href=${"/runs" + query({ deployment: it.full_name })}>Runs</a> <a class="button small" href=${deploymentPath(it.full_name)}>Run…</a>`, "right"],
    ]))}`;
}

/** @param {PolicyAsk} it */
const policyWords = (it) => [it.retries !== undefined && count(it.retries, "retry", "retries"), it.retry_delay_ms !== undefined && `${took(it.retry_delay_ms)} apart`,
  it.timeout_ms !== undefined && `timeout ${took(it.timeout_ms)}`, it.memory_bytes !== undefined && size(it.memory_bytes)].filter(Boolean).join(", ");

/** @param {Deployment} it @returns {FieldOf[]} */
const deploymentFields = (it) => [
  ["queue", "Work queue", { must: true }], ["description", "Description", { none: "" }], ["tags", "Tags", { as: "list", none: [], hint: "Separated by commas." }],
  ["component", "Code", { options: [["", `As it is: ${it.component.slice(0, 12)}`], ["latest", "The newest of the same name"]] }],
  ["secrets", "Secrets that it grants", { as: "list", none: [], hint: "Separated by commas." }], ["variables", "Variables that it grants", { as: "list", none: [], hint: "Separated by commas." }],
  ["concurrency", "Runs at once", { as: "number", none: 0, hint: "Empty for as many as there are slots." }], ["retention_ms", "Ended runs are kept", { as: "length", none: 0, hint: "Such as 30 d; empty as the server keeps them." }],
  ["parameters", "Default parameters, as JSON", { as: "json", none: {} }], ["paused", "Its schedules are paused", { as: "check" }], ...POLICY,
];

/** @param {{ parts: string[] }} props */
export function DeploymentPage({ parts: [flow = "", name = ""] }) {
  const at = path("deployments", flow, name);
  const [changing, setChanging] = useState(false);
  const all = useLoad(at, async (signal) => {
    const it = await get(at, signal);
    const [component, schedules, runs] = await Promise.all([componentOf(it.component).catch(() => undefined), get("/schedules", signal), get("/flow-runs" + query({ limit: 8, deployment: it.full_name }), signal)]);
    return /** @type {{ it: Deployment, component?: Component, schedules: Schedule[], runs: Run[] }} */ ({ it, component, schedules: schedules.items.filter((one) => one.schedule.deployment === it.full_name), runs: runs.items });
  });
  return shown(all, ({ it, component, schedules, runs }) => {
    const info = component?.flows.find((one) => one.name === flow);
    const remove = () => confirm({
      title: `Forget ${it.full_name}?`, yes: "Forget it", what: `Its ${count(schedules.length, "schedule")} go with it. Its runs stay, and can still be retried.`,
      act: removes(at, `${it.full_name} is forgotten`, () => go("/deployments")),
    });
    const pause = () => confirm({
      title: it.paused ? "Let its schedules go on?" : "Pause its schedules?", yes: it.paused ? "Go on" : "Pause", calm: true,
      what: it.paused ? "They make runs again from now on." : "They make no runs until they go on. Runs can still be made by hand.",
      act: async () => {
        await ask("PATCH", at, { paused: !it.paused });
        say(it.paused ? "Its schedules make runs again" : "Its schedules are paused");
        await all.reload();
      },
    });
    const send = (values, dry = "") => {
      const policy = Object.fromEntries(POLICY.flatMap(([one]) => (values[one] === undefined ? [] : [[one, values[one]]])));
      const rest = Object.fromEntries(Object.entries(values).filter(([one]) => !(one in policy)));
      return ask("PATCH", `${at}?version=${it.version}${dry}`, { ...rest, policy });
    };
    const change = async (values) => {
      await send(values);
      say(`${it.full_name} is changed`);
      setChanging(false);
      await all.reload();
    };
    const start = {
      ...it, ...it.policy, component: "", tags: it.tags.join(", "), secrets: it.secrets.join(", "), variables: it.variables.join(", "), parameters: JSON.stringify(it.parameters, null, 2), retention_ms: it.retention_ms && took(it.retention_ms),
      retry_delay_ms: it.policy.retry_delay_ms !== undefined && took(it.policy.retry_delay_ms) || "", timeout_ms: it.policy.timeout_ms && took(it.policy.timeout_ms), memory_bytes: it.policy.memory_bytes && it.policy.memory_bytes / (1 << 20),
    };
    return html`<${Head} title=${html`${it.full_name}${it.paused && html`<${State} state="paused" />`}`} under=${it.description || html`of the flow <a href=${path("flows", flow)}>${flow}</a>`}>
        <${Button} icon=${it.paused ? "play" : "pause"} need="deployer" onClick=${pause}>${it.paused ? "Go on…" : "Pause…"}<//><${Button} need="deployer" onClick=${() => setChanging(true)}>Change…<//><${Button} need="deployer" onClick=${remove}>Forget…<//><//>
      <div class="aside act"><div><${Card}><${Facts} of=${[
          ["Code", html`${component ? `${component.name} ${component.version} ` : "gone "}${digest(it.component)}`], ["Work queue", it.queue], ["Runs at once", it.concurrency && String(it.concurrency)], ["Ended runs are kept", it.retention_ms && took(it.retention_ms)],
          ["Tags", it.tags.length > 0 && it.tags.map((tag) => html`<span class="tag">${tag}</span> `)], ["Grants", [...it.secrets, ...it.variables].join(", ") || "nothing"], ["Policy", policyWords(it.policy)], ["Changed", html`<${Time} at=${it.updated} />, version ${it.version}`],
        ]} /><//>
        <${Card} title="Default parameters"><${Value} value=${it.parameters} label="default parameters" /><//>
        <${Card} title="Schedules" side=${html`<a href="/schedules">All schedules</a>`}>${schedules.length ? schedules.map((one) => html`<p><b>${one.name}</b> <code>${whenWords(one.schedule.when)}</code> <span class="muted">next ${one.next[0] ? html`<${Time} at=${one.next[0]} />` : "never"}</span>${one.failed && html`<br /><span class="bad-text">No run was made for <${Time} at=${one.failed.slot} />: ${one.failed.error}</span>`}</p>`) : html`<p class="muted">None.</p>`}<//>
        <${Card} title="Its last runs" side=${html`<a href=${"/runs" + query({ deployment: it.full_name })}>All of them</a>`}>${runs.length ? html`<ul class="plan">${runs.map((run) => html`<li><${State} state=${run.state} /><a class="grow" href=${path("runs", run.id)}>${run.name}</a><span class="muted"><${Time} at=${run.created} /></span></li>`)}</ul>` : html`<p class="muted">None yet.</p>`}<//>
      </div><${Card} title="Run it">${info ? html`<${RunForm} flow=${info} deployments=${[it]} given=${it.full_name} />` : html`<p class="muted">Its code is gone.</p>`}<//></div>
      ${changing && html`<${Editor} title=${"Change " + it.full_name} yes="Change it" need="deployer" wide fields=${() => deploymentFields(it)} start=${start} close=${() => setChanging(false)} send=${change} look=${async (values) => wouldBe(await send(values, "&dry_run=true"))} />`}`;
  });
}

/** @param {ScheduleAsk["when"]} when */
const whenWords = (when) => when.cron ? `${when.cron.expression} ${when.cron.time_zone ?? "UTC"}` : when.every ? `every ${took(when.every.interval_ms)}` : `once at ${when.once?.at}`;

export function Schedules() {
  const [editing, setEditing] = useState(/** @type {Schedule | "new" | undefined} */ (undefined));
  const all = useLists("/schedules", "/deployments");
  const remove = (/** @type {Schedule} */ it) => confirm({
    title: `Remove ${it.name}?`, yes: "Remove it", what: `It makes no more runs of ${it.schedule.deployment}. Those that it made stay.`,
    act: removes(path("schedules", it.name), `The schedule ${it.name} is removed`, () => all.reload()),
  });
  const of = editing === "new" ? undefined : editing;
  const was = of?.schedule;
  const names = all.data?.[1]?.map((it) => it.full_name) ?? [];
  /** @type {(it: Record<string, any>) => (FieldOf | false)[]} */
  const fields = ({ kind }) => [
    !of && ["name", "Name", { must: true }], ["deployment", "Deployment", { options: names }], ["kind", "Kind", { options: [["cron", "Cron"], ["every", "At an interval"], ["once", "Once"]] }],
    kind === "cron" && ["expression", "Cron", { must: true, code: true, hint: "Minute, hour, day of the month, month, weekday." }], kind === "cron" && ["time_zone", "Time zone"],
    kind === "every" && ["interval_ms", "Every", { as: "length", must: true, hint: "Such as 15 min or 1 h." }], kind === "once" && ["at", "At", { as: "instant", must: true, placeholder: "2030-01-31 06:00", hint: "In your time zone." }],
    ["overlap", "When an earlier run has not ended", { options: [["allow", "Run all the same"], ["skip", "Make no run"], ["queue", "Wait for it"]] }],
    ["catch_up", "Times that were missed", { options: [["latest", "Run for the last of them"], ["none", "Make no runs"], ["all", "Run for each"]] }],
    ["jitter_ms", "Begin up to so much later", { as: "length", none: 0, placeholder: "at once" }], ["parameters", "Parameters, as JSON", { as: "json", none: {} }], ["paused", "Paused", { as: "check" }],
  ];
  const send = ({ name = of?.name ?? "", kind, expression, time_zone, interval_ms, at, ...rest }, dry = "") => ask("PUT", path("schedules", name) + dry, {
    ...rest, when: kind === "cron" ? { cron: { expression, time_zone } } : kind === "every" ? { every: { ...was?.when.every, interval_ms } } : { once: { at: new Date(at).toISOString() } },
  });
  const set = async (values) => {
    const { name } = await send(values);
    say(`The schedule ${name} is set`);
    setEditing(undefined);
    await all.reload();
  };
  const next = async (values) => html`<h3>The next times</h3><ul>${(await send(values, "?dry_run=true")).next.map((at) => html`<li><time datetime=${at} title=${at}>${local(at)}</time></li>`)}</ul>`;
  const start = {
    deployment: names[0], kind: was ? Object.keys(was.when)[0] : "cron", expression: "0 6 * * 1-5", time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", overlap: "allow", catch_up: "latest", ...was, ...was?.when.cron, ...was?.when.once,
    interval_ms: took(was?.when.every?.interval_ms ?? 900_000), jitter_ms: was?.jitter_ms ? took(was.jitter_ms) : "", parameters: was?.parameters ? JSON.stringify(was.parameters) : "",
  };
  return html`<${Head} title="Schedules" under="Each time makes exactly one run, also when the server dies."><${Button} kind="primary" icon="plus" need="deployer" not=${all.data && !names.length && "Deploy a flow first."} onClick=${() => setEditing("new")}>New schedule…<//><//>
    ${shown(all, ([schedules = []]) => !schedules.length ? html`<${Empty} title="Nothing runs by itself yet" icon="calendar"><p>A schedule makes runs of a deployment.</p><//>` : table("Schedules", /** @type {Schedule[]} */ (schedules), [
      ["Name", (it) => html`<b>${it.name}</b>${it.schedule.paused && html` <${State} state="paused" />`}`], ["Deployment", (it) => html`<a href=${deploymentPath(it.schedule.deployment)}>${it.schedule.deployment}</a>`],
      ["When", (it) => html`<code>${whenWords(it.schedule.when)}</code>`], ["Next", (it) => html`<span title=${it.next.join("\n")}><${Time} at=${it.next[0]} /></span>${it.queued.length > 0 && html` <span class="tag">${it.queued.length} wait</span>`}`, "fit"],
      ["Last", (it) => html`<${Time} at=${it.last} />${it.failed && html`<br /><span class="bad-text" title=${it.failed.error}>no run for <${Time} at=${it.failed.slot} />: ${it.failed.error.slice(0, 120)}</span>`}`, "fit"], ["Parameters", (it) => html`<code>${brief(it.schedule.parameters ?? {}, 40)}</code>`],
      ["", (it) => doings("deployer", ["Change…", () => setEditing(it)], ["Remove…", () => remove(it)]), "right"],
    ]))}
    ${editing && html`<${Editor} title=${of ? "Change " + of.name : "A new schedule"} need="deployer" wide fields=${fields} start=${start} close=${() => setEditing(undefined)} send=${set} look=${next} />`}`;
}
