// @ts-check
// The same done to all runs that the filter finds, after a look at which they are.
import { html, useEffect, useState } from "../vendor/preact.js";
import { ask, path } from "./api.js";
import { Button } from "./button.js";
import { Dialog } from "./dialog.js";
import { Check } from "./field.js";
import { useAct } from "./load.js";
import { Empty, Loading, WhatIsWrong, say } from "./notes.js";
import { filter } from "./runs-filter.js";
import { RUN_STATES, State, isOver } from "./state.js";
import { count } from "./time.js";
/** @import { Bulk as Done } from "../wire" */

const SHOWN = 200;

/** @param {"retry" | "cancel"} what */
function chosen(what) {
  const found = filter();
  const state = what === "retry" ? "Failed,TimedOut,Crashed,Parked" : RUN_STATES.filter((it) => !isOver(it)).join(",");
  return { ...found, state: found.state ?? state };
}

/** @param {{ what: "retry" | "cancel", close: () => void }} props */
export function Bulk({ what, close }) {
  const [latest, setLatest] = useState(false);
  const [all, setAll] = useState(false);
  const [plan, setPlan] = useState(/** @type {Done | undefined} */ (undefined));
  const look = useAct();
  const doing = useAct();
  const isRetry = what === "retry";
  const send = (/** @type {boolean} */ dry_run) => /** @type {Promise<Done>} */ (ask("POST", `/flow-runs/bulk-${what}`, {
    filter: chosen(what), dry_run, ...(isRetry ? { all, ...(latest ? { version: "latest" } : {}) } : {}),
  }));
  useEffect(() => {
    setPlan(undefined);
    void look.act(async () => setPlan(await send(true)));
  }, [latest, all]);
  const apply = () => doing.act(async () => {
    const done = await send(false);
    say(`${count(done.runs.length, "run")} ${isRetry ? "retried" : "cancelled"}${done.refused.length ? `, ${done.refused.length} left as they are` : ""}`);
    close();
  });
  const runs = plan?.runs ?? [];
  const verb = isRetry ? "Retry" : "Cancel";
  return html`<${Dialog} title=${`${verb} many runs`} close=${close} wide submit=${apply} actions=${html`
    <${Button} onClick=${close}>Leave them<//>
    <${Button} type="submit" kind=${isRetry ? "primary" : "danger"} busy=${doing.busy} not=${runs.length === 0 && "No run is found."}>${verb} ${count(runs.length, "run")}<//>`}>
    <p class="muted">Of the runs that the filters of the page find, those that ${filter().state ? `are ${filter().state?.replaceAll(",", " or ")}` : isRetry ? "have failed" : "have not ended"}.
      ${isRetry ? "What each of them has achieved is kept and fed back." : "Their children are stopped too. What they have achieved is kept, and they can be retried."}</p>
    ${isRetry && html`<${Check} label="Run the newest code" hint="Otherwise each keeps the code that it has." checked=${latest} set=${setLatest} />
      <${Check} label="Forget all kept results" hint="Every task runs again." checked=${all} set=${setAll} />`}
    <${WhatIsWrong} wrong=${look.wrong ?? doing.wrong} />
    ${!plan && !look.wrong && html`<${Loading} />`}
    ${plan && runs.length === 0 && html`<${Empty} title="No run is found" icon="search" />`}
    ${plan?.more && html`<p class="note">These are the newest 1,000; there are more.</p>`}
    ${runs.length > 0 && html`<ul class="plan" tabindex="0" aria-label="Runs">${runs.slice(0, SHOWN).map((it) => html`<li key=${it.id}>
      <${State} state=${it.state} /><a href=${path("runs", it.id)} target="_blank">${it.name}</a><span class="muted">${it.deployment ?? it.flow}</span></li>`)}
      ${runs.length > SHOWN && html`<li class="muted">and ${runs.length - SHOWN} more</li>`}</ul>`}
    ${plan && plan.refused.length > 0 && html`<h3>Left as they are</h3><ul class="plan">${plan.refused.slice(0, SHOWN).map((it) => html`<li><a href=${path("runs", it.run)} target="_blank">${it.run}</a><span class="muted">${it.error.message}</span></li>`)}</ul>`}
  <//>`;
}
