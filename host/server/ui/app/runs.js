// @ts-check
// All runs, the newest first.
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, path, query } from "./api.js";
import { Bulk } from "./bulk.js";
import { Button } from "./button.js";
import { FirstRun } from "./first-run.js";
import { Empty, Head, Loading, WhatIsWrong } from "./notes.js";
import { useLoad } from "./load.js";
import { asked, search } from "./route.js";
import { Chart } from "./runs-chart.js";
import { Filters, RANGES, States, filter, filterKey } from "./runs-filter.js";
import { useRuns, useUpToDate } from "./runs-list.js";
import { State, isWorkedOn } from "./state.js";
import { Time, count, now, took } from "./time.js";
import { useNarrow, useWindow } from "./windowed.js";
/** @import { Counts, Run } from "../wire" */

/** @param {Run} run */
export function whatHappened(run) {
  if (run.failure) return html`<span class="bad-text"><code>${run.failure.code}</code> ${run.failure.message.split("\n")[0]}</span>`;
  if (run.due && !isWorkedOn(run.state)) return html`<span class="muted">${run.attempt > 0 ? "goes on" : "begins"} <${Time} at=${run.due} /></span>`;
  return null;
}

/** @param {{ run: Run }} props */
export const Took = ({ run }) => html`<span class="number">${took(isWorkedOn(run.state) && run.began ? now.value - Date.parse(run.began) : run.took_ms)}</span>`;

/** @param {{ run: Run, at: number }} props */
const Row = ({ run, at }) => html`<tr role="row" aria-rowindex=${at + 2}>
  <td role="cell" class="c-state"><${State} state=${run.state} /></td>
  <td role="cell" class="c-run"><a href=${path("runs", run.id)}>${run.name}</a><span class="muted">${run.deployment ?? run.flow}</span></td>
  <td role="cell" class="c-what">${whatHappened(run)}</td>
  <td role="cell" class="c-attempt" title=${`Attempt ${run.attempt}, round ${run.round}`}>${run.attempt > 1 && html`<span class="muted">attempt</span> ${run.attempt}`}</td>
  <td role="cell" class="c-took"><${Took} run=${run} /></td>
  <td role="cell" class="c-made muted"><${Time} at=${run.created} /></td>
</tr>`;

/** @param {{ runs: Run[], next: string | undefined, loading: boolean, more: () => unknown }} props */
function Rows({ runs, next, loading, more }) {
  const body = useRef(/** @type {HTMLTableSectionElement | null} */ (null));
  const narrow = useNarrow();
  const height = narrow ? 92 : 52;
  const { first, last, above, below } = useWindow(body, runs.length, height);
  useEffect(() => {
    if (last >= runs.length - 20) more();
  }, [last, runs.length]);
  return html`<table class="runs" role="table" aria-label="Runs" aria-rowcount=${next ? -1 : runs.length + 1}>
      <thead role="rowgroup"><tr role="row">${["State", "Run", "What happened", "Attempt", "Took", "Made"].map((it) => html`<th role="columnheader" scope="col">${it}</th>`)}</tr></thead>
      <tbody role="rowgroup" ref=${body}>
        ${above > 0 && html`<tr class="room" aria-hidden="true" style=${{ height: above + "px" }}></tr>`}
        ${runs.slice(first, last).map((run, at) => html`<${Row} key=${run.id} run=${run} at=${first + at} />`)}
        ${below > 0 && html`<tr class="room" aria-hidden="true" style=${{ height: below + "px" }}></tr>`}
      </tbody>
    </table>
    <p class="under-list">${next ? html`<${Button} busy=${loading} onClick=${more}>Load older runs<//>` : html`<span class="muted">${count(runs.length, "run")}</span>`}</p>`;
}

export function Page() {
  const key = filterKey();
  const { list, refresh, more, patch } = useRuns(key);
  const [bulk, setBulk] = useState(/** @type {"retry" | "cancel" | null} */ (null));
  const counts = useLoad("counts" + key, (signal) => {
    const since = filter().since ?? new Date(Date.now() - 86_400_000).toISOString();
    return /** @type {Promise<Counts>} */ (get("/flow-runs/counts" + query({ ...filter(), state: undefined, since, buckets: 60 }), signal));
  });
  useUpToDate(refresh, counts.reload, patch);
  const nothing = list.runs.length === 0 && !list.loading;
  if (nothing && !list.wrong && key === "") return html`<${FirstRun} />`;
  return html`<${Head} title="Runs">
      <${Button} icon="again" need="operator" onClick=${() => setBulk("retry")}>Retry many…<//>
      <${Button} icon="slash" need="operator" onClick=${() => setBulk("cancel")}>Cancel many…<//>
      <a class="button primary" href="/flows">Run a flow</a>
    <//>
    <section class="overview" aria-label="Runs by state"><${Chart} counts=${counts.data} />
      <div><p class="over">${(RANGES[asked("range")] ?? ["Last 24 hours"])[0]}</p><${States} counts=${counts.data} /></div></section>
    <${Filters} />
    <${WhatIsWrong} wrong=${list.wrong} again=${refresh} />
    ${nothing && !list.wrong && html`<${Empty} title="No run is like that" icon="search"><p><${Button} onClick=${() => search({ state: null, flow: null, deployment: null, tag: null, code: null, text: null, range: null })}>Show all runs<//></p><//>`}
    ${list.runs.length > 0 ? html`<${Rows} runs=${list.runs} next=${list.next} loading=${list.loading} more=${more} />` : list.loading && html`<${Loading} />`}
    ${bulk && html`<${Bulk} what=${bulk} close=${() => { setBulk(null); void refresh(); void counts.reload(); }} />`}`;
}
