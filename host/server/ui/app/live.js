// @ts-check
// Server-sent events, read with `fetch`: unlike an `EventSource` it says why it ended, and where to begin.
import { lost, healed, lostUntil } from "./connection.js";
import { session } from "./session.js";

/** Longer silence than this is a dead connection: the server says something every 15 s. */
const SILENCE = 40_000;

/** @typedef {{ event: string, data: string, id: string }} Message */

/**
 * Follows a stream until it is closed, or has said `end`. It goes on where it was when the connection comes back, and
 * rests while nobody looks, because a browser opens six connections to a server at most.
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
  const flush = () => {
    frame = 0;
    const all = waiting;
    waiting = [];
    if (!closed.signal.aborted && all.length > 0) on(all);
  };
  const tell = (/** @type {Message} */ it) => {
    waiting.push(it);
    frame ||= document.hidden ? window.setTimeout(flush, 100) : requestAnimationFrame(flush);
  };
  const run = async () => {
    while (!closed.signal.aborted && session.value) {
      await shown(closed.signal);
      if (closed.signal.aborted) return;
      const how = await once(at, last, closed.signal, (message) => {
        last = message.id || last;
        if (message.event) tell(message);
      });
      if (how === "end") {
        flush();
        ended?.();
        return;
      }
      if (how === "gone") return;
      if (how === "lost") lost();
      // Also when it was closed in between: a server that ends closes its streams first.
      if (how !== "hidden") await new Promise((done) => setTimeout(done, 500));
      if (lostUntil.value !== null) await healed();
    }
  };
  void run();
  return () => closed.abort();
}

/** @param {AbortSignal} closed */
function shown(closed) {
  return new Promise((/** @type {(value?: unknown) => void} */ done) => {
    if (!document.hidden || closed.aborted) return done();
    const look = () => {
      if (document.hidden && !closed.aborted) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    closed.addEventListener("abort", look);
  });
}

/**
 * @param {string} at @param {string} last @param {AbortSignal} closed
 * @param {(message: Message) => void} on
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
        const message = parse(part);
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

/** @param {string} part */
function parse(part) {
  const message = { event: "", data: "", id: "" };
  for (const line of part.split("\n")) {
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (name === "event" || name === "id") message[name] = value;
    if (name === "data") message.data += (message.data ? "\n" : "") + value;
  }
  return message;
}
