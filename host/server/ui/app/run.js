// @ts-check
// One run: where it stands, why, and what can be done.
import { html, useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button, Copy } from "./button.js";
import { confirm } from "./dialog.js";
import { Meters, Why, componentOf } from "./evidence.js";
import { Value } from "./json.js";
import { follow } from "./live.js";
import { useAct, useCalmly, useLoad } from "./load.js";
import { Card, Empty, Facts, Head, Show, Tabs, WhatIsWrong, say } from "./notes.js";
import { Retry } from "./retry.js";
import { asked, go, search } from "./route.js";
import { Call } from "./run-call.js";
import { History } from "./run-history.js";
import { Logs } from "./run-logs.js";
import { Timeline } from "./run-timeline.js";
import { Took, whatHappened } from "./runs.js";
import { State, isOver, isRetryable, isWorkedOn } from "./state.js";
import { Table } from "./table.js";
import { Time, count } from "./time.js";
import { isStill, note } from "./timeline.js";
/** @import { Component, Live, Run } from "../wire" */
/** @import { Open } from "./timeline.js" */
/** @import { Preset } from "./retry.js" */

/** Follows a run, and tells what of it is open. @param {string} id @param {Run | undefined} run @param {() => Promise<void>} reload @param {string} from */
function useLive(id, run, reload, from) {
  const open = useRef(/** @type {Map<number, Open>} */ (new Map()));
  const [version, setVersion] = useState(0);
  const soon = useCalmly(reload, 250);
  const now = useRef(run);
  now.current = run;
  const still = run ? isStill(run) : undefined;
  useEffect(() => {
    if (still === undefined) return;
    // Somebody else may retry a run that has ended: of that only the stream of all runs tells.
    return follow(still ? "/events/stream" : path("flow-runs", id, "events", "stream"), {
      from: still ? "" : from,
      ended: soon,
      on: (all) => {
        let mine = false;
        for (const { event, data } of all) {
          if (event === "resync") mine = true;
          if (!data.includes(id) || data.includes('"kind":"log"')) continue;
          const it = /** @type {Live} */ (JSON.parse(data));
          if (it.run !== id) continue;
          mine = true;
          if (now.current) note(open.current, it, now.current);
        }
        if (!mine) return;
        setVersion((it) => it + 1);
        soon();
      },
    });
  }, [id, still, from]);
  return { open: open.current, version };
}

/** @param {{ run: Run, component: Component | undefined }} props */
function WhyFailed({ run, component }) {
  const explained = useLoad(`${run.id} ${run.state} ${run.attempt} ${run.round}`, (signal) =>
    /** @type {Promise<{ explained: string[], hint: string }>} */ (get(path("flow-runs", run.id, "explanation"), signal)));
  const last = run.attempts?.at(-1);
  const failed = run.failure && !isWorkedOn(run.state);
  const said = explained.data?.explained ?? [];
  const limits = component?.flows.find((it) => it.name === run.flow)?.limits;
  const body = html`${said.length > 0 && html`<ul class="said-why">${said.slice(0, 12).map((it) => html`<li>${it}</li>`)}</ul>`}
    ${explained.data && html`<p class="row muted small">From a terminal: <code>${explained.data.hint}</code><${Copy} text=${explained.data.hint} label="Copy the command" /></p>`}`;
  if (!failed) return html`<${Card} title="Where it stands">${body}<//>`;
  return html`<${Card} class="failure" title="Why it failed">
    <p class="code-line"><code class="code-name">${run.failure?.code}</code></p>
    ${run.failure && html`<${Why} failure=${run.failure} />`}
    ${last && html`<${Meters} evidence=${last.evidence} took=${last.took_ms} limits=${limits} run=${run} />`}
    ${body}
  <//>`;
}

