// @ts-check
// Components: what code says about itself and asks for, how it differs from other code, uploading it and deploying it.
import { html, useMemo, useRef, useState } from "../vendor/preact.js";
import { PolicyView } from "./flow.js";
import { Check, Fields, Parameters, POLICY, read, Text } from "./forms.js";
import { Button, Card, Command, confirm, Copy, Facts, Head, removes, say, shown, table, WhatIsWrong } from "./kit.js";
import { brief, count, Icon, now, size, Time, took } from "./look.js";
import { go, useAct, useCell, useLists, useLoad } from "./page.js";
import { ask, get, path, refusal, send } from "./server.js";
/** @import { Capability, Change, Component, Deployed, Deployment, FlowInfo, Inspection, Json, TaskInfo } from "../wire" */
/** @import { FieldOf, Written } from "./forms.js" */

/** @param {Capability} it */
function capability(it) {
  if ("http" in it) return `outbound HTTP to ${it.http}`;
  if ("dir" in it) return `the directory ${it.dir.name} (${it.dir.writable ? "read and write" : "read"})`;
  return "secret" in it ? `the secret ${it.secret}` : `the variable ${it.variable}`;
}

/** @param {{ of: FlowInfo | TaskInfo }} props */
export const Asks = ({ of }) => html`${of.capabilities.length === 0 ? html`<p class="muted">It asks for nothing: no network, no files, no secrets.</p>`
    : html`<ul class="asks">${of.capabilities.map((it) => html`<li><${Icon} name="key" />${capability(it)}</li>`)}</ul>`}
  <${Facts} of=${[
    ["Memory", of.limits.memory_bytes ? size(of.limits.memory_bytes) : "64 MiB, the default"], ["Processor", of.limits.cpu_time ? took(of.limits.cpu_time) : "10 s, the default"],
    ["Timeout", of.limits.timeout ? took(of.limits.timeout) : "tags" in of ? "1 min, the default" : "none"], ["Printed lines", of.log_prints ? "are kept as log" : "are dropped"],
    ["Its result", of.persist_result === false ? "is not kept" : "is kept"],
  ]} />`;

/** What differs between two values, with the way to it. @param {any} a @param {any} b @param {string} at @returns {Change[]} */
function differ(a, b, at) {
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  const isObject = (/** @type {Json} */ it) => it && typeof it === "object" && !Array.isArray(it);
  if (!isObject(a) || !isObject(b)) return [{ what: at, from: a, to: b }];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((name) => differ(a[name], b[name], at ? `${at}.${name}` : name));
}

/** @param {Component | Inspection} it */
const described = ({ version, description, flows, tasks }) => ({
  version, description, flow: Object.fromEntries(flows.map(({ name, ...rest }) => [name, rest])), task: Object.fromEntries(tasks.map(({ name, ...rest }) => [name, rest])),
});

/** @param {{ of: Change[] }} props */
export const Changes = ({ of }) => of.length === 0 ? html`<p class="muted">Nothing differs.</p>` : html`<div class="changes">${table("Differences", of.slice(0, 200), [
  ["What", (it) => it.what],
  ["From", (it) => (it.from ?? null) === null ? html`<span class="muted">nothing</span>` : html`<del>${brief(it.from, 300)}</del>`],
  ["To", (it) => (it.to ?? null) === null ? html`<span class="muted">nothing</span>` : html`<ins>${brief(it.to, 300)}</ins>`],
])}</div>`;

/** What a change of a deployment would do. @param {Deployed} would */
export const wouldBe = (would) => html`<h3>${would.created ? "It would be new" : "What would change"}</h3><${Changes} of=${would.changes} />
  ${would.not_granted.length > 0 && html`<p class="note">Not granted: ${would.not_granted.join(", ")}. It is refused to runs.</p>`}`;

