// @ts-check
// What an attempt used and why it failed; and one call of a run, with each of its attempts.
import { html, useState } from "../vendor/preact.js";
import { Editor } from "./forms.js";
import { Button, Copy, Facts, say, table, Value, WhatIsWrong } from "./kit.js";
import { clockMs, now, size, State, Time, took } from "./look.js";
import { useCell, useLoad } from "./page.js";
import { ask, get, path } from "./server.js";
/** @import { Open } from "./timeline.js" */
/** @import { Attempt, Component, Evidence, Failure, Json, Limits, Run, Task } from "../wire" */

/** Components never change, so that one is asked for once. @type {Map<string, Promise<Component>>} */
const known = new Map();

/** @param {string} digest @returns {Promise<Component>} */
export function componentOf(digest) {
  const had = known.get(digest);
  if (had) return had;
  const asked = get(path("components", digest));
  known.set(digest, asked);
  asked.catch(() => known.delete(digest));
  return asked;
}

/** @param {{ title: string, used: number, limit?: number | null, words: (n: number) => string }} props */
export function Meter({ title, used, limit, words }) {
  const share = limit ? Math.min(1, used / limit) : 0;
  return html`<div class=${share > 0.95 ? "meter full" : "meter"}><div><span class="muted">${title}</span><b>${words(used)}${limit && html` <span class="muted">of ${words(limit)}</span>`}</b></div>
    ${limit && html`<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width=${share * 100} height="6" /></svg>`}</div>`;
}

/** What was used, beside what may be. `run`: of the flow itself. @param {{ evidence: Evidence, took?: number, limits?: Limits, run?: Run }} props */
export const Meters = ({ evidence, took: ms = 0, limits, run }) => html`<div class="meters">
  <${Meter} title="Peak memory" used=${evidence.peak_memory} limit=${run?.overrides.memory_bytes ?? limits?.memory_bytes ?? 64 << 20} words=${size} />
  <${Meter} title="Processor" used=${evidence.cpu_us / 1000} limit=${limits?.cpu_time ?? 10_000} words=${took} />
  <${Meter} title="Wall clock" used=${ms} limit=${run?.overrides.timeout ?? limits?.timeout ?? (run ? null : 60_000)} words=${took} />
  ${evidence.log_bytes_dropped > 0 && html`<p class="note">${size(evidence.log_bytes_dropped)} of its log were over a bound and dropped.</p>`}</div>`;

/** @param {{ failure: Failure }} props */
export function Why({ failure: { code, message, details } }) {
  const isObject = details && typeof details === "object" && !Array.isArray(details);
  const { backtrace, stderr, traceback, stack, ...rest } = /** @type {Record<string, Json>} */ (isObject ? details : details ? { details } : {});
  const frames = Array.isArray(backtrace) ? backtrace.map(String) : [];
  return html`<p class="code-line"><code class="code-name">${code}</code></p><p class="message">${message}</p>
    ${frames.length > 0 && html`<details><summary>Backtrace, ${frames.length} frames</summary><div class="value"><pre tabindex="0" role="region" aria-label="Backtrace">${frames.map((it, at) => `${String(at).padStart(2)}  ${it}\n`)}</pre>
      <${Copy} text=${frames.join("\n")} label="Copy the backtrace" /></div></details>`}
    ${[traceback, stack].filter((it) => typeof it === "string" && it).map((it) => html`<details open><summary>Where it was</summary><div class="value"><pre tabindex="0" role="region" aria-label="Traceback">${it}</pre>
      <${Copy} text=${String(it)} label="Copy the traceback" /></div></details>`)}
    ${typeof stderr === "string" && stderr && html`<details open=${!frames.length}><summary>The end of what it wrote to stderr</summary><pre tabindex="0" role="region" aria-label="stderr">${stderr}</pre></details>`}
    ${Object.keys(rest).length > 0 && html`<details><summary>Details</summary><${Value} value=${rest.details ?? rest} label="details of the failure" /></details>`}`;
}

/** @param {{ run: Run, task: Task, what: "input" | "result" }} props */
function Sent({ run, task, what }) {
  const [asked, setAsked] = useState(false);
  const whole = useLoad(String(asked), async (signal) => (asked ? get(path("flow-runs", run.id, "task-runs", task.number), signal) : task));
  const bytes = what === "input" ? task.input_bytes : task.result_bytes;
  const value = task[what] ?? whole.data?.[what];
  if (value !== undefined) return html`<${Value} value=${value} label=${what} />`;
  return bytes ? html`<${Button} busy=${asked && !whole.wrong} onClick=${() => setAsked(true)}>Load ${size(bytes)}<//><${WhatIsWrong} wrong=${whole.wrong} />` : html`<p class="muted">None is kept.</p>`;
}

