// @ts-check
// What can be run: all flows; one flow with its policy, and the form that starts it.
import { html, useMemo, useState } from "../vendor/preact.js";
import { Asks } from "./component.js";
import { changes, Fields, Parameters, POLICY, read, startOf, Text } from "./forms.js";
import { Button, Card, Empty, Head, say, shown, table, Tabs, Value, WhatIsWrong } from "./kit.js";
import { count, size, Time, took } from "./look.js";
import { asked, go, search, useAct, useLists } from "./page.js";
import { ask, path, query } from "./server.js";
/** @import { Component, Delay, Deployment, Flow, FlowInfo, Json, Policy } from "../wire" */
/** @import { FieldOf, Written } from "./forms.js" */

/** Longest wait that the server allows. */
const FARTHEST = 30 * 86_400_000;
const [DRAWN, LISTED] = [200, 12];

/** @typedef {{ attempt: number, delay: number, earliest: number, latest: number }} When */

/** The wait after failure `n`, from 1. @param {Delay} delay @param {number} n */
function after(delay, n) {
  if ("fixed" in delay) return delay.fixed;
  if ("listed" in delay) return delay.listed[Math.min(n, delay.listed.length) - 1] ?? 0;
  return Math.min(FARTHEST, delay.exponential.initial * (delay.exponential.factor_permille / 1000) ** (n - 1));
}

/** When attempts begin, as if they took no time. @param {Policy} policy @returns {When[]} */
function attempts(policy) {
  const all = [{ attempt: 1, delay: 0, earliest: 0, latest: 0 }];
  for (let n = 1; n <= Math.min(policy.retries, DRAWN); n++) {
    const before = /** @type {When} */ (all.at(-1));
    const delay = Math.min(after(policy.delay, n), policy.delay_max ?? FARTHEST, FARTHEST);
    const earliest = before.earliest + delay;
    if (policy.give_up_after && earliest > policy.give_up_after) break;
    all.push({ attempt: n + 1, delay, earliest, latest: before.latest + delay * (1 + policy.jitter_permille / 1000) });
  }
  return all;
}

/** @param {Delay} delay */
function words(delay) {
  if ("fixed" in delay) return delay.fixed === 0 ? "at once" : `${took(delay.fixed)} apart`;
  if ("listed" in delay) return `after ${delay.listed.map(took).join(", ")}`;
  return `after ${took(delay.exponential.initial)}, then ${delay.exponential.factor_permille / 1000} times the wait before`;
}

/** @param {any} action */
function ruleWords(action) {
  if (action === "fail") return "it has failed, and is not tried again";
  if (action === "park") return "it is parked, and a person decides";
  return action?.retry ? `${count(action.retry.retries, "retry", "retries")} of its own, ${words(action.retry.delay)}` : "tried again as the policy says";
}

/** @param {When} it */
const begins = (it) => it.attempt === 1 ? "at once" : it.latest > it.earliest ? `after ${took(it.earliest)} to ${took(it.latest)}` : `after ${took(it.earliest)}`;

/** A retry policy, drawn as the times of its attempts. @param {{ policy: Policy }} props */
export function PolicyView({ policy }) {
  const all = attempts(policy);
  const end = Math.max(1, ...all.map((it) => it.latest));
  const x = (/** @type {number} */ at) => 1 + (at / end) * 98;
  const more = [
    policy.jitter_permille > 0 && `each wait is up to ${policy.jitter_permille / 10} % longer, by chance`, policy.delay_max && `no wait is longer than ${took(policy.delay_max)}`,
    policy.give_up_after && `nothing begins later than ${took(policy.give_up_after)} after the first attempt began`, policy.when_exhausted === "park" ? "then it is parked, and a person decides" : "then it has failed",
  ].filter(Boolean).join("; ");
  const rules = policy.rules.length > 0 && html`<h3>Rules: the first that matches decides</h3><ul>${policy.rules.map((it) => html`<li><code>${it.codes.join(", ")}</code>: ${ruleWords(it.action)}</li>`)}</ul>`;
  if (policy.retries === 0) return html`<p class="muted">One attempt. A failure is final, until a person retries it.</p>${rules}`;
  return html`<p><strong>${count(policy.retries + 1, "attempt")} at most</strong>, ${words(policy.delay)}<span class="muted">; ${more}</span>.</p>
    <svg class="schedule" viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label=${all.slice(0, LISTED).map((it) => `attempt ${it.attempt} ${begins(it)}`).join(", ")}>
      <rect class="line" x="0" y="6.8" width="100" height=".4" />${all.map((it) => html`<g><title>Attempt ${it.attempt}: ${begins(it)}</title>
        ${it.latest > it.earliest && html`<rect class="span" x=${x(it.earliest)} y="4.5" width=${Math.max(0.2, x(it.latest) - x(it.earliest))} height="5" />`}<rect class="dot" x=${x(it.earliest) - 0.25} y="2.5" width=".5" height="9" /></g>`)}</svg>
    ${table("Attempts", all.slice(0, LISTED), [["Attempt", (it) => it.attempt, "fit"], ["Wait before it", (it) => (it.attempt === 1 ? "–" : took(it.delay))], ["Begins", begins]])}
    <p class="muted small">${all.length > LISTED && `${all.length - LISTED} more are drawn, the last ${begins(/** @type {When} */ (all.at(-1)))}. `}Counted from the end of the first attempt, as if attempts took no time.</p>${rules}`;
}

