// @ts-check
// One deployment: run it, see and change what it says.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Changes } from "./asks.js";
import { Button } from "./button.js";
import { Dialog, confirm } from "./dialog.js";
import { componentOf } from "./evidence.js";
import { Check, Text } from "./field.js";
import { Value } from "./json.js";
import { useAct, useLoad } from "./load.js";
import { Card, Empty, Facts, Head, Show, WhatIsWrong, say } from "./notes.js";
import { PolicyFields, policyAsk, written } from "./policy-fields.js";
import { go } from "./route.js";
import { RunForm } from "./run-form.js";
import { whenWords } from "./schedules.js";
import { State } from "./state.js";
import { Time, count, length, size, took } from "./time.js";
/** @import { Component, Deployed, Deployment, Page as Items, PolicyAsk, Run, Schedule } from "../wire" */

const list = (/** @type {string} */ text) => text.split(",").map((it) => it.trim()).filter(Boolean);

/** @param {{ of: Deployment, close: () => void, done: () => void }} props */
function Change({ of, close, done }) {
  const [it, set] = useState({
    queue: of.queue, description: of.description, tags: of.tags.join(", "), paused: of.paused, component: "", secrets: of.secrets.join(", "), variables: of.variables.join(", "),
    concurrency: of.concurrency ? String(of.concurrency) : "", retention: of.retention_ms ? took(of.retention_ms) : "", parameters: JSON.stringify(of.parameters, null, 2),
  });
  const [policy, setPolicy] = useState(written(of.policy));
  const [would, setWould] = useState(/** @type {Deployed | undefined} */ (undefined));
  const { busy, wrong, act } = useAct();
  let parameters;
  try {
    parameters = JSON.parse(it.parameters || "{}");
  } catch {
    // It is said below the field.
  }
  const retention = length(it.retention);
  const overrides = policyAsk(policy);
  const send = (/** @type {boolean} */ dry) => /** @type {Promise<Deployed>} */ (ask("PATCH", path("deployments", of.flow, of.name) + `?version=${of.version}${dry ? "&dry_run=true" : ""}`, {
    queue: it.queue, description: it.description, tags: list(it.tags), paused: it.paused, secrets: list(it.secrets), variables: list(it.variables), parameters,
    concurrency: Number(it.concurrency || 0), retention_ms: retention ?? 0, ...(it.component ? { component: it.component } : {}), ...(overrides.ask ? { policy: overrides.ask } : {}),
  }));
  const apply = () => act(async () => {
    await send(false);
    say(`${of.full_name} is changed`);
    done();
  });
  const field = (/** @type {"queue" | "description" | "tags" | "secrets" | "variables" | "concurrency" | "retention"} */ name, /** @type {string} */ label, /** @type {string} */ hint = "", /** @type {string | undefined} */ bad = undefined) =>
    html`<${Text} label=${label} hint=${hint} wrong=${bad} value=${it[name]} set=${(/** @type {string} */ text) => set({ ...it, [name]: text })} />`;
  const not = parameters === undefined ? "The parameters are no JSON." : Number.isNaN(retention) ? "The retention is no length of time." : overrides.wrong ?? false;
  return html`<${Dialog} title=${`Change ${of.full_name}`} close=${close} wide submit=${apply} actions=${html`
    <${Button} onClick=${() => act(async () => setWould(await send(true)))} not=${not}>Show what would change<//><${Button} type="submit" kind="primary" need="deployer" busy=${busy} not=${not}>Change it<//>`}>
    <${WhatIsWrong} wrong=${wrong} />
    ${would && html`<div role="status"><h3>What would change</h3><${Changes} of=${would.changes} />${would.not_granted.length > 0 && html`<p class="note">Not granted: ${would.not_granted.join(", ")}.</p>`}</div>`}
    <div class="two">${field("queue", "Work queue")}${field("description", "Description")}${field("tags", "Tags", "Separated by commas.")}
      <${Text} label="Code" value=${it.component} set=${(/** @type {string} */ text) => set({ ...it, component: text })} options=${[["", `As it is: ${of.component.slice(0, 12)}`], ["latest", "The newest of the same name"]]} />
      ${field("secrets", "Secrets that it grants", "Separated by commas.")}${field("variables", "Variables that it grants", "Separated by commas.")}
      ${field("concurrency", "Runs at once", "Empty for as many as there are slots.")}${field("retention", "Ended runs are kept", "Such as 30 d; empty as the server keeps them.", Number.isNaN(retention) ? "Say it as 30 d or 12 h." : undefined)}</div>
    <${Check} label="Its schedules are paused" checked=${it.paused} set=${(/** @type {boolean} */ paused) => set({ ...it, paused })} />
    <${Text} label="Default parameters, as JSON" rows=${5} code value=${it.parameters} set=${(/** @type {string} */ text) => set({ ...it, parameters: text })} wrong=${parameters === undefined ? "This is not JSON." : undefined} />
    <details><summary>Policy</summary><${PolicyFields} value=${policy} set=${setPolicy} /></details>
  <//>`;
}

