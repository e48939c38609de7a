// @ts-check
// All runs, the newest first.
import { html, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { Button, Card, Command, Empty, Head, Loading, WhatIsWrong } from "./kit.js";
import { count, hueOf, Icon, isWorkedOn, local, now, RUN_STATES, State, Time, took } from "./look.js";
import { asked, search, useCell, useLists, useLoad, useNarrow, useWindow } from "./page.js";
import { Bulk, filter, filterKey, NAMES, RANGES, useRuns, useUpToDate } from "./runs-list.js";
import { get, path, query } from "./server.js";
/** @import { Counts, Run } from "../wire" */

const HUES = ["good", "busy", "wait", "idle"];
const [WIDTH, UP, DOWN] = [600, 44, 20];

/** How many runs there were when: what failed hangs below the line, so that it is not told by its colour alone. @param {{ counts: Counts | undefined }} props */
const Chart = ({ counts }) => useMemo(() => {
  if (!counts) return html`<div class="chart"></div>`;
  const states = Object.entries(counts.states);
  const all = Array.from({ length: states[0]?.[1].length ?? 0 }, (_, at) => {
    /** @type {Record<string, number>} */
    const hues = { bad: 0 };
    for (const [state, n] of states) hues[hueOf(state)] = (hues[hueOf(state)] ?? 0) + (n[at] ?? 0);
    return { hues, words: states.filter(([, n]) => n[at]).map(([state, n]) => `${n[at]} ${state}`).join(", ") };
  });
  const most = Math.max(1, ...all.map((it) => Math.max(HUES.reduce((sum, hue) => sum + (it.hues[hue] ?? 0), 0), ((it.hues.bad ?? 0) * DOWN) / UP)));
  const step = WIDTH / Math.max(1, all.length);
  const from = Date.parse(counts.from);
  const told = Object.entries(counts.total).map(([state, n]) => `${n} ${state}`).join(", ") || "no runs";
  const high = (/** @type {number} */ n) => Math.max(1.5, (n / most) * UP);
  const bar = (/** @type {string} */ hue, /** @type {number} */ at, /** @type {number} */ y, /** @type {number} */ height) => html`<rect class=${hue} x=${at * step + 1} y=${y} width=${step - 2} height=${height} />`;
  return html`<figure class="chart"><svg viewBox=${`0 0 ${WIDTH} ${UP + DOWN + 2}`} preserveAspectRatio="none" role="img" aria-label=${`Since ${local(counts.from)}: ${told}`}>
    ${all.map((it, at) => {
      let y = UP;
      const bars = HUES.filter((hue) => it.hues[hue]).map((hue) => bar(hue, at, (y -= high(it.hues[hue] ?? 0)), high(it.hues[hue] ?? 0)));
      return html`<g><title>${`${local(from + at * counts.bucket_ms)}: ${it.words || "no runs"}`}</title><rect class="room" x=${at * step} y="0" width=${step} height=${UP + DOWN + 2} />
        ${bars}${it.hues.bad ? bar("bad", at, UP + 2, Math.min(DOWN, high(it.hues.bad))) : ""}</g>`;
    })}<rect class="line" x="0" y=${UP + 0.5} width=${WIDTH} height="1" /></svg>
    <figcaption><span>${local(counts.from)}</span><span>${counts.complete === false ? "the newest 100,000; " : ""}failed below the line</span><span>now</span></figcaption></figure>`;
}, [counts]);

/** @param {{ counts: Counts | undefined }} props */
function States({ counts }) {
  const chosen = asked("state").split(",").filter(Boolean);
  const toggle = (/** @type {string} */ state) => search({ state: (chosen.includes(state) ? chosen.filter((it) => it !== state) : [...chosen, state]).join() });
  return html`<div class="states" role="group" aria-label="States">${RUN_STATES.filter((it) => counts?.total[it] || chosen.includes(it)).map((it) =>
    html`<button type="button" key=${it} aria-pressed=${chosen.includes(it)} onClick=${() => toggle(it)}><${State} state=${it} count=${(counts?.total[it] ?? 0).toLocaleString("en")} /></button>`)}</div>`;
}

/** @param {{ name: string, label: string, list?: string[] }} props */
function Typed({ name, label, list }) {
  const value = asked(name);
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const change = (event) => {
    const next = event.currentTarget.value;
    setText(next);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => search({ [name]: next.trim() }), 250);
  };
  const isSearch = name === "text";
  return html`<div class=${isSearch ? "search" : ""}>${isSearch && html`<${Icon} name="search" />`}
    <input type=${isSearch ? "search" : "text"} aria-label=${label} placeholder=${label} value=${text} list=${list && "list-" + name} autocomplete="off" spellcheck=${false} onInput=${change} />
    ${list && html`<datalist id=${"list-" + name}>${list.map((it) => html`<option value=${it} />`)}</datalist>`}</div>`;
}

