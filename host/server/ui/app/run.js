// @ts-check
// One run: where it stands, why, and what can be done.
import { html, useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { Button, Card, confirm, Copy, Empty, Facts, Head, removes, say, shown, table, Tabs, Value, WhatIsWrong } from "./kit.js";
import { brief, clockMs, count, isOver, isStill, isWorkedOn, local, State, ticked, Time, titleOf, took } from "./look.js";
import { asked, go, search, useAct, useCalmly, useLoad } from "./page.js";
import { Retry } from "./retry.js";
import { Call, componentOf, Meters, OpenCall, Why } from "./run-call.js";
import { Logs } from "./run-logs.js";
import { Took, whatHappened } from "./runs.js";
import { ask, deploymentPath, follow, get, path, query, refusal } from "./server.js";
import { note, Timeline } from "./timeline.js";
/** @import { AuditEntry, Component, Live, Obj, Run } from "../wire" */
/** @import { Open } from "./timeline.js" */
/** @import { Preset } from "./retry.js" */

/** Follows a run, and tells what of it is open. @param {Run} run @param {() => Promise<void>} reload @param {string} from */
function useLive(run, reload, from) {
  const open = useRef(/** @type {Map<number, Open>} */ (new Map())).current;
  const [version, setVersion] = useState(0);
  const soon = useCalmly(reload, 250);
  const now = useRef(run);
  now.current = run;
  const still = isStill(run.state);
  useEffect(() => {
    const id = run.id;
    // Somebody else may retry a run that has ended: of that only the stream of all runs tells.
    return follow(still ? "/events/stream" : path("flow-runs", id, "events", "stream"), {
      from: still ? "" : from,
      ended: soon,
      on: (all) => {
        let mine = false;
        for (const { event, data } of all) {
          mine ||= event === "resync";
          if (!data.includes(id) || data.includes('"kind":"log"')) continue;
          const it = /** @type {Live} */ (JSON.parse(data));
          if (it.run !== id) continue;
          mine = true;
          note(open, it, now.current);
        }
        if (!mine) return;
        setVersion((it) => it + 1);
        soon();
      },
    });
  }, [still, from]);
  return { open, version };
}

/** @param {{ run: Run, component?: Component }} props */
function WhyItIsSo({ run, component }) {
  const explained = useLoad(`${run.state} ${run.attempt} ${run.round} ${run.events?.length}`, (signal) => get(path("flow-runs", run.id, "explanation"), signal)).data;
  const last = run.attempts?.at(-1);
  const failed = run.failure && !isWorkedOn(run.state);
  const limits = component?.flows.find((it) => it.name === run.flow)?.limits;
  return html`<${Card} class=${failed ? "failure" : ""} title=${!failed ? "Where it stands" : isStill(run.state) ? "Why it failed" : "Why the last attempt failed"}>
    ${failed && html`<${Why} failure=${run.failure} />${last && html`<${Meters} evidence=${last.evidence} took=${last.took_ms} limits=${limits} run=${run} />`}`}
    ${explained && html`<ul class="said-why">${explained.explained.filter((it) => !it.startsWith("The last attempt failed with")).slice(0, 12).map((it) => html`<li>${ticked(it)}</li>`)}</ul>
      <div class="row muted small">From a terminal: <code>${explained.hint}</code><${Copy} text=${explained.hint} label="Copy the command" /></div>`}<//>`;
}

/** @param {{ run: Run, reload: () => Promise<void>, retry: (preset: Preset) => void }} props */
function Actions({ run, reload, retry }) {
  const { busy, wrong, act } = useAct();
  const { name, state } = run;
  const over = isOver(state);
  const send = async (/** @type {string} */ what, /** @type {string} */ done) => {
    await ask("POST", path("flow-runs", run.id, what));
    say(done);
    await reload();
  };
  const button = (/** @type {string} */ text, /** @type {string} */ icon, /** @type {string} */ what, /** @type {string} */ done, kind = "") =>
    html`<${Button} kind=${kind} icon=${icon} need="operator" busy=${busy} onClick=${() => act(() => send(what, done))}>${text}<//>`;
  const cancel = () => confirm({
    title: `Cancel ${name}?`, yes: "Cancel the run", what: "It is stopped, and so are its children. What it has achieved is kept: it can be retried later.",
    act: () => send("cancel", `${name} is cancelled`),
  });
  const remove = () => confirm({
    title: `Remove ${name}?`, yes: "Remove it for good", what: "The run, the runs below it, and everything that is kept of them are removed. There is no way back.",
    act: removes(path("flow-runs", run.id), `${name} is removed`, () => go("/runs")),
  });
  return html`${["AwaitingRetry", "Scheduled", "Late"].includes(state) && button("Run now", "play", "run-now", `${name} begins now`)}
    ${state === "Paused" ? button("Resume", "play", "resume", `${name} goes on`, "primary") : !isStill(state) && button("Pause", "pause", "pause", `${name} is paused`)}
    ${!over && html`<${Button} icon="slash" need="operator" not=${state === "Cancelling" && "It is being cancelled."} onClick=${cancel}>Cancel…<//>`}
    ${over && html`<${Button} need="deployer" onClick=${remove}>Remove…<//>`}
    ${isStill(state) && html`<${Button} kind=${state === "Completed" ? "" : "primary"} icon="again" need="operator" onClick=${() => retry({})}>Retry…<//>`}<${WhatIsWrong} wrong=${wrong} />`;
}

/** @param {Obj} details */
const told = (details) => Object.entries(details).map(([name, value]) => `${name} ${brief(value, 120)}`).join(" · ");

/** What happened to a run, and who did what. @param {{ run: Run }} props */
function History({ run }) {
  const may = !refusal("admin");
  const audit = useLoad(`${run.state}${run.attempt}${run.events?.length}`, async (signal) => (may ? (await get("/audit" + query({ subject: run.id, limit: 100 }), signal)).items : []));
  const steps = /** @type {[at: string, what: unknown, more?: string][]} */ ([
    [run.created, "asked for", run.deployment && `through ${run.deployment}`],
    ...(run.attempts ?? []).flatMap((it) => [
      [it.began, `attempt ${it.attempt} began`],
      [it.ended, it.failure ? html`attempt ${it.attempt} failed: <code>${it.failure.code}</code>` : `attempt ${it.attempt} succeeded`, `after ${took(it.took_ms)}${it.failure ? ": " + it.failure.message.slice(0, 300) : ""}`],
    ]),
    ...(run.events ?? []).map((it) => [it.at, html`<b>${it.kind}</b>`, told(it.details)]),
    ...(audit.data ?? []).map((/** @type {AuditEntry} */ it) => [it.at, html`<b>${it.actor}</b> did <b>${it.action}</b>`, told(it.details)]),
  ]).sort((a, b) => b[0].localeCompare(a[0]));
  return html`<${Card}>${!may && html`<p class="note">Who did what is shown to admins.</p>`}<${WhatIsWrong} wrong=${audit.wrong} />
    <ol class="history">${steps.map(([at, what, more]) => html`<li><time class="muted number" datetime=${at} title=${at}>${local(at).length > 8 ? local(at) : clockMs(at)}</time>
      <div><p>${what}</p>${more && html`<p class="muted small">${more}</p>`}</div></li>`)}</ol><//>`;
}

/** @param {{ run: Run, reload: () => Promise<void>, set: (run: Run) => void }} props */
function Whole({ run, reload, set }) {
  const [from, setFrom] = useState("");
  const [preset, setPreset] = useState(/** @type {Preset | undefined} */ (undefined));
  const { open, version } = useLive(run, reload, from);
  const component = useLoad(run.component, () => componentOf(run.component)).data;
  const choose = useCallback((/** @type {number | undefined} */ id) => search({ call: id ? String(id) : null }), []);
  const chosen = Number(asked("call")) || undefined;
  const task = run.tasks?.find((it) => it.number === chosen);
  const running = task ? undefined : open.get(chosen ?? 0);
  const calls = (run.tasks ?? []).filter((it) => it.kind !== "sleep");
  const tab = asked("tab") || "logs";
  const still = isStill(run.state);
  const overrides = Object.entries({ ...run.overrides, ...run.overrides.this_round }).filter(([, it]) => typeof it === "number");
  const tabs = [["logs", "Logs"], ["values", "Parameters and result"], ["history", "History"], ...(run.children?.length ? [["children", "Child runs"]] : [])];
  useEffect(() => {
    document.title = `${run.name} ${run.state} · Retake`;
  }, [run.state]);
  return html`<${Head} title=${html`${run.name}<${State} state=${run.state} />`}
      under=${html`<a href=${path("flows", run.flow)}>${run.flow}</a>${run.deployment && html` · <a href=${deploymentPath(run.deployment)}>${run.deployment}</a>`} · ${" "}
        <a class="digest" href=${path("components", run.component)}>${run.component.slice(0, 12)}</a>${run.parent && html` · child of <a href=${path("runs", run.parent)}>another run</a>`}<${Copy} text=${run.id} label="Copy the id of the run" />`}>
      <${Actions} run=${run} reload=${reload} retry=${setPreset} /><//>
    <div class="hidden" role="status">${run.name} is ${run.state}</div>
    ${run.waits_for && html`<p class="note">It waits: ${run.waits_for}.</p>`}
    ${run.component_removed && html`<p class="note">The code that it ran was removed <${Time} at=${run.component_removed} />: choose other code to retry it with.</p>`}
    ${run.host_gone && html`<p class="note">The process that worked on it has died, and none has taken its place.</p>`}
    <${Card}><${Facts} of=${[
      ["Attempt", `${run.attempt}${run.round > 1 ? `, round ${run.round}` : ""}`],
      ["Results kept", `${calls.filter((it) => it.result_bytes).length.toLocaleString("en")} of ${count(calls.length, "call")}`],
      ["Made", html`<${Time} at=${run.created} />`], ["Began", run.began && html`<${Time} at=${run.began} />`],
      [isWorkedOn(run.state) ? "Takes so far" : "Took", html`<${Took} run=${run} />`], ["Goes on", !still && run.due && html`<${Time} at=${run.due} />`],
      ["Work queue", run.queue], ["Asked for otherwise", overrides.map(([name, it]) => `${name.replaceAll("_", " ")} ${it}`).join(", ")],
    ]} /><//>
    <${WhyItIsSo} run=${run} component=${component} />
    <${Card} title="Timeline" side=${html`<span class="muted small">Bars are attempts, dotted lines are waits. Choose a call to see more.</span>`}>
      <${Timeline} run=${run} open=${open} version=${version} chosen=${chosen} choose=${choose} />
      ${task && html`<${Call} key=${task.id} name=${titleOf(task, calls)} run=${run} task=${task} component=${component} active=${!still && "The run is active."} close=${() => choose(undefined)} set=${set} retry=${setPreset} />`}
      ${running && html`<${OpenCall} number=${chosen} call=${running} close=${() => choose(undefined)} />`}<//>
    <${Tabs} label="More of the run" of=${tabs} at=${tab} go=${(id) => search({ tab: id })} />
    ${tab === "logs" && html`<${Logs} run=${run} still=${still} />`}
    ${tab === "values" && html`<div class="halves"><${Card} title="Parameters, as sent"><${Value} value=${run.parameters ?? {}} label="parameters" /><//>
      <${Card} title="Result">${run.result === undefined ? html`<p class="muted">It has none${still ? "" : " yet"}.</p>` : html`<${Value} value=${run.result} label="result" />`}<//></div>`}
    ${tab === "history" && html`<${History} run=${run} />`}
    ${tab === "children" && (run.children?.length ? table("Child runs", run.children, [
      ["State", (it) => html`<${State} state=${it.state} />`, "fit"], ["Run", (it) => html`<a href=${path("runs", it.id)}>${it.name}</a>`], ["Flow", (it) => it.flow],
      ["What happened", whatHappened], ["Took", (it) => html`<${Took} run=${it} />`, "fit"],
    ]) : html`<${Empty} title="It has no child runs" icon="flows" />`)}
    ${preset && html`<${Retry} run=${run} component=${component} preset=${preset} close=${() => setPreset(undefined)} done=${(retried) => {
      setPreset(undefined);
      setFrom(retried.last_event);
      void reload();
    }} />`}`;
}

/** @param {{ parts: string[] }} props */
export function RunPage({ parts: [id = ""] }) {
  const run = useLoad(id, (signal) => get(path("flow-runs", id), signal));
  return shown(run, (it) => html`<${Whole} run=${it} reload=${run.reload} set=${run.set} />`);
}
