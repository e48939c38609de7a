// @ts-check
// The runs that a filter finds, page by page, kept up to date while they are shown.
import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { get, query, wrongOf } from "./api.js";
import { epoch } from "./connection.js";
import { useCalmly } from "./load.js";
import { follow } from "./live.js";
import { filter } from "./runs-filter.js";
import { isOver } from "./state.js";
/** @import { Live, Page, Run, Wrong } from "../wire" */

const PAGE = 100;

/** @typedef {{ key: string, runs: Run[], next?: string, loading: boolean, wrong?: Wrong }} List */

/** @param {string} [before] @returns {Promise<Page<Run>>} */
const page = (before) => get("/flow-runs" + query({ ...filter(), limit: PAGE, before }));

/** @param {string} key */
export function useRuns(key) {
  const [list, setList] = useState(/** @type {List} */ ({ key: "", runs: [], loading: true }));
  const now = useRef(list);
  now.current = list;
  const asked = useRef(key);
  asked.current = key;

  const refresh = useCallback(async () => {
    try {
      const { items, next } = await page();
      if (asked.current !== key) return;
      setList((had) => {
        const oldest = items.at(-1)?.id ?? "";
        // What was loaded further down stays: ids sort by the time of making.
        const older = had.key === key && next ? had.runs.filter((it) => it.id < oldest) : [];
        return { key, runs: [...items, ...older], next: older.length > 0 ? had.next : next, loading: false };
      });
    } catch (error) {
      if (asked.current === key) setList((had) => ({ ...had, key, runs: had.key === key ? had.runs : [], loading: false, wrong: wrongOf(error) }));
    }
  }, [key]);

  const more = useCallback(async () => {
    const { next, loading } = now.current;
    if (!next || loading || now.current.key !== key) return;
    setList((had) => ({ ...had, loading: true }));
    now.current = { ...now.current, loading: true };
    try {
      const { items, next: after } = await page(next);
      if (asked.current !== key) return;
      setList((had) => ({ ...had, runs: [...had.runs, ...items], next: after, loading: false }));
    } catch (error) {
      setList((had) => ({ ...had, loading: false, wrong: wrongOf(error) }));
    }
  }, [key]);

  const healed = epoch.value;
  useEffect(() => void refresh(), [refresh, healed]);
  return { list: list.key === key ? list : { key, runs: [], loading: true }, refresh, more, patch: setList };
}

/** @typedef {(change: (had: List) => List) => void} Patch */

/** Keeps the list up to date. @param {() => unknown} refresh @param {() => unknown} recount @param {Patch} patch */
export function useUpToDate(refresh, recount, patch) {
  const soon = useCalmly(refresh, 500);
  const later = useCalmly(recount, 2000);
  useEffect(() => follow("/events/stream", {
    on: (all) => {
      /** @type {Map<string, Live>} */
      const changed = new Map();
      for (const { event, data } of all) {
        if (event === "resync") soon();
        // Lines and tasks are many, and change no row.
        if (!data.includes('"kind":"attempt-')) continue;
        const it = /** @type {Live} */ (JSON.parse(data));
        changed.set(it.run, it);
      }
      if (changed.size === 0) return;
      patch((had) => ({ ...had, runs: had.runs.map((it) => patched(it, changed.get(it.id))) }));
      soon();
      later();
    },
  }), []);
  useEffect(() => {
    // What becomes late, or is changed while nobody works on it, is not told of.
    const timer = setInterval(() => {
      if (document.hidden) return;
      soon();
      later();
    }, 15_000);
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
  const took = Date.parse(event.at) - Date.parse(run.began ?? event.at);
  return { ...run, state, failure: event.failure, due: event.due, ended: isOver(state) ? event.at : undefined, took_ms: took };
}