const clear = () => search(Object.fromEntries([...NAMES, "range"].map((it) => [it, null])));

function MoreFilters() {
  const [flows, deployments] = useLists("/flows", "/deployments").data ?? [[], []];
  return html`<div class="more-filters"><${Typed} name="flow" label="Flow" list=${flows?.map((it) => it.name)} /><${Typed} name="deployment" label="Deployment" list=${deployments?.map((it) => it.full_name)} />
    <${Typed} name="tag" label="Tag" /><${Typed} name="code" label="Failure code, such as http.*" />
    <label class="check"><input type="checkbox" checked=${asked("children")} onChange=${(event) => search({ children: event.currentTarget.checked ? "1" : null })} /><span>Child runs too</span></label></div>`;
}

function Filters() {
  const [more, setMore] = useState(["flow", "deployment", "tag", "code", "children"].some(asked));
  return html`<div class="filters" role="search" aria-label="Runs"><${Typed} name="text" label="Search name, flow or failure" />
    <select aria-label="Made when" value=${asked("range")} onChange=${(event) => search({ range: event.currentTarget.value })}><option value="">Any time</option>
      ${Object.entries(RANGES).map(([key, [title]]) => html`<option value=${key} selected=${key === asked("range")}>${title}</option>`)}</select>
    <${Button} icon="down" aria-expanded=${more} onClick=${() => setMore(!more)}>Filters<//>${[...NAMES, "range"].some(asked) && html`<${Button} kind="quiet" onClick=${clear}>Clear<//>`}
    ${more && html`<${MoreFilters} />`}</div>`;
}

/** @param {Run} run */
export function whatHappened(run) {
  if (run.failure) return html`<span class="bad-text"><code>${run.failure.code}</code> ${run.failure.message.split("\n")[0]}</span>`;
  if (run.waits_for) return html`<span class="muted">${run.waits_for}</span>`;
  return run.due && !isWorkedOn(run.state) && html`<span class="muted">${run.attempt > 0 ? "goes on" : "begins"} <${Time} at=${run.due} /></span>`;
}

/** @param {{ run: Run }} props */
export function Took({ run }) {
  const at = useCell(now);
  return html`<span class="number">${took(isWorkedOn(run.state) && run.began ? Math.max(0, at - Date.parse(run.began)) : run.took_ms)}</span>`;
}

/** Those that something is to be done to. @typedef {{ of: string[], set: (of: string[]) => void }} Ticked */

/** @param {{ of: Ticked, ids: string[], label: string }} props */
function Tick({ of, ids, label }) {
  const on = ids.every((it) => of.of.includes(it));
  const change = () => of.set([...of.of.filter((it) => !ids.includes(it)), ...(on ? [] : ids)].slice(-1000));
  return html`<label class="tick"><input type="checkbox" aria-label=${label} checked=${on} onChange=${change} /></label>`;
}

/** @param {{ run: Run, at: number, ticked: Ticked }} props */
const RunRow = ({ run, at, ticked }) => html`<tr role="row" aria-rowindex=${at + 2}>
  <td role="cell" class="c-state"><${Tick} of=${ticked} ids=${[run.id]} label=${"Tick " + run.name} /><${State} state=${run.state} /></td>
  <td role="cell" class="c-run"><a href=${path("runs", run.id)}>${run.name}</a><span class="muted">${run.deployment ?? run.flow}</span></td>
  <td role="cell" class="c-what">${whatHappened(run)}</td>
  <td role="cell" class="c-attempt" title=${`Attempt ${run.attempt}, round ${run.round}`}>${run.attempt > 1 && html`<span class="muted">attempt ${run.attempt}</span>`}</td>
  <td role="cell" class="c-took"><${Took} run=${run} /></td>
  <td role="cell" class="c-made muted"><${Time} at=${run.created} /></td></tr>`;

/** @param {{ runs: Run[], next: string | undefined, loading: boolean, more: () => unknown, ticked: Ticked }} props */
function Rows({ runs, next, loading, more, ticked }) {
  const body = useRef(null);
  const { first, last, above, below } = useWindow(body, runs.length, useNarrow() ? 92 : 52);
  useEffect(() => {
    if (last >= runs.length - 20) more();
  }, [last, runs.length]);
  const room = (/** @type {number} */ height) => height > 0 && html`<tr class="room" aria-hidden="true" style=${{ height: height + "px" }}></tr>`;
  return html`<table class="runs" role="table" aria-label="Runs" aria-rowcount=${next ? -1 : runs.length + 1}>
      <thead role="rowgroup"><tr role="row">${[html`<${Tick} of=${ticked} ids=${runs.slice(0, 1000).map((it) => it.id)} label="Tick all that are shown" />State`, "Run", "What happened", "Attempt", "Took", "Made"].map((it) => html`<th role="columnheader" scope="col">${it}</th>`)}</tr></thead>
      <tbody role="rowgroup" ref=${body}>${room(above)}${runs.slice(first, last).map((run, at) => html`<${RunRow} key=${run.id} run=${run} at=${first + at} ticked=${ticked} />`)}${room(below)}</tbody></table>
    <p class="under-list">${next ? html`<${Button} busy=${loading} onClick=${more}>Load older runs<//>` : html`<span class="muted">${count(runs.length, "run")}</span>`}</p>`;
}

/** What a new server shows: how to get to the first run. */
function FirstRun() {
  const known = useLists("/flows").data?.[0] ?? [];
  const done = known.length > 0;
  return html`<${Head} title="Runs" under="Nothing has run here yet." /><ol class="steps">
      <li class=${done ? "done" : ""}><div><h2>${done ? "A flow is here" : "Upload a flow"}</h2>${done ? html`<p class="muted">${known.slice(0, 5).map((it) => it.name).join(", ")}</p>`
        : html`<p>A flow is a <code>.wasm</code> component. Drop one on the upload page: it is looked into before anything is kept.</p><p><a class="button primary" href="/upload">Upload a component</a></p>`}</div></li>
      <li><div><h2>Run it</h2><p>Choose a flow, fill in its parameters, and start it.</p><p><a class=${done ? "button primary" : "button"} href="/flows">Choose a flow</a></p></div></li>
      <li><div><h2>See it fail, and retry it</h2><p>When a run has failed, its page says why. <b>Retry…</b> shows what is kept and what runs again before anything is done.</p></div></li></ol>
    <${Card} title="The same from a terminal">${[["A new project, with a flow in it:", "retake new hello && cd hello"], ["Build it, deploy it here as hello/dev, and again whenever a file changes:", "retake dev"],
      ["Run it, and stay until it has ended:", "retake run hello/dev -p name=Ann -w"], ["When it has failed:", "retake retry RUN -w"]].map(([what, command]) => html`<p class="muted">${what}</p><${Command} text=${command} />`)}<//>`;
}

