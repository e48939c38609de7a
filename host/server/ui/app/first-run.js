// @ts-check
// What a new server shows: how to get to the first run.
import { html } from "../vendor/preact.js";
import { get } from "./api.js";
import { Command } from "./button.js";
import { useLoad } from "./load.js";
import { Head } from "./notes.js";
/** @import { Flow, Page } from "../wire" */

export function FirstRun() {
  const flows = useLoad("flows", (signal) => /** @type {Promise<Page<Flow>>} */ (get("/flows", signal)));
  const known = flows.data?.items.length ?? 0;
  return html`<${Head} title="Runs" under="Nothing has run here yet." />
    <ol class="steps">
      <li class=${known ? "done" : ""}><div><h2>${known ? "A flow is here" : "Upload a flow"}</h2>
        ${known ? html`<p class="muted">${flows.data?.items.slice(0, 5).map((it) => it.name).join(", ")}</p>`
          : html`<p>A flow is a <code>.wasm</code> component. Drop one on the upload page; it is looked into before anything is kept.</p><p><a class="button primary" href="/upload">Upload a component</a></p>`}
      </div></li>
      <li><div><h2>Run it</h2><p>Choose a flow, fill in its parameters, and start it.</p><p><a class=${`button ${known ? "primary" : ""}`} href="/flows">Choose a flow</a></p></div></li>
      <li><div><h2>See it fail, and retry it</h2><p>When a run has failed, its page says why. <b>Retry…</b> shows what is kept and what runs again before it does anything.</p></div></li>
    </ol>
    <section class="card"><header><h2>The same from a terminal</h2></header>
      <p class="muted">A new project, with a flow in it:</p><${Command} text="retake new hello && cd hello" />
      <p class="muted">Build it, deploy it here as <code>hello/dev</code>, and again whenever a file changes:</p><${Command} text="retake dev" />
      <p class="muted">Run it, and stay until it has ended:</p><${Command} text="retake run hello/dev -p name=Ann -w" />
      <p class="muted">When it has failed:</p><${Command} text="retake retry RUN -w" />
    </section>`;
}
