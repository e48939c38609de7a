// @ts-check
// What code asks for, and how it differs from other code.
import { html } from "../vendor/preact.js";
import { Icon } from "./icons.js";
import { brief } from "./json.js";
import { Facts } from "./notes.js";
import { Table } from "./table.js";
import { size, took } from "./time.js";
/** @import { Capability, Change, Component, FlowInfo, Inspection, Json, TaskInfo } from "../wire" */

/** @param {Capability} it */
export function capability(it) {
  if ("http" in it) return `outbound HTTP to ${it.http}`;
  if ("dir" in it) return `the directory ${it.dir.name} (${it.dir.writable ? "read and write" : "read"})`;
  return "secret" in it ? `the secret ${it.secret}` : `the variable ${it.variable}`;
}

/** @param {{ of: FlowInfo | TaskInfo }} props */
export function Asks({ of }) {
  const none = of.capabilities.length === 0;
  return html`${none ? html`<p class="muted">It asks for nothing: no network, no files, no secrets.</p>`
    : html`<ul class="asks">${of.capabilities.map((it) => html`<li><${Icon} name="key" />${capability(it)}</li>`)}</ul>`}
    <${Facts} of=${[
      ["Memory", of.limits.memory_bytes ? size(of.limits.memory_bytes) : "64 MiB, the default"],
      ["Processor", of.limits.cpu_time ? took(of.limits.cpu_time) : "10 s, the default"],
      ["Timeout", of.limits.timeout ? took(of.limits.timeout) : "tags" in of ? "1 min, the default" : "none"],
      ["Printed lines", of.log_prints ? "are kept as log" : "are dropped"],
      ["Its result", of.persist_result === false ? "is not kept" : "is kept"],
    ]} />`;
}

/** What differs between two values, with the way to it. @param {Json} a @param {Json} b @param {string} at @returns {Change[]} */
function differ(a, b, at) {
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  const isObject = (/** @type {Json | undefined} */ it) => it !== null && typeof it === "object" && !Array.isArray(it);
  if (!isObject(a) || !isObject(b)) return [{ what: at, from: a, to: b }];
  const [had, has] = [/** @type {Record<string, Json>} */ (a), /** @type {Record<string, Json>} */ (b)];
  return [...new Set([...Object.keys(had), ...Object.keys(has)])].flatMap((name) => {
    const way = at ? `${at}.${name}` : name;
    if (!(name in had)) return [{ what: way, to: has[name] }];
    if (!(name in has)) return [{ what: way, from: had[name] }];
    return differ(had[name] ?? null, has[name] ?? null, way);
  });
}

/** @param {Component | Inspection} it @returns {Json} */
const described = ({ version, description, flows, tasks }) => JSON.parse(JSON.stringify({
  version, description,
  flow: Object.fromEntries(flows.map(({ name, ...rest }) => [name, rest])),
  task: Object.fromEntries(tasks.map(({ name, ...rest }) => [name, rest])),
}));

/** @param {Component} a @param {Component | Inspection} b */
export const differences = (a, b) => differ(described(a), described(b), "");

/** @param {{ of: Change[] }} props */
export const Changes = ({ of }) => of.length === 0 ? html`<p class="muted">Nothing differs.</p>` : html`<div class="changes"><${Table} label="Differences" rows=${of.slice(0, 200)} id=${(/** @type {Change} */ it) => it.what} columns=${[
  ["What", (/** @type {Change} */ it) => it.what],
  ["From", (/** @type {Change} */ it) => (it.from === undefined || it.from === null ? html`<span class="muted">nothing</span>` : html`<del>${brief(it.from, 300)}</del>`)],
  ["To", (/** @type {Change} */ it) => (it.to === undefined || it.to === null ? html`<span class="muted">nothing</span>` : html`<ins>${brief(it.to, 300)}</ins>`)],
]} /></div>`;
