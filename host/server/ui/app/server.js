// @ts-check
// Talks with the server: who is signed in, whether it answers, what is asked, what it tells live.
/** @import { Role, Session, Wrong } from "../wire" */

/**
 * A value that is watched.
 * @template T
 * @param {T} value
 */
export function cell(value) {
  /** @type {Set<(value: T) => void>} */
  const watchers = new Set();
  return {
    get value() {
      return value;
    },
    set value(it) {
      value = it;
      for (const watcher of [...watchers]) watcher(it);
    },
    /** @param {(value: T) => void} watcher */
    watch(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };
}

/** `undefined` until it is known, `null` when nobody is signed in. */
export const session = cell(/** @type {Session | null | undefined} */ (undefined));

const ROLES = ["viewer", "operator", "deployer", "admin"];

/** Returns why the role of this session may not do something, or nothing when it may. @param {Role | undefined} need */
export function refusal(need) {
  const has = session.value?.role ?? "viewer";
  if (!need || ROLES.indexOf(has) >= ROLES.indexOf(need)) return undefined;
  return `This needs the role ${need}; the token “${session.value?.name}” has the role ${has}.`;
}

/** When the server is asked next, while it does not answer. */
export const lostUntil = cell(/** @type {number | null} */ (null));
/** Counts how often the connection was healed: whoever shows something loads it again then. */
export const epoch = cell(0);
let tries = 0;
let timer = 0;

/** Tells that a request was not answered: the server is asked again, ever less often, until it answers. */
export function lost() {
  if (lostUntil.value === null) again();
}

function again() {
  const wait = Math.min(15_000, 1000 * 2 ** tries++);
  lostUntil.value = Date.now() + wait;
  timer = window.setTimeout(tryNow, wait);
}

export async function tryNow() {
  clearTimeout(timer);
  if (!(await answers())) return again();
  tries = 0;
  lostUntil.value = null;
  epoch.value++;
}

const answers = () => fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(5000) }).then((it) => it.ok, () => false);

// Pages without a stream would not notice otherwise.
setInterval(async () => {
  if (!document.hidden && lostUntil.value === null && !(await answers())) lost();
}, 10_000);

export class Failed extends Error {
  /** @param {Wrong} wrong @param {number} status */
  constructor(wrong, status) {
    super(wrong.message);
    this.wrong = wrong;
    this.status = status;
  }
}

/** @param {unknown} error @returns {Wrong} */
export function wrongOf(error) {
  if (error instanceof Failed) return error.wrong;
  return { code: "page", message: error instanceof Error ? error.message : String(error), hint: "It is a bug of this page: reload it." };
}

/** Names a place of the API, or a page: each part is escaped. @param {(string | number)[]} parts */
export const path = (...parts) => "/" + parts.map((it) => encodeURIComponent(it)).join("/");

/** The page of a deployment, by its full name. @param {string} name */
export const deploymentPath = (name) => path("deployments", ...name.split("/"));

/** @param {Record<string, unknown>} all What is left out, empty or false is not asked for. */
export function query(all) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(all)) if (value) asked.set(name, String(value));
  return asked.size ? "?" + asked : "";
}

const OURS = { "x-retake": "ui" };

/** Reads JSON so that a whole number keeps all of its digits: one that a `number` cannot hold is written again as it came.
 * @param {string} text @returns {any} */
export function exactly(text) {
  const raw = /** @type {{ rawJSON?: (text: string) => unknown }} */ (JSON).rawJSON;
  if (!raw) return JSON.parse(text);
  return JSON.parse(text, /** @type {any} */ ((_, value, /** @type {{ source?: string }} */ { source = "" } = {}) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? raw(source) : value));
}

function unreachable() {
  lost();
  return new Failed({ code: "unreachable", message: "The server does not answer.", hint: "It is asked again by itself." }, 0);
}

/** What the server answered. @param {number} status @param {string} text @returns {any} */
function answerOf(status, text) {
  let json = /** @type {any} */ (null);
  try {
    json = text ? exactly(text) : null;
  } catch {
    // Something between the server and us answered.
  }
  if (status >= 200 && status < 300) return json;
  if (status === 401 && session.value) session.value = null;
  throw new Failed(json?.error ?? { code: "odd", message: `The server answered ${status}.`, hint: "" }, status);
}

/**
 * @param {string} method
 * @param {string} at Below `/api/v1`.
 * @param {unknown} [json]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(method, at, json, signal) {
  const headers = { ...(method !== "GET" && OURS), ...(json !== undefined && { "content-type": "application/json" }) };
  let answer;
  try {
    answer = await fetch("/api/v1" + at, { method, headers, body: JSON.stringify(json), signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  return answerOf(answer.status, await answer.text());
}

/**
 * Sends a component, and tells how much of it has gone: `fetch` cannot.
 * @param {string} at Below `/api/v1`. @param {File} file @param {(share: number) => void} gone
 * @returns {Promise<any>}
 */
