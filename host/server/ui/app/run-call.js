// @ts-check
// One call of a run: what it was given, what it returned, each of its attempts.
import { html, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { Meters, Why } from "./evidence.js";
import { Text } from "./field.js";
import { Value } from "./json.js";
import { useAct, useLoad } from "./load.js";
import { Facts, WhatIsWrong, say } from "./notes.js";
import { State, isRetryable } from "./state.js";
import { Table } from "./table.js";
import { Time, clockMs, size, took } from "./time.js";
/** @import { Attempt, Component, Json, Run, Task } from "../wire" */

/** @param {{ run: Run, task: Task, close: () => void, set: (run: Run) => void }} props */
function SetResult({ run, task, close, set }) {
  const [text, setText] = useState("");
  const { busy, wrong, act } = useAct();
  let value = /** @type {Json | undefined} */ (undefined);
  try {
    value = text.trim() ? JSON.parse(text) : undefined;
  } catch {
    // It is said below the field.
  }
  const submit = () => act(async () => {
    set(/** @type {Run} */ (await ask("POST", path("flow-runs", run.id, "task-runs", task.number, "result"), { result: value })));
    say(`The result of ${task.label ?? task.task} is set`);
    close();
  });
  return html`<${Dialog} title=${`Set the result of ${task.label ?? task.task}`} close=${close} submit=${submit} actions=${html`
    <${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" busy=${busy} not=${value === undefined && "Type a result as JSON first."}>Set the result<//>`}>
    <p class="muted">The next attempt is fed it, as if the task had returned it. Who set it is kept, and the call shows that a person did.</p>
    <${Text} label="Result, as JSON" value=${text} set=${setText} rows=${6} code wrong=${text.trim() && value === undefined ? "This is not JSON: a text stands in double quotes." : undefined} />
    <${WhatIsWrong} wrong=${wrong} />
  <//>`;
}

/** @param {{ run: Run, task: Task, what: "input" | "result" }} props */
function Sent({ run, task, what }) {
  const [asked, ask] = useState(false);
  const whole = useLoad(asked ? task.id : "", (signal) => (asked ? /** @type {Promise<Task>} */ (get(path("flow-runs", run.id, "task-runs", task.number), signal)) : Promise.resolve(task)));
  const bytes = what === "input" ? task.input_bytes : task.result_bytes;
  const value = task[what] ?? whole.data?.[what];
  if (value === undefined && bytes) return html`<${Button} busy=${asked && !whole.wrong} onClick=${() => ask(true)}>Load ${size(bytes)}<//><${WhatIsWrong} wrong=${whole.wrong} />`;
  return html`<${Value} value=${value} label=${what} />`;
}

/**
 * @param {{ run: Run, task: Task, component: Component | undefined, close: () => void, set: (run: Run) => void,
 *   retry: (preset: { from?: string, rerun?: string[] }) => void }} props
 */
export function Call({ run, task, component, close, set, retry }) {
  const [setting, setSetting] = useState(false);
  const limits = task.kind === "task" ? component?.tasks.find((it) => it.name === task.task)?.limits : undefined;
  /** @type {Attempt} */
  const last = { attempt: task.attempts, began: task.began, ended: task.ended, took_ms: task.took_ms, failure: task.failure, evidence: task.evidence };
  const attempts = [...task.earlier_attempts, last];
  const name = task.label ?? task.task;
  const active = !isRetryable(run.state) && "The run is active.";
  const hasResult = task.result_bytes !== undefined && task.result_bytes !== null;
  return html`<section class="call" aria-label=${`Call ${task.number}, ${name}`}>
    <header><h3>${name}<${State} state=${task.state} />${task.by_hand && html`<span class="tag hand">result set by hand</span>`}</h3>
      ${task.kind === "task" && !hasResult && html`<${Button} need="operator" not=${active} onClick=${() => setSetting(true)}>Set its result…<//>`}
      ${task.kind !== "sleep" && html`<${Button} need="operator" not=${active} onClick=${() => retry({ rerun: [String(task.number)] })}>Run this again…<//>
      <${Button} need="operator" not=${active} onClick=${() => retry({ from: String(task.number) })}>Retry from here…<//>`}
      <${Button} kind="quiet" icon="close" label="Close the call" onClick=${close} /></header>
    <${Facts} of=${[
      ["Call", `${task.number} of kind ${task.kind}`],
      ["Name", task.label ? html`<code>${task.task}</code>` : null],
      ["Child run", task.child && html`<a href=${path("runs", task.child)}>open it</a>`],
      ["Attempts", String(task.attempts)],
      ["Last worked on in", `attempt ${task.flow_attempt} of the flow`],
      ["Tried again", task.due && task.state === "AwaitingRetry" ? html`<${Time} at=${task.due} />` : null],
    ]} />
    ${task.failure && html`<div class="failure"><p class="code-line"><code class="code-name">${task.failure.code}</code></p><${Why} failure=${task.failure} /></div>`}
    ${task.kind === "task" && html`<${Meters} evidence=${task.evidence} took=${task.took_ms} limits=${limits} />`}
    ${attempts.length > 1 && html`<${Table} label="Attempts" rows=${attempts.slice(-50)} id=${(/** @type {Attempt} */ it) => it.attempt} columns=${[
      ["Attempt", (/** @type {Attempt} */ it) => it.attempt],
      ["Outcome", (/** @type {Attempt} */ it) => (it.failure ? html`<span class="bad-text"><code>${it.failure.code}</code> ${it.failure.message}</span>` : "succeeded")],
      ["Began", (/** @type {Attempt} */ it) => html`<time datetime=${it.began} title=${it.began}>${clockMs(it.began)}</time>`, "fit"],
      ["Took", (/** @type {Attempt} */ it) => took(it.took_ms), "fit"],
      ["Memory", (/** @type {Attempt} */ it) => size(it.evidence.peak_memory), "fit"],
    ]} />`}
    <div class="halves"><div><h3>Input</h3><${Sent} run=${run} task=${task} what="input" /></div>
      <div><h3>Result</h3>${hasResult ? html`<${Sent} run=${run} task=${task} what="result" />` : html`<p class="muted">None is kept.</p>`}</div></div>
    ${setting && html`<${SetResult} run=${run} task=${task} close=${() => setSetting(false)} set=${set} />`}
  </section>`;
}
