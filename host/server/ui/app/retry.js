// @ts-check
// A manual retry: what it would do is shown, call by call, before it is done.
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { componentOf } from "./evidence.js";
import { Choice, Text } from "./field.js";
import { Icon } from "./icons.js";
import { useAct, useLoad } from "./load.js";
import { Loading, WhatIsWrong, say } from "./notes.js";
import { Parameters, startOf } from "./parameters.js";
import { PolicyFields, policyAsk } from "./policy-fields.js";
import { Time, count } from "./time.js";
/** @import { Component, Obj, Page, Plan, PlannedCall, Retried, Run } from "../wire" */
/** @import { Written } from "./parameters.js" */

const SHOWN = 300;
/** @typedef {{ from?: string, rerun?: string[] }} Preset */

/** @param {{ call: PlannedCall, many: boolean }} props */
function Fate({ call, many }) {
  const [icon, word] = { "fed-back": ["again", "Fed back"], "runs-again": ["play", "Runs again"] }[call.fate] ?? ["slash", "Gone"];
  const why = call.why.replace(/^(fed back|runs again: ?)/, "").trim();
  return html`<li class=${call.fate}><${Icon} name=${icon ?? ""} /><b>${word}</b>
    <span class="grow">${call.label ?? call.task}${many && html` <small class="muted">#${call.number}</small>`}</span><span class="muted">${why}</span></li>`;
}

/** @param {{ plan: Plan | undefined }} props */
function WhatRuns({ plan }) {
  if (!plan) return html`<${Loading} />`;
  const n = (/** @type {string} */ fate) => plan.calls.filter((it) => it.fate === fate).length;
  const [fed, again, gone] = [n("fed-back"), n("runs-again"), n("gone")];
  const parts = [fed > 0 && `${count(fed, "result")} fed back`, again > 0 && `${count(again, "call")} run${again === 1 ? "s" : ""} again`, gone > 0 && `${gone} not called any more`].filter(Boolean);
  const names = plan.calls.map((it) => it.label ?? it.task);
  const many = new Set(names).size < names.length;
  // What runs again is what people look for.
  const calls = plan.calls.length > SHOWN ? [...plan.calls].sort((a, b) => Number(a.fate === "fed-back") - Number(b.fate === "fed-back")) : plan.calls;
  return html`<p class="sum" aria-live="polite">Attempt ${plan.attempt} in a fresh sandbox: ${parts.length ? parts.join(", ") : "nothing is kept, everything runs"}.</p>
    ${plan.new_code && html`<p class="note">Other code runs: <code>${plan.component.slice(0, 12)}</code>. A call that it makes otherwise runs again.</p>`}
    ${plan.new_parameters && html`<p class="note">Other parameters: a call whose input changes with them runs again.</p>`}
    ${calls.length > 0 && html`<ol class="plan" tabindex="0" aria-label="Plan">${calls.slice(0, SHOWN).map((it) => html`<${Fate} key=${it.number} call=${it} many=${many} />`)}
      ${calls.length > SHOWN && html`<li class="muted">and ${calls.length - SHOWN} more</li>`}</ol>`}
    <p class="muted small">Calls that the flow has not made yet are not known; they run.</p>`;
}

/**
 * @param {{ run: Run, preset: Preset, close: () => void, done: (retried: Retried) => void }} props
 */