export function Flows() {
  const all = useLists("/flows", "/components");
  return html`<${Head} title="Flows" under="Each of the newest component that has it."><a class="button primary" href="/upload">Upload a component</a><//>
    ${shown(all, ([flows = [], components = []]) => flows.length === 0
      ? html`<${Empty} title="There is no flow yet" icon="flows"><p>Upload a component, or run <code>retake new hello && retake dev hello</code>.</p><p><a class="button primary" href="/upload">Upload a component</a></p><//>`
      : html`<div class="cards">${flows.map((/** @type {Flow} */ it) => html`<${Card} key=${it.name}><h2><a href=${path("flows", it.name)}>${it.name}</a></h2><p class="muted">${it.description || "No description."}</p>
          <div class="row"><span class="tag">${it.component_name} ${it.component_version}</span><span class="tag">${it.retry.retries ? count(it.retry.retries, "retry", "retries") : "no retries"}</span>${it.capabilities.length > 0 && html`<span class="tag">asks for ${it.capabilities.length}</span>`}</div>
          <div class="row"><a class="button" href=${path("flows", it.name)}>Run…</a><a class="button quiet" href=${"/runs" + query({ flow: it.name })}>Its runs</a></div><//>`)}</div>
        <${Card} title="Components">${table("Components", /** @type {Component[]} */ (components), [
          ["Name", (it) => html`<a href=${path("components", it.digest)}>${it.name}</a> <span class="muted">${it.version}</span>`],
          ["Digest", (it) => html`<code>${it.digest.slice(0, 12)}</code>`, "fit"],
          ["Flows", (it) => html`<span class="muted">${it.flows.slice(0, 6).map((flow) => flow.name).join(", ")}${it.flows.length > 6 && ` and ${it.flows.length - 6} more`}</span>`],
          ["Size", (it) => size(it.bytes), "fit"], ["Uploaded", (it) => html`<${Time} at=${it.uploaded} />`, "fit"],
        ])}<//>`)}`;
}

/** @type {FieldOf[]} */
const LATER = [["in_ms", "Begin in", { as: "length", placeholder: "at once", hint: "Such as 30 s, 5 min or 1 h." }]];

/** Starts a run: of a deployment, or of a flow without one. @param {{ flow: FlowInfo, deployments: Deployment[], components?: Component[], given?: string }} props */
export function RunForm({ flow, deployments, components = [], given }) {
  const [name, setName] = useState(given ?? deployments[0]?.full_name ?? "");
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const [typed, setTyped] = useState({});
  const { busy, wrong, act } = useAct();
  const deployment = deployments.find((it) => it.full_name === name);
  // A deployment runs its own code, which may take other parameters than the newest.
  const schema = components.find((it) => it.digest === deployment?.component)?.flows.find((it) => it.name === flow.name)?.parameters ?? flow.parameters;
  const start = useMemo(() => startOf(schema, deployment?.parameters ?? {}), [name, deployment?.version, schema]);
  const [later, policy] = [read(LATER, typed), read(POLICY, typed)];
  const bad = written?.wrong ?? later.wrong ?? policy.wrong;
  const submit = (event) => {
    event.preventDefault();
    if (!bad) void act(async () => {
      const of = deployment ? { deployment: name } : { flow: flow.name };
      const run = await ask("POST", "/flow-runs", { ...of, parameters: changes(start, written?.value ?? start) ?? {}, ...later.values, policy: policy.values });
      say(`Run ${run.name} is made`);
      go(path("runs", run.id));
    });
  };
  return html`<form class="form" onSubmit=${submit} novalidate>
    ${!given && html`<${Text} label="Through" value=${name} set=${setName} hint=${deployment ? `On the work queue ${deployment.queue}.` : "On the work queue default, with no grants."}
      options=${[...deployments.map((it) => [it.full_name, `Deployment ${it.full_name}`]), ["", "No deployment"]]} />`}
    <${Parameters} key=${name + deployment?.version} schema=${schema} start=${start} set=${setWritten} />
    <details><summary>Later, or with another policy</summary><${Fields} of=${[...LATER, ...POLICY]} it=${typed} set=${setTyped} /></details><${WhatIsWrong} wrong=${wrong} />
    <div class="row"><${Button} kind="primary" type="submit" icon="play" need="operator" busy=${busy} not=${bad}>Run<//><span class="muted small" role="status">${bad}</span></div></form>`;
}

