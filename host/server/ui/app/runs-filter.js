// @ts-check
// Which runs are shown. The address says it.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, query } from "./api.js";
import { Button } from "./button.js";
import { Icon } from "./icons.js";
import { useLoad } from "./load.js";
import { asked, search } from "./route.js";
import { State } from "./state.js";
import { RUN_STATES } from "./state.js";
/** @import { Counts, Deployment, Flow, Page } from "../wire" */

export const RANGES = /** @type {Record<string, [title: string, ms: number]>} */ ({
  "1h": ["Last hour", 3_600_000], "24h": ["Last 24 hours", 86_400_000], "7d": ["Last 7 days", 7 * 86_400_000], "30d": ["Last 30 days", 30 * 86_400_000],
});
const NAMES = ["state", "flow", "deployment", "tag", "code", "text", "children"];

/** @typedef {{ state?: string, flow?: string, deployment?: string, tag?: string, code?: string, text?: string, children?: boolean, since?: string }} Filter */

/** Reads the filter from the address. @returns {Filter} */
export function filter() {
  /** @type {Record<string, unknown>} */
  const all = {};
  for (const name of NAMES) if (asked(name)) all[name] = name === "children" ? true : asked(name);
  const range = RANGES[asked("range")];
  if (range) all.since = new Date(Date.now() - range[1]).toISOString();
  return all;
}

/** What stands for the filter as long as it is the same, whatever the time. */
export const filterKey = () => query({ ...filter(), since: undefined, range: asked("range") });

/** @param {{ counts: Counts | undefined }} props */
export function States({ counts }) {
  const chosen = asked("state").split(",").filter(Boolean);
  const toggle = (/** @type {string} */ state) =>
    search({ state: (chosen.includes(state) ? chosen.filter((it) => it !== state) : [...chosen, state]).join(",") });
  const shown = RUN_STATES.filter((it) => counts?.total[it] || chosen.includes(it));
  return html`<div class="states" role="group" aria-label="States">
    ${shown.map((it) => html`<button type="button" key=${it} aria-pressed=${chosen.includes(it)} onClick=${() => toggle(it)}>
      <${State} state=${it} count=${(counts?.total[it] ?? 0).toLocaleString("en")} /></button>`)}
  </div>`;
}

/** @param {{ name: string, label: string, list?: string[] }} props */
function Typed({ name, label, list }) {
  const value = asked(name);
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const change = (/** @type {string} */ next) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => search({ [name]: next.trim() }), 250);
  };
  const isSearch = name === "text";
  return html`<div class=${isSearch ? "search" : "typed"}>${isSearch && html`<${Icon} name="search" />`}
    <input type=${isSearch ? "search" : "text"} aria-label=${label} placeholder=${isSearch ? label + "  /" : label} value=${text} list=${list && "list-" + name}
      autocomplete="off" spellcheck="false" onInput=${(/** @type {Event} */ event) => change(/** @type {HTMLInputElement} */ (event.currentTarget).value)} />
    ${list && html`<datalist id=${"list-" + name}>${list.map((it) => html`<option value=${it} />`)}</datalist>`}</div>`;
}

export function Filters() {
  const [more, setMore] = useState(NAMES.slice(1, 5).some((it) => asked(it)) || asked("children") !== "");
  const names = useLoad(more ? "names" : "", async (signal) => {
    if (!more) return { flows: [], deployments: [] };
    const [flows, deployments] = await Promise.all([
      /** @type {Promise<Page<Flow>>} */ (get("/flows", signal)), /** @type {Promise<Page<Deployment>>} */ (get("/deployments", signal)),
    ]);
    return { flows: flows.items.map((it) => it.name), deployments: deployments.items.map((it) => it.full_name) };
  });
  const set = [...NAMES, "range"].filter((it) => asked(it));
  const choose = (/** @type {Event} */ event) => search({ range: /** @type {HTMLSelectElement} */ (event.currentTarget).value });
  return html`<div class="filters" role="search" aria-label="Runs">
    <${Typed} name="text" label="Search name, flow or failure" />
    <select aria-label="Made when" value=${asked("range")} onChange=${choose}><option value="">Any time</option>
      ${Object.entries(RANGES).map(([key, [title]]) => html`<option value=${key} selected=${key === asked("range")}>${title}</option>`)}</select>
    <${Button} icon="down" expanded=${more} onClick=${() => setMore(!more)}>Filters<//>
    ${set.length > 0 && html`<${Button} kind="quiet" onClick=${() => search(Object.fromEntries(set.map((it) => [it, null])))}>Clear<//>`}
    ${more && html`<div class="more-filters">
      <${Typed} name="flow" label="Flow" list=${names.data?.flows ?? []} />
      <${Typed} name="deployment" label="Deployment" list=${names.data?.deployments ?? []} />
      <${Typed} name="tag" label="Tag" />
      <${Typed} name="code" label="Failure code, such as http.*" />
      <label class="check"><input type="checkbox" checked=${asked("children") !== ""}
        onChange=${(/** @type {Event} */ event) => search({ children: /** @type {HTMLInputElement} */ (event.currentTarget).checked ? "1" : null })} /><span>Child runs too</span></label>
    </div>`}
  </div>`;
}
