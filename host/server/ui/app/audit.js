// @ts-check
// Who did what.
import { html, useState } from "../vendor/preact.js";
import { get, path, query } from "./api.js";
import { Button } from "./button.js";
import { Text } from "./field.js";
import { brief } from "./json.js";
import { useLoad } from "./load.js";
import { Empty, Head, Show } from "./notes.js";
import { asked, search } from "./route.js";
import { refusal } from "./session.js";
import { Table } from "./table.js";
import { Time } from "./time.js";
/** @import { AuditEntry, Page as Items } from "../wire" */

const isRun = (/** @type {string} */ subject) => subject.startsWith("run_");

export function Page() {
  const [before, setBefore] = useState("");
  const subject = asked("subject");
  const refused = refusal("admin");
  const all = useLoad("audit" + subject + before, (signal) => (refused ? Promise.resolve({ items: [] }) : /** @type {Promise<Items<AuditEntry>>} */ (get("/audit" + query({ subject, before, limit: 100 }), signal))));
  return html`<${Head} title="Audit" under="Who did what, the newest first. Kept for 400 days." />
    ${refused ? html`<${Empty} title="The audit is shown to admins" icon="audit"><p>${refused}</p><//>` : html`
    <div class="filters"><${Text} label="Only of" value=${subject} set=${(/** @type {string} */ it) => { setBefore(""); search({ subject: it }); }} placeholder="the id of a run, the name of a deployment" class="search" /></div>
    <${Show} of=${all}>${(/** @type {Items<AuditEntry>} */ { items, next }) => items.length === 0 ? html`<${Empty} title="Nothing was done" icon="audit" />` : html`<${Table} label="Audit" rows=${items} id=${(/** @type {AuditEntry} */ it) => it.at + it.action + it.subject} columns=${[
      ["When", (/** @type {AuditEntry} */ it) => html`<${Time} at=${it.at} />`, "fit"], ["Who", (/** @type {AuditEntry} */ it) => html`<b>${it.actor}</b>`], ["What", (/** @type {AuditEntry} */ it) => it.action],
      ["To", (/** @type {AuditEntry} */ it) => (isRun(it.subject) ? html`<a class="digest" href=${path("runs", it.subject)}>${it.subject}</a>` : it.subject.length > 40 ? html`<code title=${it.subject}>${it.subject.slice(0, 12)}</code>` : it.subject)],
      ["How", (/** @type {AuditEntry} */ it) => html`<code>${Object.keys(it.details).length ? brief(it.details, 160) : ""}</code>`],
    ]} />${next && html`<p class="under-list"><${Button} onClick=${() => setBefore(next)}>Older<//></p>`}${before && html`<p class="under-list"><${Button} kind="quiet" onClick=${() => setBefore("")}>The newest<//></p>`}`}<//>`}`;
}