const FLOW_TABS = /** @type {[string, string][]} */ ([["policy", "Retry policy"], ["asks", "What it asks for"], ["schema", "Schemas"], ["tasks", "Tasks"], ["versions", "Versions"], ["deployments", "Deployments"]]);

/** @param {{ parts: string[] }} props */
export function FlowPage({ parts: [name = ""] }) {
  const all = useLists("/flows", "/components", "/deployments");
  const tab = asked("tab") || "policy";
  return shown(all, ([flows = [], components = [], allDeployments = []]) => {
    const flow = /** @type {Flow | undefined} */ (flows.find((it) => it.name === name));
    const versions = /** @type {Component[]} */ (components).filter((it) => it.flows.some((one) => one.name === name));
    const deployments = /** @type {Deployment[]} */ (allDeployments).filter((it) => it.flow === name);
    const component = versions.find((it) => it.digest === flow?.component);
    if (!flow || !component) return html`<${Empty} title=${`No component has a flow ${name}`} icon="flows"><p><a href="/flows">All flows</a></p><//>`;
    const schema = (/** @type {unknown} */ it) => /** @type {Json | undefined} */ (it ?? undefined);
    return html`<${Head} title=${name} under=${html`${flow.description} <a href=${path("components", flow.component)}>${flow.component_name} ${flow.component_version}</a>`}><a class="button" href=${"/runs" + query({ flow: name })}>Its runs</a><//>
      <div class="aside act"><div><${Tabs} label="About the flow" of=${FLOW_TABS} at=${tab} go=${(id) => search({ tab: id })} />
        ${tab === "policy" && html`<${Card} title="When its attempts begin"><${PolicyView} policy=${flow.retry} /><//>
          ${component.tasks.filter((it) => it.retry.retries > 0 || it.retry.rules.length > 0).map((it) => html`<${Card} title=${"Task " + it.name}><${PolicyView} policy=${it.retry} />
            ${flow.retry.retries > 0 && html`<p class="muted small">With those of the flow: ${count((it.retry.retries + 1) * (flow.retry.retries + 1), "attempt")} of it at most.</p>`}<//>`)}`}
        ${tab === "asks" && html`<${Card}><${Asks} of=${flow} /><//>`}
        ${tab === "schema" && html`<${Card} title="Parameters"><${Value} value=${schema(flow.parameters)} label="schema of the parameters" /><//><${Card} title="Result"><${Value} value=${schema(flow.returns)} label="schema of the result" /><//>`}
        ${tab === "tasks" && (component.tasks.length ? component.tasks.map((it) => html`<${Card} title=${it.name} side=${html`<span class="tag">version ${it.version}</span>${it.tags.map((tag) => html`<span class="tag">${tag}</span>`)}`}>
          <p>${it.description}</p><p class="muted">${it.retry.retries ? count(it.retry.retries, "retry", "retries") : "No retries"}.</p><${Asks} of=${it} /><//>`) : html`<${Empty} title="It has no tasks" />`)}
        ${tab === "versions" && table("Versions", versions, [["Component", (it) => html`<a href=${path("components", it.digest)}>${it.name} ${it.version}</a>`], ["Digest", (it) => html`<code>${it.digest.slice(0, 12)}</code>`, "fit"], ["Uploaded", (it) => html`<${Time} at=${it.uploaded} />`, "fit"]])}
        ${tab === "deployments" && (deployments.length ? table("Deployments", deployments, [["Name", (it) => html`<a href=${path("deployments", it.flow, it.name)}>${it.full_name}</a>`], ["Work queue", (it) => it.queue], ["Code", (it) => html`<code>${it.component.slice(0, 12)}</code>`, "fit"]])
          : html`<${Empty} title="It is not deployed" icon="deployments"><p><a class="button" href=${path("components", flow.component)}>Deploy it…</a></p><//>`)}
      </div><${Card} title="Run it"><${RunForm} flow=${flow} deployments=${deployments} components=${versions} /><//></div>`;
  });
}