export function Retry({ run, preset, close, done }) {
  const completed = run.state === "Completed";
  const [what, setWhat] = useState(preset.from ? "from" : preset.rerun ? "rerun" : completed ? "all" : "failed");
  const [from, setFrom] = useState(preset.from ?? "");
  const [rerun, setRerun] = useState(preset.rerun ?? /** @type {string[]} */ ([]));
  const [version, setVersion] = useState("");
  const [policy, setPolicy] = useState(/** @type {Record<string, string>} */ ({}));
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const [plan, setPlan] = useState(/** @type {Plan | undefined} */ (undefined));
  const look = useAct();
  const doing = useAct();
  const component = useLoad(run.component, () => componentOf(run.component));
  const others = useLoad("components", (signal) => /** @type {Promise<Page<Component>>} */ (get("/components", signal)));
  const schema = component.data?.flows.find((it) => it.name === run.flow)?.parameters;
  const start = useMemo(() => startOf(schema ?? {}, run.parameters ?? {}), [schema]);

  const calls = (run.tasks ?? []).filter((it) => it.kind !== "sleep");
  const named = calls.map((it) => /** @type {[string, string]} */ ([String(it.number), `${it.number} · ${it.label ?? it.task} (${it.state})`]));
  const overrides = policyAsk(policy);
  const changed = written?.value ? changes(run.parameters ?? {}, written.value) : undefined;
  const body = {
    ...(what === "all" ? { all: true } : {}),
    ...(what === "from" && from ? { from } : {}),
    ...(what === "rerun" && rerun.length ? { rerun } : {}),
    ...(version ? { version } : {}),
    ...(changed ? { parameters: changed } : {}),
    ...(overrides.ask ? { policy: overrides.ask } : {}),
  };
  const key = JSON.stringify(body);
  useEffect(() => {
    let old = false;
    const timer = setTimeout(async () => {
      await look.act(async () => {
        const asked = /** @type {Retried} */ (await ask("POST", path("flow-runs", run.id, "retry"), { ...body, dry_run: true }));
        if (!old) setPlan(asked.plan);
      });
    }, plan ? 200 : 0);
    return () => {
      old = true;
      clearTimeout(timer);
    };
  }, [key]);
  const apply = () => doing.act(async () => {
    const retried = /** @type {Retried} */ (await ask("POST", path("flow-runs", run.id, "retry"), { ...body, expected_attempt: run.attempt }));
    say(`Attempt ${retried.plan.attempt} of ${run.name} begins`);
    done(retried);
  });
  const not = overrides.wrong ?? (written?.wrong ? "The parameters are not right yet." : what === "from" && !from ? "Choose a call first." : what === "rerun" && !rerun.length ? "Choose calls first." : !plan && "The plan is not there yet.");
  const tick = (/** @type {string} */ number) => setRerun(rerun.includes(number) ? rerun.filter((it) => it !== number) : [...rerun, number]);
  const versions = others.data?.items.filter((it) => it.name === component.data?.name && it.digest !== run.component) ?? [];
  return html`<${Dialog} title=${`Retry ${run.name}?`} close=${close} wide submit=${apply} actions=${html`
    <${Button} onClick=${close}>Leave it<//>
    <${Button} type="submit" kind="primary" icon="again" busy=${doing.busy} not=${not || (look.wrong && "The plan is refused.")}>Retry now<//>`}>
    <div class="retry"><div>
      <${Choice} legend="What runs again" value=${what} set=${setWhat} options=${[
        .../** @type {[string, string, string][]} */ (completed ? [] : [["failed", "What has not succeeded", "Everything that succeeded is fed back."]]),
        ["from", "From a call on", "Its result and those of all calls after it are forgotten."],
        ["rerun", "Chosen calls too"],
        ["all", "Everything", "No result is fed back."],
      ]} />
      ${what === "from" && html`<${Text} label="From" value=${from} set=${setFrom} options=${[["", "Choose a call"], ...named]} />`}
      ${what === "rerun" && html`<fieldset class="choice"><legend>Calls</legend><div class="plan">${named.slice(0, SHOWN).map(([number, title]) => html`<label class="check"><input type="checkbox" checked=${rerun.includes(number)} onChange=${() => tick(number)} /><span>${title}</span></label>`)}</div></fieldset>`}
      <${Text} label="Code" value=${version} set=${setVersion} options=${[["", `As it was: ${run.component.slice(0, 12)}`], ["latest", "The newest of the same name"],
        ...versions.map((it) => [it.digest, `${it.name} ${it.version}, ${it.digest.slice(0, 12)}`])]} />
      <details><summary>Change parameters</summary><div class="form">${schema ? html`<${Parameters} schema=${schema} start=${start} set=${setWritten} />` : html`<p class="muted">The component is gone.</p>`}</div></details>
      <details><summary>Another policy for this round</summary><${PolicyFields} value=${policy} set=${setPolicy} /></details>
    </div><div>
      <h3>What will happen</h3>
      <${WhatIsWrong} wrong=${look.wrong ?? doing.wrong} />
      ${!look.wrong && html`<${WhatRuns} plan=${plan} />`}
      ${run.ended && html`<p class="muted small">The last attempt ended <${Time} at=${run.ended} />.</p>`}
    </div></div>
  <//>`;
}

/** Only what differs is sent: the others stay as they are. @param {Obj} had @param {Obj} now @returns {Obj | undefined} */
function changes(had, now) {
  const differ = Object.entries(now).filter(([name, value]) => JSON.stringify(had[name]) !== JSON.stringify(value));
  return differ.length ? Object.fromEntries(differ) : undefined;
}
