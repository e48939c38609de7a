// @ts-check
// What pages have in common: the address, which is their state, what they load and do, and long lists.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { cell, epoch, Failed, get, wrongOf } from "./server.js";
/** @import { RefObject } from "../vendor/preact.js" */
/** @import { Wrong } from "../wire" */

/** @template T @param {{ value: T, watch: (watcher: () => void) => () => void }} it */
export function useCell(it) {
  const [, again] = useState({});
  useLayoutEffect(() => it.watch(() => again({})), [it]);
  return it.value;
}

export const place = cell(new URL(location.href));

/** @param {string} to @param {boolean} [replace] */
export function go(to, replace) {
  history[replace ? "replaceState" : "pushState"](null, "", to);
  const before = place.value;
  place.value = new URL(location.href);
  if (before.pathname === place.value.pathname) return;
  scrollTo(0, 0);
  // So that the keyboard and screen readers begin with the new page.
  document.getElementById("main")?.focus({ preventScroll: true });
}

/** Changes the query. @param {Record<string, string | null | undefined>} changes */
export function search(changes) {
  const url = new URL(place.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  go(url.pathname + url.search, true);
}

/** @param {string} name Of the query. */
export const asked = (name) => place.value.searchParams.get(name) ?? "";

addEventListener("popstate", () => (place.value = new URL(location.href)));

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin || link.hash) return;
  event.preventDefault();
  link.closest("dialog")?.close();
  go(link.pathname + link.search);
});

/** @template T @typedef {{ data: T | undefined, wrong: Wrong | undefined, reload: () => Promise<void>, set: (data: T) => void }} Loaded */

/**
 * Loads something, again whenever `key` changes, and when the connection is healed. What was there stays meanwhile.
 * @template T
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<T>} fetcher
 * @param {number} [every] Milliseconds after which it is loaded again.
 * @returns {Loaded<T>}
 */
export function useLoad(key, fetcher, every) {
  const [state, setState] = useState(/** @type {{ key?: string, data?: T, wrong?: Wrong }} */ ({}));
  const running = useRef(/** @type {AbortController | null} */ (null));
  const latest = useRef(fetcher);
  latest.current = fetcher;
  const reload = useCallback(async () => {
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    try {
      const data = await latest.current(signal);
      if (!signal.aborted) setState({ key, data });
    } catch (error) {
      if (signal.aborted) return;
      const unreachable = error instanceof Failed && error.status === 0;
      // What is shown is better than an error about the connection, of which the banner tells.
      setState((had) => ({ key, data: had.key === key && unreachable ? had.data : undefined, wrong: unreachable && had.data ? undefined : wrongOf(error) }));
    }
  }, [key]);
  const healed = useCell(epoch);
  useEffect(() => {
    void reload();
    const timer = every && setInterval(() => document.hidden || reload(), every);
    return () => {
      clearInterval(timer);
      running.current?.abort();
    };
  }, [reload, healed]);
  const set = useCallback((/** @type {T} */ data) => setState({ key, data }), [key]);
  return { data: state.key === key ? state.data : undefined, wrong: state.wrong, reload, set };
}

/** Loads whole lists side by side. @param {string[]} all @returns {Loaded<any[][]>} */
export const useLists = (...all) => useLoad(all.join(), (signal) => Promise.all(all.map(async (it) => (await get(it, signal)).items)));

/** Does something, once at a time, and keeps what went wrong. */
export function useAct() {
  const [state, setState] = useState(/** @type {{ busy: boolean, wrong?: Wrong }} */ ({ busy: false }));
  const busy = useRef(false);
  const act = useCallback(async (/** @type {() => unknown} */ what) => {
    if (busy.current) return false;
    setState({ busy: (busy.current = true) });
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
  return { ...state, act };
}

/**
 * Asks anew when `key` changes, and returns what is known of this very key: nothing while it is asked.
 * @template T
 * @param {string} key What the answer depends on.
 * @param {() => Promise<T>} ask
 * @returns {{ data?: T, wrong?: Wrong }}
 */
export function useAnswer(key, ask) {
  const [known, setKnown] = useState(/** @type {{ key?: string, data?: T, wrong?: Wrong }} */ ({}));
  useEffect(() => {
    let old = false;
    const timer = setTimeout(() => ask().then((data) => old || setKnown({ key, data }), (error) => old || setKnown({ key, wrong: wrongOf(error) })), known.key === undefined ? 0 : 200);
    return () => {
      old = true;
      clearTimeout(timer);
    };
  }, [key]);
  return known.key === key ? known : {};
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
  const it = useRef({ timer: 0, wanted: false, running: false, over: false }).current;
  useEffect(() => {
    it.over = false;
    return () => {
      it.over = true;
      clearTimeout(it.timer);
      it.timer = 0;
    };
  }, []);
  return useCallback(() => {
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

/** Rows that are there beyond what can be seen, so that scrolling shows no gap. */
const BEYOND = 12;

/**
 * Tells which rows of a long list can be seen: only they are in the document. All rows are equally high.
 * @param {RefObject<any>} list What the rows are in. It scrolls itself, or the page does.
 * @param {number} count
 * @param {number} height Of a row, in CSS pixels.
 * @param {boolean} [own] Whether the list scrolls itself.
 */
export function useWindow(list, count, height, own = false) {
  const [seen, setSeen] = useState({ first: 0, last: 60 });
  const look = useRef(() => {});
  look.current = () => {
    const it = list.current;
    if (!it) return;
    const above = own ? it.scrollTop : -it.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / height) - BEYOND);
    const last = Math.max(first, Math.ceil((above + (own ? it.clientHeight : innerHeight)) / height) + BEYOND);
    setSeen((had) => (had.first === first && had.last === last ? had : { first, last }));
  };
  useLayoutEffect(() => look.current(), [count, height]);
  useEffect(() => {
    let frame = 0;
    const soon = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        look.current();
      });
    };
    const scroller = own ? list.current : window;
    scroller?.addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      scroller?.removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, []);
  const last = Math.min(seen.last, count);
  const first = Math.min(seen.first, last);
  return { first, last, above: first * height, below: (count - last) * height };
}

/** Whether the window is narrow: rows are cards then, and higher. */
export function useNarrow() {
  const media = matchMedia("(max-width: 719px)");
  const [narrow, setNarrow] = useState(media.matches);
  useEffect(() => {
    const look = () => setNarrow(media.matches);
    media.addEventListener("change", look);
    return () => media.removeEventListener("change", look);
  }, []);
  return narrow;
}