/** @param {{ run: Run, reload: () => Promise<void>, retry: (preset: Preset) => void }} props */
function Actions({ run, reload, retry }) {
  const { busy, wrong, act } = useAct();
  const over = isOver(run.state);
  const send = (/** @type {string} */ what, /** @type {string} */ done) => act(async () => {
    await ask("POST", path("flow-runs", run.id, what));
    say(done);
    await reload();
  });
  const cancel = () => confirm({
    title: `Cancel ${run.name}?`, yes: "Cancel the run",
    what: "It is stopped, and so are its children. What it has achieved is kept: it can be retried later.",
    act: async () => {
      await ask("POST", path("flow-runs", run.id, "cancel"));
      say(`${run.name} is cancelled`);
      await reload();
    },
  });
  const remove = () => confirm({
    title: `Remove ${run.name}?`, yes: "Remove it for good",
    what: "The run, the runs below it, and everything that is kept of them are removed. There is no way back.",
    act: async () => {
      await ask("DELETE", path("flow-runs", run.id));
      say(`${run.name} is removed`);
      go("/runs");
    },
  });
  const waits = ["AwaitingRetry", "Scheduled", "Late"].includes(run.state);
  return html`
    ${waits && html`<${Button} icon="play" need="operator" busy=${busy} onClick=${() => send("run-now", `${run.name} begins now`)}>Run now<//>`}
    ${run.state === "Paused" ? html`<${Button} kind="primary" icon="play" need="operator" busy=${busy} onClick=${() => send("resume", `${run.name} goes on`)}>Resume<//>`
      : !over && run.state !== "Parked" && html`<${Button} icon="pause" need="operator" busy=${busy} onClick=${() => send("pause", `${run.name} is paused`)}>Pause<//>`}
    ${!over && html`<${Button} icon="slash" need="operator" not=${run.state === "Cancelling" && "It is being cancelled."} onClick=${cancel}>Cancel…<//>`}
    ${over && html`<${Button} need="deployer" onClick=${remove}>Remove…<//>`}
    ${isRetryable(run.state) && run.state !== "Paused" && html`<${Button} kind=${run.state === "Completed" ? undefined : "primary"} icon="again" need="operator" onClick=${() => retry({})}>Retry…<//>`}
    <${WhatIsWrong} wrong=${wrong} />`;
}

/** @param {{ run: Run }} props */
const Children = ({ run }) => !run.children?.length ? html`<${Empty} title="It has no child runs" icon="flows" />` : html`<${Table} label="Child runs" rows=${run.children} id=${(/** @type {Run} */ it) => it.id} columns=${[
  ["State", (/** @type {Run} */ it) => html`<${State} state=${it.state} />`, "fit"],
  ["Run", (/** @type {Run} */ it) => html`<a href=${path("runs", it.id)}>${it.name}</a>`],
  ["Flow", (/** @type {Run} */ it) => it.flow],
  ["What happened", (/** @type {Run} */ it) => whatHappened(it)],
  ["Took", (/** @type {Run} */ it) => html`<${Took} run=${it} />`, "fit"],
]} />`;

const TABS = /** @type {[string, string][]} */ ([["logs", "Logs"], ["values", "Parameters and result"], ["history", "History"], ["children", "Child runs"]]);

/** @param {{ run: Run, reload: () => Promise<void>, set: (run: Run) => void }} props */
function Whole({ run, reload, set }) {
  const [from, setFrom] = useState("");
  const [preset, setPreset] = useState(/** @type {Preset | undefined} */ (undefined));
  const { open, version } = useLive(run.id, run, reload, from);
  const component = useLoad(run.component, () => componentOf(run.component)).data;
  const chosen = Number(asked("call")) || undefined;
  const choose = useCallback((/** @type {number | undefined} */ id) => search({ call: id ? String(id) : null }), []);
  const task = run.tasks?.find((it) => it.number === chosen);
  const calls = (run.tasks ?? []).filter((it) => it.kind !== "sleep");
  const kept = calls.filter((it) => it.result_bytes !== undefined && it.result_bytes !== null).length;
  const tab = asked("tab") || "logs";
  const still = isStill(run);
  const overrides = Object.entries({ ...run.overrides, ...run.overrides.this_round }).filter(([, it]) => typeof it === "number");
  return html`<${Head} title=${html`${run.name}<${State} state=${run.state} />`}
      under=${html`<a href=${path("flows", run.flow)}>${run.flow}</a>${run.deployment && html` · <a href=${"/deployments" + path(...run.deployment.split("/"))}>${run.deployment}</a>`}
        · code <a class="digest" href=${path("components", run.component)}>${run.component.slice(0, 12)}</a>${run.parent && html` · child of <a href=${path("runs", run.parent)}>another run</a>`}
        <${Copy} text=${run.id} label="Copy the id of the run" />`}>
      <${Actions} run=${run} reload=${reload} retry=${setPreset} />
    <//>
    <div class="hidden" role="status">${run.name} is ${run.state}</div>
    ${run.host_gone && html`<p class="note">The process that worked on it has died, and none has taken its place.</p>`}
    <${Card}><${Facts} of=${[
      ["Attempt", `${run.attempt}${run.round > 1 ? `, round ${run.round}` : ""}`],
      ["Results kept", `${kept} of ${count(calls.length, "call")}`],
      ["Made", html`<${Time} at=${run.created} />`],
      ["Began", run.began && html`<${Time} at=${run.began} />`],
      [isWorkedOn(run.state) ? "Takes so far" : "Took", html`<${Took} run=${run} />`],
      ["Goes on", run.due && !isOver(run.state) ? html`<${Time} at=${run.due} />` : null],
      ["Work queue", run.queue],
      ["Asked for otherwise", overrides.length ? overrides.map(([name, it]) => `${name.replaceAll("_", " ")} ${it}`).join(", ") : null],
    ]} /><//>
    <${WhyFailed} run=${run} component=${component} />
    <${Card} title="Timeline" side=${html`<span class="muted small">bars are attempts, dotted lines are waits; choose a call to see more</span>`}>
      <${Timeline} run=${run} open=${open} version=${version} chosen=${chosen} choose=${choose} />
      ${task && html`<${Call} key=${task.id} run=${run} task=${task} component=${component} close=${() => choose(undefined)} set=${set} retry=${setPreset} />`}
    <//>
    <${Tabs} label="More of the run" of=${TABS.filter(([id]) => id !== "children" || run.children?.length)} at=${tab} go=${(/** @type {string} */ id) => search({ tab: id === "logs" ? null : id })} />
    ${tab === "logs" && html`<${Logs} run=${run} still=${still} />`}
    ${tab === "values" && html`<div class="halves"><${Card} title="Parameters, as sent"><${Value} value=${run.parameters ?? {}} label="parameters" /><//>
      <${Card} title="Result">${run.result === undefined ? html`<p class="muted">${isOver(run.state) ? "It has none." : "It has none yet."}</p>` : html`<${Value} value=${run.result} label="result" />`}<//></div>`}
    ${tab === "history" && html`<${History} run=${run} />`}
    ${tab === "children" && html`<${Children} run=${run} />`}
    ${preset && html`<${Retry} run=${run} preset=${preset} close=${() => setPreset(undefined)} done=${(/** @type {import("../wire").Retried} */ it) => {
      setPreset(undefined);
      setFrom(it.last_event);
      void reload();
    }} />`}`;
}

/** @param {{ parts: string[] }} props */
export function Page({ parts: [id = ""] }) {
  const run = useLoad(id, (signal) => /** @type {Promise<Run>} */ (get(path("flow-runs", id), signal)));
  const name = run.data?.name;
  useEffect(() => {
    if (name) document.title = `${name} ${run.data?.state} · Retake`;
  }, [name, run.data?.state]);
  return html`<${Show} of=${run}>${(/** @type {Run} */ it) => html`<${Whole} run=${it} reload=${run.reload} set=${run.set} />`}<//>`;
}