export const send = (at, file, gone) => new Promise((done, fail) => {
  const request = new XMLHttpRequest();
  request.open("POST", "/api/v1" + at);
  for (const [name, value] of Object.entries({ ...OURS, "content-type": "application/wasm" })) request.setRequestHeader(name, value);
  request.upload.onprogress = (it) => gone(it.loaded / it.total);
  request.onerror = () => fail(unreachable());
  request.onload = () => {
    try {
      done(answerOf(request.status, request.responseText));
    } catch (error) {
      fail(error);
    }
  };
  request.send(file);
});

/** @param {string} at @param {AbortSignal} [signal] */
export const get = (at, signal) => ask("GET", at, undefined, signal);

/** Longer silence than this is a dead connection: the server says something every 15 s. */
const SILENCE = 40_000;

/** @typedef {{ event: string, data: string, id: string }} Message */

/**
 * Follows server-sent events until it is closed, or they have said `end`. They are read with `fetch`, which unlike an
 * `EventSource` may say where to begin. It goes on where it was when the connection comes back, and rests while nobody
 * looks, because a browser opens six connections to a server at most.
 * @param {string} at Below `/api/v1`.
 * @param {{ from?: string, on: (all: Message[]) => void, ended?: () => void }} how `on` is called once a frame at most.
 * @returns {() => void} Closes it.
 */
export function follow(at, { from = "", on, ended }) {
  const closed = new AbortController();
  let last = from;
  /** @type {Message[]} */
  let waiting = [];
  let frame = 0;
  let failures = 0;
  const flush = () => {
    frame = 0;
    const all = waiting;
    waiting = [];
    if (!closed.signal.aborted && all.length) on(all);
  };
  const tell = (/** @type {Message} */ it) => {
    last = it.id || last;
    failures = 0;
    if (!it.event) return;
    waiting.push(it);
    frame ||= document.hidden ? window.setTimeout(flush, 100) : requestAnimationFrame(flush);
  };
  const until = (/** @type {(done: () => void) => () => void} */ watch) => new Promise((/** @type {(it?: unknown) => void} */ done) => {
    const stop = watch(() => {
      stop();
      done();
    });
    closed.signal.addEventListener("abort", done);
  });
  const shown = () => until((done) => {
    const look = () => document.hidden || done();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  });
  const run = async () => {
    while (!closed.signal.aborted && session.value) {
      if (document.hidden) await shown();
      const how = await once(at, last, closed.signal, tell);
      if (how === "end") {
        flush();
        return ended?.();
      }
      if (how === "gone") return;
      if (how === "lost") {
        // A server that ends closes its streams first.
        await new Promise((done) => setTimeout(done, Math.min(10_000, 300 * 2 ** failures++)));
        if (!(await answers())) lost();
      }
      if (lostUntil.value !== null) await until((done) => lostUntil.watch((it) => it === null && done()));
    }
  };
  void run();
  return () => closed.abort();
}

/**
 * @param {string} at @param {string} last @param {AbortSignal} closed @param {(message: Message) => void} on
 * @returns {Promise<"end" | "gone" | "lost" | "hidden">}
 */
async function once(at, last, closed, on) {
  const mine = new AbortController();
  const stop = () => mine.abort();
  const hide = () => document.hidden && stop();
  closed.addEventListener("abort", stop);
  document.addEventListener("visibilitychange", hide);
  let timer = window.setTimeout(stop, SILENCE);
  try {
    const headers = new Headers(last ? { "last-event-id": last } : {});
    const answer = await fetch("/api/v1" + at, { headers, signal: mine.signal, cache: "no-store" });
    if (!answer.ok || !answer.body) return answer.status === 429 || answer.status >= 500 ? "lost" : "gone";
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return "lost";
      clearTimeout(timer);
      timer = window.setTimeout(stop, SILENCE);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        const message = { event: "", data: "", id: "" };
        for (const [, name, text] of part.matchAll(/^(event|data|id): ?(.*)$/gm)) message[/** @type {keyof Message} */ (name)] = text ?? "";
        if (message.event === "end") return "end";
        on(message);
      }
    }
  } catch {
    return closed.aborted || document.hidden ? "hidden" : "lost";
  } finally {
    clearTimeout(timer);
    stop();
    closed.removeEventListener("abort", stop);
    document.removeEventListener("visibilitychange", hide);
  }
}