/** What is new since the newest other version of the same name. @param {{ all: Component[], of: Component | Inspection }} props */
function Against({ all, of }) {
  const before = all.find((it) => it.name === of.name && it.digest !== of.digest && !("uploaded" in of && it.uploaded > of.uploaded));
  if (!before) return html`<${Card} title="What is new"><p class="muted">It is the first of its name.</p><//>`;
  return html`<${Card} title=${`What is new since ${before.name} ${before.version}`} side=${html`<a class="digest" href=${path("components", before.digest)}>${before.digest.slice(0, 12)}</a>`}><${Changes} of=${differ(described(before), described(of), "")} /><//>`;
}

/** @param {{ kind: string, of: FlowInfo | TaskInfo }} props */
const One = ({ kind, of }) => html`<details><summary>${kind} ${of.name} <small>${of.retry.retries ? count(of.retry.retries, "retry", "retries") : "no retries"}${of.capabilities.length > 0 && `, asks for ${of.capabilities.map(capability).join(", ")}`}</small></summary><${Card}><p>${of.description}</p><h3>What it asks for</h3><${Asks} of=${of} /><h3>Retries</h3><${PolicyView} policy=${of.retry} /><//></details>`;

/** @param {{ of: Component | Inspection }} props */
const Inside = ({ of }) => html`<${Card} title=${`${count(of.flows.length, "flow")}, ${count(of.tasks.length, "task")}`}>${of.flows.map((it) => html`<${One} kind="Flow" of=${it} />`)}${of.tasks.map((it) => html`<${One} kind="Task" of=${it} />`)}<//>`;

/** What a component asks for of one kind. @param {Component | Inspection} of @param {"secret" | "variable"} kind */
const asksFor = (of, kind) => [...new Set([...of.flows, ...of.tasks].flatMap((it) => it.capabilities).flatMap((/** @type {any} */ it) => it[kind] ?? []))].map((it) => `${kind} ${it}`);

/** @type {FieldOf[]} */
const SCHEDULE = [["expression", "Cron", { placeholder: "0 6 * * 1-5", hint: "Minute, hour, day, month, weekday. None unless it is said." }], ["time_zone", "Time zone"]];

