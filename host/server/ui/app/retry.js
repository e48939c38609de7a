// @ts-check
// A manual retry: what it would do is shown, call by call, before it is done.
import { html, useMemo, useState } from "../vendor/preact.js";
import { changes, Choice, Fields, Parameters, POLICY, read, Text } from "./forms.js";
import { Button, Dialog, Loading, say, WhatIsWrong } from "./kit.js";
import { count, Icon, titleOf } from "./look.js";
import { useAct, useAnswer, useLists } from "./page.js";
import { ask, path } from "./server.js";
/** @import { Component, Plan, PlannedCall, Retried, Run } from "../wire" */
/** @import { Written } from "./forms.js" */

/** Calls that are listed. */
const STEPS = 300;
/** @typedef {{ from?: string, rerun?: string[] }} Preset */

/** Every call of a plan, those of children that run again among them, each with how many runs are above it.
 * @param {PlannedCall[]} calls @param {number} [depth] @returns {{ call: PlannedCall, depth: number }[]} */
const inOrder = (calls, depth = 0) => calls.flatMap((call) => [{ call, depth }, ...inOrder(call.children ?? [], depth + 1)]);

/** @param {{ call: PlannedCall, many: boolean, depth: number }} props */
function Fate({ call, many, depth }) {
  const [icon, word] = { "fed-back": ["again", "Fed back"], "runs-again": ["play", "Runs again"] }[call.fate] ?? ["slash", "Gone"];
  return html`<li class=${call.fate} style=${{ paddingLeft: depth ? `${depth * 1.4 + 0.6}rem` : undefined }}><${Icon} name=${icon ?? ""} /><b>${word}</b>
    <span class="grow">${call.title || call.label || call.task}${many && html` <small class="muted">#${call.number}</small>`}</span><span class="muted">${call.why.replace(/^(fed back|runs again: ?)/, "")}</span></li>`;
}

/** @param {{ plan: Plan | undefined }} props */
function WhatRuns({ plan }) {
  if (!plan) return html`<${Loading} />`;
  const every = inOrder(plan.calls);
  const n = (/** @type {string} */ fate) => every.filter((it) => it.call.fate === fate).length;
  const [fed, again, gone] = [n("fed-back"), n("runs-again"), n("gone")];
  const parts = [fed && `${count(fed, "result")} fed back`, again && `${count(again, "call")} run${again === 1 ? "s" : ""} again`, gone && `${gone} not called any more`].filter(Boolean);
  const many = new Set(plan.calls.map((it) => it.label ?? it.task)).size < plan.calls.length;
  // What runs again is what people look for.
  const calls = every.length > STEPS ? [...every].sort((a, b) => Number(a.call.fate === "fed-back") - Number(b.call.fate === "fed-back")) : every;
  return html`<p class="sum" aria-live="polite">Attempt ${plan.attempt} in a fresh sandbox: ${parts.join(", ") || "nothing is kept, everything runs"}.</p>
    ${plan.new_code && html`<p class="note">Other code runs: <code>${plan.component.slice(0, 12)}</code>. A call that it makes otherwise runs again.</p>`}
    ${plan.new_parameters && html`<p class="note">Other parameters: a call whose input changes with them runs again.</p>`}
    ${calls.length > 0 && html`<ol class="plan" tabindex="0" aria-label="Plan">${calls.slice(0, STEPS).map(({ call, depth }, at) => html`<${Fate} key=${at} call=${call} depth=${depth} many=${many || depth > 0} />`)}
      ${calls.length > STEPS && html`<li class="muted">and ${calls.length - STEPS} more</li>`}</ol>`}
    <p class="muted small">Calls that the flow has not made yet are not known; they run.</p>`;
}

