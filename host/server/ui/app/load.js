// @ts-check
// What a page shows is loaded here, and again when the connection was lost meanwhile.
import { useCallback, useEffect, useRef, useState } from "../vendor/preact.js";
import { Failed, wrongOf } from "./api.js";
import { epoch } from "./connection.js";
/** @import { Wrong } from "../wire" */

/**
 * @template T
 * @typedef {{ data: T | undefined, wrong: Wrong | undefined, reload: () => Promise<void>, set: (data: T) => void }} Loaded
 */

/**
 * Loads something, and again whenever `key` changes. What was there stays until the new is there.
 * @template T
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<T>} fetcher
 * @returns {Loaded<T>}
 */
export function useLoad(key, fetcher) {
  const [state, setState] = useState(/** @type {{ key?: string, data?: T, wrong?: Wrong }} */ ({}));
  const running = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef(fetcher);
  latest.current = fetcher;
  const reload = useCallback(async () => {
    running.current?.abort();
    const mine = new AbortController();
    running.current = mine;
    try {
      const data = await latest.current(mine.signal);
      if (!mine.signal.aborted) setState({ key, data });
    } catch (error) {
      if (mine.signal.aborted) return;
      const unreachable = error instanceof Failed && error.status === 0;
      // What is shown is better than an error about the connection, of which the banner tells.
      setState((had) => ({ key, data: had.key === key && unreachable ? had.data : undefined, wrong: wrongOf(error) }));
    }
  }, [key]);
  const healed = epoch.value;
  useEffect(() => {
    void reload();
    return () => running.current?.abort();
  }, [reload, healed]);
  const set = useCallback((/** @type {T} */ data) => setState({ key, data }), [key]);
  return { data: state.key === key ? state.data : undefined, wrong: state.wrong, reload, set };
}

/**
 * Does something once at a time, and keeps what went wrong.
 * @returns {{ busy: boolean, wrong: Wrong | undefined, act: (what: () => Promise<unknown>) => Promise<boolean>, clear: () => void }}
 */
export function useAct() {
  const [state, setState] = useState(/** @type {{ busy: boolean, wrong?: Wrong }} */ ({ busy: false }));
  const busy = useRef(false);
  const act = useCallback(async (/** @type {() => Promise<unknown>} */ what) => {
    if (busy.current) return false;
    busy.current = true;
    setState({ busy: true });
    try {
      await what();
      setState({ busy: false });
      return true;
    } catch (error) {
      setState({ busy: false, wrong: wrongOf(error) });
      return false;
    } finally {
      busy.current = false;
    }
  }, []);
  const clear = useCallback(() => setState({ busy: false }), []);
  return { busy: state.busy, wrong: state.wrong, act, clear };
}

/**
 * Returns a function that calls `what` soon, however often it is called meanwhile, and leaves the longer a pause the
 * longer `what` takes: a busy server must not be asked without end.
 * @param {() => unknown} what
 * @param {number} pause Milliseconds.
 */
export function useCalmly(what, pause) {
  const latest = useRef(what);
  latest.current = what;
  const state = useRef({ timer: 0, wanted: false, running: false, over: false });
  useEffect(() => {
    state.current.over = false;
    return () => {
      state.current.over = true;
      clearTimeout(state.current.timer);
    };
  }, []);
  return useCallback(() => {
    const it = state.current;
    const run = async () => {
      it.timer = 0;
      it.wanted = false;
      it.running = true;
      const began = performance.now();
      await latest.current();
      it.running = false;
      if (it.wanted && !it.over) it.timer = window.setTimeout(run, Math.max(pause, 4 * (performance.now() - began)));
    };
    it.wanted = true;
    if (!it.timer && !it.running && !it.over) it.timer = window.setTimeout(run, pause);
  }, [pause]);
}