/** @param {{ name: string, run: Run, task: Task, component?: Component, active: string | false, close: () => void, set: (run: Run) => void, retry: (preset: { from?: string, rerun?: string[] }) => void }} props */
export function Call({ name, run, task, component, active, close, set, retry }) {
  const [setting, setSetting] = useState(false);
  const at = useCell(now);
  const isTask = task.kind === "task";
  const limits = isTask ? component?.tasks.find((it) => it.name === task.task)?.limits : undefined;
  const attempts = /** @type {Attempt[]} */ ([...task.earlier_attempts, { ...task, attempt: task.attempts }]);
  const number = String(task.number);
  const doing = (/** @type {string} */ text, /** @type {() => void} */ onClick) => html`<${Button} need="operator" not=${active} onClick=${onClick}>${text}<//>`;
  const send = async ({ result }) => {
    set(await ask("POST", path("flow-runs", run.id, "task-runs", number, "result"), { result }));
    say(`The result of ${name} is set`);
    setSetting(false);
  };
  return html`<section class="call" aria-label=${`Call ${number}, ${name}`}>
    <header><h3>${name}<${State} state=${task.state} />${task.by_hand && html`<span class="tag hand">result set by hand</span>`}</h3>
      ${isTask && !task.result_bytes && doing("Set its result…", () => setSetting(true))}
      ${task.kind !== "sleep" && html`${doing("Run this again…", () => retry({ rerun: [number] }))}${doing("Retry from here…", () => retry({ from: number }))}`}
      <${Button} kind="quiet" icon="close" label="Close the call" onClick=${close} /></header>
    <${Facts} of=${[
      ["Call", `${number}, a ${task.kind}`], ["Name", task.label && html`<code>${task.task}</code>`], ["Child run", task.child && html`<a href=${path("runs", task.child)}>open it</a>`],
      ["Attempts", String(task.attempts)], ["Last worked on in", `attempt ${task.flow_attempt} of the flow`], ["Tried again", task.state === "AwaitingRetry" && html`<${Time} at=${task.due} />`],
      ["Takes so far", task.state === "Running" && took(Math.max(0, at - Date.parse(task.began)))],
    ]} />
    ${task.failure && html`<div class="failure"><${Why} failure=${task.failure} /></div>`}
    ${isTask && html`<${Meters} evidence=${task.evidence} took=${task.took_ms} limits=${limits} />`}
    ${attempts.length > 1 && table("Attempts", attempts.slice(-50), [
      ["Attempt", (it) => it.attempt, "fit"],
      ["Outcome", (it) => (it.failure ? html`<span class="bad-text"><code>${it.failure.code}</code> ${it.failure.message}</span>` : "succeeded")],
      ["Began", (it) => html`<time datetime=${it.began} title=${it.began}>${clockMs(it.began)}</time>`, "fit"],
      ["Took", (it) => took(it.took_ms), "fit"], ["Memory", (it) => size(it.evidence.peak_memory), "fit"],
    ])}
    <div class="halves"><div><h3>Input</h3><${Sent} run=${run} task=${task} what="input" /></div><div><h3>Result</h3><${Sent} run=${run} task=${task} what="result" /></div></div>
    ${setting && html`<${Editor} title=${"Set the result of " + name} need="operator" close=${() => setSetting(false)} send=${send} fields=${() => [["result", "Result, as JSON", { as: "json", must: true }]]}
      about="The next attempt is fed it, as if the task had returned it. Who set it is kept, and the call shows that a person did." />`}</section>`;
}

/** A call of which no attempt has ended. @param {{ number: number, call: Open, close: () => void }} props */
export function OpenCall({ number, call: { name, attempt, began }, close }) {
  const at = useCell(now);
  return html`<section class="call" aria-label=${`Call ${number}, ${name}`}>
    <header><h3>${name}<${State} state="Running" /></h3><${Button} kind="quiet" icon="close" label="Close the call" onClick=${close} /></header>
    <${Facts} of=${[["Call", String(number)], ["Attempt", String(attempt)], ["Began", html`<${Time} at=${new Date(began).toISOString()} />`], ["Takes so far", took(Math.max(0, at - began))]]} />
    <p class="muted">What it logs is told below, as it does. What it was given, used and returns is kept when the attempt ends.</p></section>`;
}