/** @param {PolicyAsk} it */
const policyWords = (it) => [it.retries !== undefined && count(it.retries, "retry", "retries"), it.retry_delay_ms !== undefined && `${took(it.retry_delay_ms)} apart`,
  it.timeout_ms !== undefined && `timeout ${took(it.timeout_ms)}`, it.memory_bytes !== undefined && size(it.memory_bytes)].filter(Boolean).join(", ");

/** @typedef {{ it: Deployment, schedules: Schedule[], component?: Component, runs: Run[] }} All */

/** @param {{ parts: string[] }} props */
export function Page({ parts: [flow = "", name = ""] }) {
  const [changing, setChanging] = useState(false);
  const all = useLoad(flow + "/" + name, async (signal) => {
    const it = /** @type {Deployment} */ (await get(path("deployments", flow, name), signal));
    const [schedules, component, runs] = await Promise.all([
      /** @type {Promise<Items<Schedule>>} */ (get("/schedules", signal)), componentOf(it.component).catch(() => undefined),
      /** @type {Promise<Items<Run>>} */ (get("/flow-runs?limit=8&deployment=" + encodeURIComponent(it.full_name), signal)),
    ]);
    return { it, component, schedules: schedules.items.filter((one) => one.schedule.deployment === it.full_name), runs: runs.items };
  });
  return html`<${Show} of=${all}>${(/** @type {All} */ { it, schedules, component, runs }) => {
    const info = component?.flows.find((one) => one.name === flow);
    const remove = () => confirm({
      title: `Forget ${it.full_name}?`, yes: "Forget it",
      what: `Its ${count(schedules.length, "schedule")} are removed with it. Its runs stay, and can still be retried.`,
      act: async () => {
        await ask("DELETE", path("deployments", flow, name));
        say(`${it.full_name} is forgotten`);
        go("/deployments");
      },
    });
    const pause = async () => {
      await ask("PATCH", path("deployments", flow, name), { paused: !it.paused });
      say(it.paused ? "Its schedules make runs again" : "Its schedules are paused");
      await all.reload();
    };
    return html`<${Head} title=${html`${it.full_name}${it.paused && html`<span class="pill wait">schedules paused</span>`}`} under=${it.description || html`of the flow <a href=${path("flows", flow)}>${flow}</a>`}>
        <${Button} icon=${it.paused ? "play" : "pause"} need="deployer" onClick=${() => confirm({ title: it.paused ? "Let its schedules go on?" : "Pause its schedules?", yes: it.paused ? "Go on" : "Pause", danger: false, what: it.paused ? "They make runs again from now on." : "They make no runs until they go on. Runs can still be made by hand.", act: pause })}>${it.paused ? "Go on…" : "Pause…"}<//>
        <${Button} need="deployer" onClick=${() => setChanging(true)}>Change…<//><${Button} need="deployer" onClick=${remove}>Forget…<//><//>
      <div class="aside"><div>
        <${Card}><${Facts} of=${[
          ["Code", html`<a href=${path("components", it.component)}>${component ? `${component.name} ${component.version}` : "gone"}</a> <code>${it.component.slice(0, 12)}</code>`],
          ["Work queue", it.queue], ["Runs at once", it.concurrency ? String(it.concurrency) : null], ["Ended runs are kept", it.retention_ms ? took(it.retention_ms) : null],
          ["Tags", it.tags.length ? it.tags.map((tag) => html`<span class="tag">${tag}</span> `) : null], ["Grants", [...it.secrets, ...it.variables].join(", ") || "nothing"],
          ["Policy", policyWords(it.policy) || null], ["Changed", html`<${Time} at=${it.updated} />, version ${it.version}`],
        ]} /><//>
        <${Card} title="Default parameters"><${Value} value=${it.parameters} label="default parameters" /><//>
        <${Card} title="Schedules" side=${html`<a href="/schedules">All schedules</a>`}>${schedules.length === 0 ? html`<p class="muted">None.</p>` : schedules.map((one) => html`<p><b>${one.name}</b> <code>${whenWords(one.schedule.when)}</code> <span class="muted">next ${one.next[0] ? html`<${Time} at=${one.next[0]} />` : "never"}</span></p>`)}<//>
        <${Card} title="Its last runs" side=${html`<a href=${"/runs?deployment=" + encodeURIComponent(it.full_name)}>All of them</a>`}>${runs.length === 0 ? html`<${Empty} title="It has no runs yet" icon="runs" />` : html`<ul class="plan">${runs.map((run) => html`<li><${State} state=${run.state} /><a class="grow" href=${path("runs", run.id)}>${run.name}</a><span class="muted"><${Time} at=${run.created} /></span></li>`)}</ul>`}<//>
      </div><${Card} title="Run it">${info ? html`<${RunForm} flow=${info} deployments=${[it]} deployment=${it.full_name} />` : html`<p class="muted">Its code is gone.</p>`}<//></div>
      ${changing && html`<${Change} of=${it} close=${() => setChanging(false)} done=${() => { setChanging(false); void all.reload(); }} />`}`;
  }}<//>`;
}
