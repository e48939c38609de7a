// @ts-check
// The processes that work on runs.
import { html, useEffect } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button } from "./button.js";
import { confirm } from "./dialog.js";
import { useLoad } from "./load.js";
import { Card, Empty, Facts, Head, Show, say } from "./notes.js";
import { Time } from "./time.js";
/** @import { Node, Page as Items } from "../wire" */

/** @param {{ title: string, of: { used: number, slots: number } }} props */
const Used = ({ title, of }) => html`<div class="meter"><div><span class="muted">${title}</span><b>${of.used.toLocaleString("en")} <span class="muted">of ${of.slots.toLocaleString("en")}</span></b></div>
  <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width=${of.slots ? Math.min(100, (of.used / of.slots) * 100) : 0} height="6" /></svg></div>`;

export function Page() {
  const all = useLoad("nodes", (signal) => /** @type {Promise<Items<Node>>} */ (get("/nodes", signal)));
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && all.reload(), 3000);
    return () => clearInterval(timer);
  }, [all.reload]);
  const drain = (/** @type {Node} */ it) => confirm({
    title: it.draining ? `Let ${it.name} go on?` : `Drain ${it.name}?`, yes: it.draining ? "Go on" : "Drain it", danger: !it.draining,
    what: it.draining ? "Runs begin there again." : "No run begins or goes on there from now on. What is worked on goes on to its end. It lasts until it is changed, or the process ends.",
    act: async () => {
      await ask("PATCH", path("nodes", it.name), { draining: !it.draining });
      say(it.draining ? `${it.name} goes on` : `${it.name} is drained`);
      await all.reload();
    },
  });
  return html`<${Head} title="Nodes" under="Processes that work on runs, and how much they work on at this moment." />
    <${Show} of=${all}>${(/** @type {Items<Node>} */ { items }) => items.length === 0 ? html`<${Empty} title="Nobody works on runs" icon="node" />` : items.map((it) => html`<${Card} key=${it.name}
      title=${html`${it.name} ${it.draining ? html`<span class="pill wait">draining</span>` : html`<span class="pill good">working</span>`}`} side=${html`<${Button} need="admin" onClick=${() => drain(it)}>${it.draining ? "Go on…" : "Drain…"}<//>`}>
      <div class="meters"><${Used} title="Flow runs" of=${it.flow_runs} /><${Used} title="Task attempts" of=${it.task_attempts} /></div>
      <${Facts} of=${[["Version", it.version], ["Works since", html`<${Time} at=${it.since} />`], ["Work queues", it.queues.join(", ") || "all"]]} /><//>`)}<//>`;
}