/** @param {{ run: Run, component?: Component, preset: Preset, close: () => void, done: (retried: Retried) => void }} props */
export function Retry({ run, component, preset, close, done }) {
  const completed = run.state === "Completed";
  const [what, setWhat] = useState(preset.from ? "from" : preset.rerun ? "rerun" : completed ? "all" : "failed");
  const [from, setFrom] = useState(preset.from ?? "");
  const [rerun, setRerun] = useState(preset.rerun ?? []);
  const [version, setVersion] = useState("");
  const [policy, setPolicy] = useState({});
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const doing = useAct();
  const others = /** @type {Component[]} */ (useLists("/components").data?.[0] ?? []);
  const schema = component?.flows.find((it) => it.name === run.flow)?.parameters;
  const start = useMemo(() => run.parameters ?? {}, [schema]);
  const named = (run.tasks ?? []).filter((it) => it.kind !== "sleep").map((it, _, all) => [String(it.number), `${it.number} · ${titleOf(it, all)} (${it.state})`]);
  const overrides = read(POLICY, policy);
  const [changed, unset] = [changes(start, written?.value ?? start), written?.value ? Object.keys(start).filter((name) => written.value?.[name] === undefined) : []];
  const body = {
    ...(what === "all" && { all: true }), ...(what === "from" && from && { from }), ...(what === "rerun" && rerun.length && { rerun }),
    ...(version && { version }), ...(changed && { parameters: changed }), ...(unset.length && { unset }), policy: overrides.values,
  };
  const at = path("flow-runs", run.id, "retry");
  // The plan is of exactly what would be sent, and of the run as it is: whoever else does something to it makes another.
  const look = useAnswer(JSON.stringify([body, run.attempt, run.state]), () => ask("POST", at, { ...body, dry_run: true }));
  /** @type {Plan | undefined} */
  const plan = look.data?.plan;
  const not = (written?.wrong ?? overrides.wrong) || (what === "from" && !from && "Choose a call first.") || (what === "rerun" && !rerun.length && "Choose calls first.")
    || (look.wrong && "The plan is refused.") || (!plan && "The plan is not there yet.");
  const apply = () => not || doing.act(async () => {
    // Somebody else may have been quicker than the plan.
    const retried = await ask("POST", at, { ...body, expected_attempt: (plan?.attempt ?? 1) - 1 });
    say(`Attempt ${retried.plan.attempt} of ${run.name} begins`);
    done(retried);
  });
  const tick = (number) => setRerun(rerun.includes(number) ? rerun.filter((it) => it !== number) : [...rerun, number]);
  const versions = others.filter((it) => it.name === component?.name && it.digest !== run.component);
  return html`<${Dialog} title=${`Retry ${run.name}?`} close=${close} wide submit=${apply} actions=${html`<${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" icon="again" need="operator" busy=${doing.busy} not=${not}>Retry now<//>`}>
    <div class="retry"><div class="happens"><h3>What will happen</h3><${WhatIsWrong} wrong=${look.wrong ?? doing.wrong} />${!look.wrong && html`<${WhatRuns} plan=${plan} />`}</div>
    <div><${Choice} legend="What runs again" value=${what} set=${setWhat} options=${[
        ...(completed ? [] : [["failed", "What has not succeeded", "Everything that succeeded is fed back."]]),
        ["from", "From a call on", "Its result and those of all calls after it are forgotten."], ["rerun", "Chosen calls too"], ["all", "Everything", "No result is fed back."],
      ]} />
      ${what === "from" && html`<${Text} label="From" value=${from} set=${setFrom} options=${[["", "Choose a call"], ...named]} />`}
      ${what === "rerun" && html`<fieldset><legend>Calls</legend><div class="plan">${named.slice(0, STEPS).map(([number, title]) => html`<label class="check"><input type="checkbox" checked=${rerun.includes(number ?? "")} onChange=${() => tick(number)} /><span>${title}</span></label>`)}</div></fieldset>`}
      <${Text} label="Code" value=${version} set=${setVersion} options=${[["", `As it was: ${run.component.slice(0, 12)}`], ["latest", "The newest of the same name"], ...versions.map((it) => [it.digest, `${it.name} ${it.version}, ${it.digest.slice(0, 12)}`])]} />
      <details><summary>Change parameters</summary>${schema ? html`<${Parameters} schema=${schema} start=${start} set=${setWritten} />` : html`<p class="muted">The component is gone.</p>`}</details>
      <details><summary>Another policy for this round</summary><${Fields} of=${POLICY} it=${policy} set=${setPolicy} /></details></div></div><//>`;
}
