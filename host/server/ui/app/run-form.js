// @ts-check
// Starting a run: of a deployment, or of a flow without one.
import { html, useMemo, useState } from "../vendor/preact.js";
import { ask, path } from "./api.js";
import { Button } from "./button.js";
import { Text } from "./field.js";
import { useAct } from "./load.js";
import { WhatIsWrong, say } from "./notes.js";
import { Parameters, startOf } from "./parameters.js";
import { PolicyFields, policyAsk } from "./policy-fields.js";
import { go } from "./route.js";
import { length } from "./time.js";
/** @import { Deployment, FlowInfo, Obj, Run } from "../wire" */
/** @import { Written } from "./parameters.js" */

/** @param {{ flow: FlowInfo, component?: string, deployments: Deployment[], deployment?: string }} props */
export function RunForm({ flow, component, deployments, deployment: given }) {
  const [name, setName] = useState(given ?? deployments[0]?.full_name ?? "");
  const [written, setWritten] = useState(/** @type {Written | undefined} */ (undefined));
  const [wait, setWait] = useState("");
  const [policy, setPolicy] = useState(/** @type {Record<string, string>} */ ({}));
  const { busy, wrong, act } = useAct();
  const deployment = deployments.find((it) => it.full_name === name);
  const start = useMemo(() => startOf(flow.parameters, /** @type {Obj} */ (deployment?.parameters ?? {})), [name, flow]);
  const later = length(wait);
  const overrides = policyAsk(policy);
  const badWait = Number.isNaN(later) ? "Say it as 30 s, 5 min or 1 h." : undefined;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (written?.value && !badWait && !overrides.wrong) void act(async () => {
      const of = deployment ? { deployment: deployment.full_name } : { flow: flow.name, ...(component ? { component } : {}) };
      const run = /** @type {Run} */ (await ask("POST", "/flow-runs", {
        ...of, parameters: written.value, ...(later ? { in_ms: later } : {}), ...(overrides.ask ? { policy: overrides.ask } : {}),
      }));
      say(`Run ${run.name} is made`);
      go(path("runs", run.id));
    });
  };
  return html`<form class="form" onSubmit=${submit} novalidate>
    ${!given && html`<${Text} label="Through" value=${name} set=${setName} hint=${deployment ? `On the work queue ${deployment.queue}.` : "Without a deployment: on the queue default, with no grants."}
      options=${[...deployments.map((it) => /** @type {[string, string]} */ ([it.full_name, `Deployment ${it.full_name}`])), ["", "No deployment"]]} />`}
    <${Parameters} key=${name} schema=${flow.parameters} start=${start} set=${setWritten} />
    <details><summary>Later, or with another policy</summary><div class="form"><${Text} label="Begin in" value=${wait} set=${setWait} wrong=${badWait} placeholder="at once" hint="Such as 30 s, 5 min or 1 h." />
      <${PolicyFields} value=${policy} set=${setPolicy} /></div></details>
    <${WhatIsWrong} wrong=${wrong} />
    <div class="row"><${Button} kind="primary" type="submit" icon="play" need="operator" busy=${busy} not=${written?.wrong ?? badWait ?? overrides.wrong ?? false}>Run<//>
      ${written?.wrong && html`<span class="muted small" role="status">${written.wrong}</span>`}</div>
  </form>`;
}