/** Deploys a flow. `keep` uploads what is not kept yet. @param {{ component: Component | Inspection, keep?: () => Promise<unknown> }} props */
function Deploy({ component, keep }) {
  const [flow, setFlow] = useState(component.flows[0]?.name ?? "");
  const [it, set] = useState(/** @type {Record<string, string>} */ ({ name: "dev", queue: "default", time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" }));
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const [grants, setGrants] = useState(/** @type {string[] | undefined} */ (undefined));
  const [would, setWould] = useState(/** @type {Deployed | undefined} */ (undefined));
  const { busy, wrong, act } = useAct();
  const [deployments = [], secrets = [], variables = []] = useLists("/deployments", "/secrets", "/variables").data ?? [];
  const name = it.name?.trim() ?? "";
  const had = /** @type {Deployment | undefined} */ (deployments.find((one) => one.flow === flow && one.name === name));
  const info = component.flows.find((one) => one.name === flow);
  const wanted = useMemo(() => [...asksFor(component, "secret"), ...asksFor(component, "variable")], [component]);
  const there = [...secrets.map((one) => "secret " + one.name), ...variables.map((one) => "variable " + one.name)];
  const granted = grants ?? [...(had?.secrets ?? []).map((one) => "secret " + one), ...(had?.variables ?? []).map((one) => "variable " + one)];
  const policy = read(POLICY, it);
  const of = (/** @type {string} */ kind) => granted.filter((one) => one.startsWith(kind)).map((one) => one.slice(kind.length));
  const put = (dry = "") => ask(had ? "PATCH" : "PUT", path("deployments", flow, name) + dry, {
    component: component.digest, parameters: written?.value ?? {}, secrets: of("secret "), variables: of("variable "), policy: policy.values,
    // What there is and is not asked for here stays.
    ...(had ? {} : { queue: it.queue?.trim() || "default" }),
  });
  const look = () => act(async () => {
    await keep?.();
    setWould(await put("?dry_run=true"));
  });
  const not = !name ? "Say a name first." : written?.wrong ?? policy.wrong;
  const submit = (event) => {
    event.preventDefault();
    if (!not) void act(async () => {
      await keep?.();
      const { deployment } = await put();
      if (it.expression?.trim()) await ask("PUT", path("schedules", `${flow}.${name}`), { deployment: deployment.full_name, when: { cron: { expression: it.expression.trim(), time_zone: it.time_zone?.trim() } } });
      say(`${deployment.full_name} is deployed`);
      go(path("deployments", flow, name));
    });
  };
  const toggle = (/** @type {string} */ one) => setGrants(granted.includes(one) ? granted.filter((other) => other !== one) : [...granted, one]);
  return html`<form class="form" onSubmit=${submit} novalidate>
    ${component.flows.length > 1 && html`<${Text} label="Flow" value=${flow} set=${setFlow} options=${component.flows.map((one) => one.name)} />`}
    <${Fields} it=${it} set=${set} of=${[["name", "Name", { hint: had ? `Changes ${had.full_name}, version ${had.version}.` : `Makes ${flow}/${name || "…"}.` }], !had && ["queue", "Work queue"]]} />
    ${info && html`<details><summary>Default parameters</summary><${Parameters} key=${flow + had?.full_name} schema=${{ ...info.parameters, required: [] }} start=${had?.parameters ?? {}} set=${setWritten} /></details>`}
    <details><summary>Schedule</summary><${Fields} of=${SCHEDULE} it=${it} set=${set} /></details><details><summary>Policy</summary><${Fields} of=${POLICY} it=${it} set=${set} /></details>
    ${wanted.length > 0 && html`<fieldset><legend>Grant what it asks for</legend>${wanted.map((one) => there.includes(one) ? html`<${Check} label=${one} checked=${granted.includes(one)} set=${() => toggle(one)} />`
      : html`<p class="note">It asks for the ${one}, which is not there: <a href="/values">set it</a> first.</p>`)}</fieldset>`}
    <${WhatIsWrong} wrong=${wrong} />${would && html`<div role="status">${wouldBe(would)}</div>`}
    <div class="row"><${Button} kind="primary" type="submit" icon="deployments" need="deployer" busy=${busy} not=${not}>Deploy<//><${Button} need="deployer" not=${not} onClick=${look}>Preview<//></div></form>`;
}

/** @param {{ parts: string[] }} props */
export function ComponentPage({ parts: [digest = ""] }) {
  const one = useLoad(digest, (signal) => get(path("components", digest), signal));
  const others = useLists("/components").data?.[0];
  return shown(one, (/** @type {Component} */ it) => {
    const remove = () => confirm({
      title: `Forget ${it.name} ${it.version}?`, yes: "Forget it", what: "The component is removed. That is refused while a run or a deployment refers to it.",
      act: removes(path("components", it.digest), "The component is forgotten", () => go("/flows")),
    });
    return html`<${Head} title=${html`${it.name}<span class="tag">${it.version}</span>`} under=${it.description}><${Button} need="deployer" onClick=${remove}>Forget…<//><//>
      <${Card}><${Facts} of=${[["Digest", html`<code>${it.digest}</code><${Copy} text=${it.digest} label="Copy the digest" />`], ["Size", size(it.bytes)], ["Uploaded", html`<${Time} at=${it.uploaded} />`]]} /><//>
      <div class="aside"><div>${others && html`<${Against} all=${others} of=${it} />`}<${Inside} of=${it} /></div><${Card} title="Deploy it"><${Deploy} component=${it} /><//></div>`;
  });
}

/** How far an upload is: what takes long after it is compiling. @param {{ of: { share: number, at: number }, size: number }} props */
function Gone({ of: { share, at }, size: bytes }) {
  const seen = useCell(now);
  const sending = share < 1;
  return html`<progress value=${sending ? share : undefined} aria-label=${sending ? "Uploading" : "Compiling"}></progress>
    ${sending ? `${size(share * bytes)} of ${size(bytes)} uploaded` : `Inspecting and compiling, ${took(Math.max(0, seen - at))}. A large component takes up to a minute, once.`}`;
}

/** Uploading: a file is looked into before anything is kept. */
export function Upload() {
  const [file, setFile] = useState(/** @type {File | undefined} */ (undefined));
  const [found, setFound] = useState(/** @type {Inspection | undefined} */ (undefined));
  const [over, setOver] = useState(false);
  const [sent, setSent] = useState({ share: 0, at: 0 });
  const kept = useRef("");
  const inspecting = useAct();
  const keeping = useAct();
  const known = /** @type {Component[] | undefined} */ (useLists("/components").data?.[0]);
  const refused = refusal("deployer");
  const take = (/** @type {File | undefined} */ it) => {
    if (!it || refused) return;
    setFile(it);
    setFound(undefined);
    setSent({ share: 0, at: Date.now() });
    void inspecting.act(async () => setFound(await send("/components?dry_run=true", it, (share) => setSent({ share, at: Date.now() }))));
  };
  const keep = async () => {
    if (!file || !found || kept.current === found.digest) return;
    await send("/components", file, () => {});
    kept.current = found.digest;
  };
  const onlyKeep = () => keeping.act(async () => {
    await keep();
    say(`${found?.name} is uploaded`);
    go(path("components", found?.digest ?? ""));
  });
  const drag = (/** @type {boolean} */ on, /** @type {(event: DragEvent) => void} */ then = () => {}) => (event) => {
    event.preventDefault();
    setOver(on);
    then(event);
  };
  return html`<${Head} title="Upload" under="A component is one .wasm file with flows and their tasks. It is looked into before anything is kept." />
    <div class=${`drop ${over ? "over-it" : ""} ${file ? "taken" : ""}`} onDragOver=${drag(true)} onDragLeave=${drag(false)} onDrop=${drag(false, (event) => take(event.dataTransfer?.files[0]))}>
      <${Icon} name="upload" /><h2>${file ? file.name : "Drop a .wasm file here"}</h2>
      ${refused ? html`<p class="note">${refused}</p>` : html`<label class=${file ? "button" : "button primary"}>${file ? "Choose another" : "Choose a file"}<input type="file" accept=".wasm,application/wasm" onChange=${(event) => take(event.currentTarget.files?.[0])} /></label>`}
      <p class="muted" role="status">${inspecting.busy ? html`<${Gone} of=${sent} size=${file?.size ?? 0} />` : found && `${size(found.bytes)}, looked into: nothing is kept yet`}</p></div>
    <${WhatIsWrong} wrong=${inspecting.wrong} />
    ${!file && html`<${Card} title="From a terminal"><p class="muted">A new project, in Rust, Python, JavaScript, Go or C:</p><${Command} text="retake new hello --lang python" /><p class="muted">Build it, and deploy it here:</p><${Command} text="retake deploy hello -n dev" /><//>`}
    ${found && html`<${Card} title=${`${found.name} ${found.version}`} side=${html`<${Button} need="deployer" busy=${keeping.busy} onClick=${onlyKeep}>Only upload<//>`}><p>${found.description}</p>
        ${known?.some((it) => it.digest === found.digest) && html`<p class="note">This very component is here already. To upload it again makes it the newest of its name.</p>`}
        <${Facts} of=${[["Digest", html`<code>${found.digest.slice(0, 24)}…</code>`], ["Size", size(found.bytes)], ["Imports", `${found.imports.length} interfaces, all offered by this host`]]} />
        <details><summary>What it imports</summary><ul>${found.imports.map((it) => html`<li><code>${it}</code></li>`)}</ul></details><${WhatIsWrong} wrong=${keeping.wrong} /><//>
      <div class="aside"><div>${known && html`<${Against} all=${known} of=${found} />`}<${Inside} of=${found} /></div><${Card} title="Upload and deploy"><${Deploy} key=${found.digest} component=${found} keep=${keep} /><//></div>`}`;
}