export function Runs() {
  const key = filterKey();
  const { list, refresh, more, patch } = useRuns(key);
  const [bulk, setBulk] = useState("");
  const [of, set] = useState(/** @type {string[]} */ ([]));
  useEffect(() => set([]), [key]);
  const many = of.length ? `${of.length} ticked…` : "many…";
  const counts = useLoad("counts" + key, (signal) => {
    const since = filter().since ?? new Date(Date.now() - 86_400_000).toISOString();
    return get("/flow-runs/counts" + query({ ...filter(), state: undefined, since, buckets: 60 }), signal);
  });
  useUpToDate(refresh, counts.reload, patch);
  const nothing = !list.runs.length && !list.loading && !list.wrong;
  if (nothing && key === "") return html`<${FirstRun} />`;
  return html`<${Head} title="Runs"><${Button} icon="again" need="operator" onClick=${() => setBulk("retry")}>Retry ${many}<//><${Button} icon="slash" need="operator" onClick=${() => setBulk("cancel")}>Cancel ${many}<//>${of.length > 0 && html`<${Button} kind="quiet" onClick=${() => set([])}>Untick<//>`}
      <a class="button primary" href="/flows">Run a flow</a><//>
    <section class="overview" aria-label="Runs by state"><${Chart} counts=${counts.data} /><div><p class="over">${(RANGES[asked("range")] ?? ["Last 24 hours"])[0]}</p><${States} counts=${counts.data} /></div></section>
    <${Filters} /><${WhatIsWrong} wrong=${list.wrong} again=${refresh} />
    ${nothing && html`<${Empty} title="No run is like that" icon="search"><p><${Button} onClick=${clear}>Show all runs<//></p><//>`}
    ${list.runs.length ? html`<${Rows} runs=${list.runs} next=${list.next} loading=${list.loading} more=${more} ticked=${{ of, set }} />` : list.loading && html`<${Loading} />`}
    ${bulk && html`<${Bulk} what=${bulk} ticked=${of} close=${(done) => {
      setBulk("");
      if (done === true) set([]);
      void refresh();
      void counts.reload();
    }} />`}`;
}
