// @ts-check
// What happened to a run, and who did what.
import { html } from "../vendor/preact.js";
import { get, query } from "./api.js";
import { brief } from "./json.js";
import { useLoad } from "./load.js";
import { Card, Empty, WhatIsWrong } from "./notes.js";
import { refusal } from "./session.js";
import { clockMs, local, took } from "./time.js";
/** @import { AuditEntry, Obj, Page, Run } from "../wire" */
/** @import { ComponentChildren } from "../vendor/preact.js" */

/** @typedef {{ at: string, what: ComponentChildren, more?: ComponentChildren }} Step */

/** @param {Obj} details */
const told = (details) => Object.entries(details).map(([name, value]) => `${name} ${brief(value, 120)}`).join(" · ");

/** @param {Run} run @param {AuditEntry[]} audit @returns {Step[]} */
function steps(run, audit) {
  /** @type {Step[]} */
  const all = [{ at: run.created, what: "asked for", more: run.deployment ? `through ${run.deployment}` : "" }];
  for (const it of run.attempts ?? []) {
    all.push({ at: it.began, what: `attempt ${it.attempt} began` });
    all.push({ at: it.ended, what: it.failure ? html`attempt ${it.attempt} failed: <code>${it.failure.code}</code>` : `attempt ${it.attempt} succeeded`, more: `after ${took(it.took_ms)}${it.failure ? ": " + it.failure.message.slice(0, 300) : ""}` });
  }
  for (const it of run.events ?? []) all.push({ at: it.at, what: html`<b>${it.kind}</b>`, more: told(it.details) });
  for (const it of audit) all.push({ at: it.at, what: html`<b>${it.actor}</b> did <b>${it.action}</b>`, more: told(it.details) });
  return all.sort((a, b) => b.at.localeCompare(a.at));
}

/** @param {{ run: Run }} props */
export function History({ run }) {
  const may = !refusal("admin");
  const audit = useLoad(`${run.id}${run.state}${run.attempt}${run.events?.length}`, async (signal) =>
    may ? (await /** @type {Promise<Page<AuditEntry>>} */ (get("/audit" + query({ subject: run.id, limit: 100 }), signal))).items : []);
  const all = steps(run, audit.data ?? []);
  return html`<${Card}>
    ${!may && html`<p class="note">Who did what is shown to admins.</p>`}<${WhatIsWrong} wrong=${audit.wrong} />
    ${all.length === 0 ? html`<${Empty} title="Nothing has happened" />` : html`<ol class="history">${all.map((it) => html`<li>
      <time class="muted number" datetime=${it.at} title=${it.at}>${local(it.at).split(",")[0] === local(it.at) ? clockMs(it.at) : local(it.at)}</time>
      <div><p>${it.what}</p>${it.more && html`<p class="muted small">${it.more}</p>`}</div></li>`)}</ol>`}
  <//>`;
}
