// @ts-check
// Deploying a flow: what would change is shown before it is done.
import { html, useMemo, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Changes } from "./asks.js";
import { Button } from "./button.js";
import { Check, Text } from "./field.js";
import { useAct, useLoad } from "./load.js";
import { WhatIsWrong, say } from "./notes.js";
import { Parameters } from "./parameters.js";
import { PolicyFields, policyAsk } from "./policy-fields.js";
import { go } from "./route.js";
/** @import { Component, Deployed, Deployment, Inspection, Obj, Page } from "../wire" */
/** @import { Written } from "./parameters.js" */

/** What a component asks for of one kind. @param {Component | Inspection} of @param {"secret" | "variable"} kind */
function asksFor(of, kind) {
  const all = [...of.flows, ...of.tasks].flatMap((it) => it.capabilities).flatMap((it) => (kind in it ? [String(/** @type {Record<string, unknown>} */ (it)[kind])] : []));
  return [...new Set(all)].sort();
}

/** @param {{ component: Component | Inspection, keep?: () => Promise<unknown> }} props `keep` uploads what is not kept yet. */
export function Deploy({ component, keep }) {
  const [flow, setFlow] = useState(component.flows[0]?.name ?? "");
  const [name, setName] = useState("dev");
  const [queue, setQueue] = useState("default");
  const [cron, setCron] = useState("");
  const [zone, setZone] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const [policy, setPolicy] = useState(/** @type {Record<string, string>} */ ({}));
  const [grants, setGrants] = useState(/** @type {string[] | undefined} */ (undefined));
  const [would, setWould] = useState(/** @type {Deployed | undefined} */ (undefined));
  const { busy, wrong, act } = useAct();
  const known = useLoad("known", async (signal) => {
    const [deployments, secrets, variables] = await Promise.all([
      /** @type {Promise<Page<Deployment>>} */ (get("/deployments", signal)), /** @type {Promise<Page<{ name: string }>>} */ (get("/secrets", signal)), /** @type {Promise<Page<{ name: string }>>} */ (get("/variables", signal)),
    ]);
    return { deployments: deployments.items, secrets: secrets.items.map((it) => it.name), variables: variables.items.map((it) => it.name) };
  });
  const had = known.data?.deployments.find((it) => it.flow === flow && it.name === name);
  const info = component.flows.find((it) => it.name === flow);
  const [secrets, variables] = useMemo(() => [asksFor(component, "secret"), asksFor(component, "variable")], [component]);
  const granted = grants ?? [...(had?.secrets ?? []).map((it) => "secret " + it), ...(had?.variables ?? []).map((it) => "variable " + it)];
  const overrides = policyAsk(policy);
  const of = (/** @type {string} */ kind) => granted.filter((it) => it.startsWith(kind + " ")).map((it) => it.slice(kind.length + 1));
  const body = () => ({
    component: component.digest, parameters: /** @type {Obj} */ (written?.value ?? {}), secrets: of("secret"), variables: of("variable"),
    // What there is and is not asked for here stays.
    ...(had ? {} : { queue: queue.trim() || "default" }), ...(overrides.ask ? { policy: overrides.ask } : {}),
  });
  const put = (/** @type {boolean} */ dry) => /** @type {Promise<Deployed>} */ (ask(had ? "PATCH" : "PUT", path("deployments", flow, name.trim()) + (dry ? "?dry_run=true" : ""), body()));
  const look = () => act(async () => {
    await keep?.();
    setWould(await put(true));
  });
  const apply = () => act(async () => {
    await keep?.();
    const done = await put(false);
    if (cron.trim()) {
      const schedule = { deployment: done.deployment.full_name, when: { cron: { expression: cron.trim(), time_zone: zone.trim() } } };
      await ask("PUT", path("schedules", `${flow}.${name.trim()}`), schedule);
    }
    say(`${done.deployment.full_name} is deployed`);
    go(path("deployments", flow, done.deployment.name));
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void apply();
  };
  const toggle = (/** @type {string} */ it) => setGrants(granted.includes(it) ? granted.filter((one) => one !== it) : [...granted, it]);
  const grant = (/** @type {string} */ kind, /** @type {string} */ it) => {
    const there = (kind === "secret" ? known.data?.secrets : known.data?.variables)?.includes(it);
    return there ? html`<${Check} label=${`${kind} ${it}`} checked=${granted.includes(`${kind} ${it}`)} set=${() => toggle(`${kind} ${it}`)} />` : html`<p class="note">It asks for the ${kind} <code>${it}</code>, which is not there: <a href="/values">set it</a> first.</p>`;
  };
  const not = !name.trim() ? "Say a name first." : written?.wrong ?? overrides.wrong ?? false;
  const dry = would && (would.changes.length > 0 || would.not_granted.length > 0 || !would.created);
  return html`<form class="form" onSubmit=${submit} novalidate>
    <div class="two">
      ${component.flows.length > 1 && html`<${Text} label="Flow" value=${flow} set=${(/** @type {string} */ it) => { setFlow(it); setWould(undefined); }} options=${component.flows.map((it) => it.name)} />`}
      <${Text} label="Name" value=${name} set=${setName} hint=${had ? `Changes ${had.full_name}, version ${had.version}.` : `Makes ${flow}/${name.trim() || "…"}.`} />
      <${Text} label="Work queue" value=${had ? had.queue : queue} set=${setQueue} />
    </div>
    ${info && html`<details><summary>Default parameters</summary><${Parameters} key=${flow + (had?.full_name ?? "")} schema=${{ ...info.parameters, required: [] }} start=${had?.parameters ?? {}} set=${setWritten} /></details>`}
    <details><summary>Schedule</summary><div class="two"><${Text} label="Cron" value=${cron} set=${setCron} placeholder="0 6 * * 1-5" hint="Minute, hour, day, month, weekday. None unless it is said." /><${Text} label="Time zone" value=${zone} set=${setZone} /></div></details>
    <details><summary>Policy</summary><${PolicyFields} value=${policy} set=${setPolicy} /></details>
    ${secrets.length + variables.length > 0 && html`<fieldset class="choice"><legend>Grant what it asks for</legend>${secrets.map((it) => grant("secret", it))}${variables.map((it) => grant("variable", it))}</fieldset>`}
    <${WhatIsWrong} wrong=${wrong} />
    ${dry && html`<div role="status"><h3>What would change</h3><${Changes} of=${would.changes} />${would.not_granted.length > 0 && html`<p class="note">Not granted: ${would.not_granted.join(", ")}. It is refused to runs.</p>`}</div>`}
    ${would?.created && html`<p class="muted" role="status">${would.deployment.full_name} would be new.</p>`}
    <div class="row"><${Button} kind="primary" type="submit" icon="deployments" need="deployer" busy=${busy} not=${not}>Deploy<//>
      <${Button} need="deployer" busy=${busy} not=${not} onClick=${look}>Show what would change<//></div>
  </form>`;
}
