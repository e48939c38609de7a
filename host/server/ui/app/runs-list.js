// @ts-check
// The runs that the filter in the address finds: page by page, kept up to date, and all at once.
import { html, useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { Check } from "./forms.js";
import { Button, Dialog, Empty, Loading, say, WhatIsWrong } from "./kit.js";
import { count, isOver, RUN_STATES, State } from "./look.js";
import { asked, useAct, useAnswer, useCalmly, useCell } from "./page.js";
import { ask, epoch, follow, get, path, query, wrongOf } from "./server.js";
/** @import { Bulk as Done, Live, Run, Wrong } from "../wire" */

/** @type {Record<string, [title: string, ms: number]>} */
export const RANGES = { "1h": ["Last hour", 3_600_000], "24h": ["Last 24 hours", 86_400_000], "7d": ["Last 7 days", 604_800_000], "30d": ["Last 30 days", 2_592_000_000] };
export const NAMES = ["state", "flow", "deployment", "tag", "code", "text", "children"];
const PAGE = 100;

/** Reads the filter from the address. @returns {Record<string, any>} */
export function filter() {
  /** @type {Record<string, any>} */
  const all = Object.fromEntries(NAMES.filter(asked).map((name) => [name, name === "children" || asked(name)]));
  const range = RANGES[asked("range")];
  return range ? { ...all, since: new Date(Date.now() - range[1]).toISOString() } : all;
}

/** What stands for the filter as long as it is the same, whatever the time. */
export const filterKey = () => query({ ...filter(), since: undefined, range: asked("range") });

/** @typedef {{ key: string, runs: Run[], next?: string, loading: boolean, wrong?: Wrong }} List */

const page = (before = "") => get("/flow-runs" + query({ ...filter(), limit: PAGE, before }));

/** @param {string} key */
export function useRuns(key) {
  const [list, setList] = useState(/** @type {List} */ ({ key: "", runs: [], loading: true }));
  const now = useRef(list);
  now.current = list;
  const wanted = useRef(key);
  wanted.current = key;
  const refresh = useCallback(async () => {
    try {
      const { items, next } = await page();
      if (wanted.current !== key) return;
      setList((had) => {
        const oldest = items.at(-1)?.id ?? "";
        // What was loaded further down stays: ids sort by the time of making.
        const older = had.key === key && next ? had.runs.filter((it) => it.id < oldest) : [];
        return { key, runs: [...items, ...older], next: older.length > 0 ? had.next : next, loading: false };
      });
    } catch (error) {
      if (wanted.current === key) setList((had) => ({ key, runs: had.key === key ? had.runs : [], loading: false, wrong: wrongOf(error) }));
    }
  }, [key]);
  const more = useCallback(async () => {
    const { next, loading, key: shown } = now.current;
    if (!next || loading || shown !== key) return;
    now.current = { ...now.current, loading: true };
    setList(now.current);
    try {
      const { items, next: after } = await page(next);
      if (wanted.current === key) setList((had) => ({ ...had, runs: [...had.runs, ...items], next: after, loading: false }));
    } catch (error) {
      setList((had) => ({ ...had, loading: false, wrong: wrongOf(error) }));
    }
  }, [key]);
  const healed = useCell(epoch);
  useEffect(() => void refresh(), [refresh, healed]);
  return { list: list.key === key ? list : { key, runs: [], loading: true }, refresh, more, patch: setList };
}

/** Keeps the list up to date. @param {() => unknown} refresh @param {() => unknown} recount @param {(change: (had: List) => List) => void} patch */
export function useUpToDate(refresh, recount, patch) {
  const soon = useCalmly(refresh, 500);
  const later = useCalmly(recount, 2000);
  const both = () => {
    soon();
    later();
  };
  useEffect(() => follow("/events/stream", {
    on: (all) => {
      /** @type {Map<string, Live>} */
      const changed = new Map();
      for (const { event, data } of all) {
        if (event === "resync") both();
        if (data.includes('"kind":"changed"')) both();
        // Lines and tasks are many, and change no row.
        if (!data.includes('"kind":"attempt-')) continue;
        const it = /** @type {Live} */ (JSON.parse(data));
        changed.set(it.run, it);
      }
      if (!changed.size) return;
      patch((had) => ({ ...had, runs: had.runs.map((it) => patched(it, changed.get(it.id))) }));
      both();
    },
  }), []);
  useEffect(() => {
    // What becomes late is not told of.
    const timer = setInterval(() => document.hidden || both(), 15_000);
    return () => clearInterval(timer);
  }, []);
}

/** @param {Run} run @param {Live | undefined} event @returns {Run} */
function patched(run, event) {
  if (!event) return run;
  if (event.kind === "attempt-began") {
    const attempt = event.attempt ?? run.attempt;
    return { ...run, state: attempt > 1 ? "Retrying" : "Running", attempt, began: event.at, ended: undefined, took_ms: undefined, failure: undefined };
  }
  const state = event.state ?? run.state;
  return { ...run, state, failure: event.failure, due: event.due, ended: isOver(state) ? event.at : undefined, took_ms: Date.parse(event.at) - Date.parse(run.began ?? event.at) };
}

/** The same done to the runs that are ticked, or to all that the filter finds, after a look at which they are. @param {{ what: "retry" | "cancel", ticked: string[], close: (done?: boolean) => void }} props */
export function Bulk({ what, ticked, close }) {
  const [latest, setLatest] = useState(false);
  const [all, setAll] = useState(false);
  const doing = useAct();
  const isRetry = what === "retry";
  const found = filter();
  const unlessSaid = isRetry ? "Failed,TimedOut,Crashed,Parked" : RUN_STATES.filter((it) => !isOver(it)).join();
  const send = (/** @type {object} */ which, /** @type {boolean} */ dry_run) => ask("POST", "/flow-runs/bulk-" + what, { ...which, dry_run, ...(isRetry && { all, ...(latest && { version: "latest" }) }) });
  const { data: plan, wrong } = useAnswer(JSON.stringify([latest, all]), () => /** @type {Promise<Done>} */ (send(ticked.length ? { runs: ticked } : { filter: { ...found, state: found.state ?? unlessSaid } }, true)));
  const apply = () => plan && doing.act(async () => {
    // Those that were shown, and not whatever else the filter finds by now.
    const done = await send({ runs: plan.runs.map((it) => it.id) }, false);
    say(`${count(done.runs.length, "run")} ${isRetry ? "retried" : "cancelled"}${done.refused.length ? `, ${done.refused.length} left as they are` : ""}`);
    close(true);
  });
  const runs = plan?.runs ?? [];
  const verb = isRetry ? "Retry" : "Cancel";
  return html`<${Dialog} title=${verb + " many runs"} close=${close} wide submit=${runs.length && apply} actions=${html`<${Button} onClick=${close}>Leave them<//>
    <${Button} type="submit" kind=${isRetry ? "primary" : "danger"} busy=${doing.busy} not=${!runs.length && "No run is found."}>${verb} ${count(runs.length, "run")}<//>`}>
    <p class="muted">${ticked.length ? "The runs that are ticked." : html`Of the runs that the filters of the page find, those that ${found.state ? `are ${found.state.replaceAll(",", " or ")}` : isRetry ? "have failed" : "have not ended"}.`}
      What each of them has achieved is kept${isRetry ? ", and fed back." : "; they can be retried later. Their children are stopped too."}</p>
    ${isRetry && html`<${Check} label="Run the newest code" hint="Otherwise each keeps the code that it has." checked=${latest} set=${setLatest} />
      <${Check} label="Forget all kept results" hint="Every task runs again." checked=${all} set=${setAll} />`}
    <${WhatIsWrong} wrong=${wrong ?? doing.wrong} />
    ${!plan && !wrong && html`<${Loading} />`}${plan && !runs.length && html`<${Empty} title="No run is found" icon="search" />`}
    ${plan?.more && html`<p class="note">These are the newest 1,000; there are more.</p>`}
    ${runs.length > 0 && html`<ul class="plan" tabindex="0" aria-label="Runs">${runs.slice(0, 200).map((it) => html`<li key=${it.id}><${State} state=${it.state} /><a href=${path("runs", it.id)} target="_blank">${it.name}</a><span class="muted">${it.deployment ?? it.flow}</span></li>`)}
      ${runs.length > 200 && html`<li class="muted">and ${runs.length - 200} more</li>`}</ul>`}
    ${plan?.refused.length ? html`<h3>Left as they are</h3><ul class="plan">${plan.refused.slice(0, 200).map((it) => html`<li><a href=${path("runs", it.run)} target="_blank">${it.run}</a><span class="muted">${it.error.message}</span></li>`)}</ul>` : ""}
  <//>`;
}
