// @ts-check
// Uploading: a file is looked into before anything is kept.
import { html, useRef, useState } from "../vendor/preact.js";
import { ask, get, path } from "./api.js";
import { Button, Command } from "./button.js";
import { Against, Inside } from "./component.js";
import { Deploy } from "./deploy.js";
import { Icon } from "./icons.js";
import { useAct, useLoad } from "./load.js";
import { Card, Facts, Head, WhatIsWrong, say } from "./notes.js";
import { go } from "./route.js";
import { refusal } from "./session.js";
import { size } from "./time.js";
/** @import { Component, Inspection, Page as Items } from "../wire" */

export function Page() {
  const [file, setFile] = useState(/** @type {File | undefined} */ (undefined));
  const [found, setFound] = useState(/** @type {Inspection | undefined} */ (undefined));
  const [over, setOver] = useState(false);
  const kept = useRef("");
  const inspecting = useAct();
  const keeping = useAct();
  const known = useLoad("components", (signal) => /** @type {Promise<Items<Component>>} */ (get("/components", signal)));
  const refused = refusal("deployer");

  const take = (/** @type {File | undefined} */ it) => {
    if (!it || refused) return;
    setFile(it);
    setFound(undefined);
    void inspecting.act(async () => setFound(/** @type {Inspection} */ (await ask("POST", "/components?dry_run=true", it))));
  };
  const keep = async () => {
    if (!found || kept.current === found.digest) return;
    await ask("POST", "/components", file);
    kept.current = found.digest;
  };
  const onlyKeep = () => keeping.act(async () => {
    await keep();
    say(`${found?.name} is uploaded`);
    go(path("components", found?.digest ?? ""));
  });
  const dropped = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer?.files[0]);
  };
  const had = known.data?.items.find((it) => it.digest === found?.digest);
  return html`<${Head} title="Upload" under="A component is one .wasm file with flows and their tasks. It is looked into before anything is kept." />
    <div class=${`drop ${over ? "over-it" : ""}`} onDragOver=${(/** @type {DragEvent} */ event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
      <${Icon} name="upload" /><h2>${file ? file.name : "Drop a .wasm file here"}</h2>
      ${refused ? html`<p class="note">${refused}</p>` : html`<label class="button ${file ? "" : "primary"}">${file ? "Choose another" : "Choose a file"}<input type="file" accept=".wasm,application/wasm"
        onChange=${(/** @type {Event} */ event) => take(/** @type {HTMLInputElement} */ (event.currentTarget).files?.[0])} /></label>`}
      ${file && html`<p class="muted" role="status">${inspecting.busy ? "Looking into it…" : found ? `${size(found.bytes)}, looked into: nothing is kept yet` : ""}</p>`}
    </div>
    <${WhatIsWrong} wrong=${inspecting.wrong} />
    ${!file && html`<${Card} title="From a terminal"><p class="muted">A new project, in Rust or Python:</p><${Command} text="retake new hello --lang python" /><p class="muted">Build it, and deploy it here:</p><${Command} text="retake deploy hello -n dev" /><//>`}
    ${found && html`<${Card} title=${`${found.name} ${found.version}`} side=${html`<${Button} need="deployer" busy=${keeping.busy} onClick=${onlyKeep}>Only upload<//>`}>
        <p>${found.description}</p>
        ${had && html`<p class="note">This very component is here already. To upload it again makes it the newest of its name.</p>`}
        <${Facts} of=${[["Digest", html`<code>${found.digest.slice(0, 24)}…</code>`], ["Size", size(found.bytes)],
          ["Imports", html`<details class="plain"><summary>${found.imports.length} interfaces, all offered by this host</summary><ul>${found.imports.map((it) => html`<li><code>${it}</code></li>`)}</ul></details>`]]} />
        <${WhatIsWrong} wrong=${keeping.wrong} />
      <//>
      <div class="aside"><div>${known.data && html`<${Against} all=${known.data.items} of=${found} />`}<${Inside} of=${found} /></div>
        <${Card} title="Upload and deploy"><${Deploy} key=${found.digest} component=${found} keep=${keep} /><//></div>`}`;
}
