// @ts-check
// How small things look: pictures, states, times, sizes, JSON.
import { html } from "../vendor/preact.js";
import { useCell } from "./page.js";
import { cell } from "./server.js";
/** @import { Json } from "../wire" */

const RING = "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8";
/** Drawn as lines in the colour of the text beside them. @type {Record<string, string>} */
const PICTURES = {
  check: RING + "M5.2 8.2l2 2 3.8-4.2",
  cross: RING + "M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  bolt: "M8.8 1.8 3.6 9h3.6l-.8 5.2L12 6.8H8.2z",
  timeout: "M8 3.2a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 6v3M6.4 1.4h3.2M12.2 3.4l1 1",
  slash: RING + "M3.8 12.2l8.4-8.4",
  play: RING + "M6.6 5.4v5.2L10.8 8z",
  again: "M13 5.4A5.7 5.7 0 1 0 13.7 8M13.6 2.2v3.4h-3.4",
  clock: RING + "M8 4.6V8l2.4 1.6",
  late: RING + "M8 4.6v4M8 11v.2",
  moon: "M13.4 9.6A5.8 5.8 0 1 1 6.4 2.6a4.6 4.6 0 0 0 7 7z",
  pause: RING + "M6.4 5.6v4.8M9.6 5.6v4.8",
  hand: "M3.4 2.2h9.2v11.6H3.4zM6.4 11V5h2.2a1.8 1.8 0 0 1 0 3.6H6.4",
  dashed: "M8 1.8a6.2 6.2 0 0 1 3 .8M13.4 5a6.2 6.2 0 0 1 .8 3M13.2 11.4a6.2 6.2 0 0 1-2.2 2M8 14.2a6.2 6.2 0 0 1-3-.8M2.6 11a6.2 6.2 0 0 1-.8-3M2.8 4.6a6.2 6.2 0 0 1 2.2-2",
  runs: "M2 4h7M2 8h12M5 12h7",
  flows: "M3.6 2.4v4.2a2 2 0 0 0 2 2h4.8a2 2 0 0 1 2 2v3M3.6 1.2a1.4 1.4 0 1 0 .1 0M12.4 11.8a1.4 1.4 0 1 0 .1 0",
  deployments: "M8 1.6 14 5v6l-6 3.4L2 11V5zM2.2 5 8 8.4 13.8 5M8 8.4v6",
  calendar: "M2.4 3.4h11.2v10.2H2.4zM2.4 6.6h11.2M5.4 1.8v3M10.6 1.8v3",
  upload: "M8 10.6V2.4M4.8 5.2 8 2l3.2 3.2M2.4 10.4v3.2h11.2v-3.2",
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1.2 1.4H2.8zM6.6 14.2h2.8",
  queue: "M2.4 3h11.2v2.6H2.4zM2.4 8h7.2v2.6H2.4zM2.4 13h4",
  node: "M2.4 2.6h11.2v4.2H2.4zM2.4 9.2h11.2v4.2H2.4zM4.8 4.7h.2M4.8 11.3h.2",
  key: "M5.4 7.2a3.2 3.2 0 1 0 .1 0M7.8 8.2 13.6 2.4M11 5l2 2",
  token: "M8 1.8 13.4 4v4c0 3.2-2.4 5.4-5.4 6.4C5 13.4 2.6 11.2 2.6 8V4zM5.8 8l1.6 1.6 3-3.2",
  audit: "M3.4 1.8h6.2l3 3v9.4H3.4zM5.6 7h4.8M5.6 10h4.8",
  settings: "M2 4.4h6.4M11.6 4.4H14M10 2.8v3.2M2 11.6h2.4M7.6 11.6H14M6 10v3.2",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  auto: RING + "zM8 1.8v12.4M10 4.4l3 3M10 8l3.6 1",
  more: "M3 8h.2M8 8h.2M13 8h.2",
  close: "M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8",
  copy: "M5.4 5.4h8v8h-8zM10.6 5.2V2.6h-8v8h2.6",
  search: "M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6M10.6 10.6l3.2 3.2",
  down: "M3.6 6l4.4 4.4L12.4 6",
  plus: "M8 3v10M3 8h10",
  out: "M6.4 2.4H2.6v11.2h3.8M7 8h6.6M10.8 5.2 13.6 8l-2.8 2.8",
};

/** @param {{ name: string, class?: string }} props */
export const Icon = ({ name, class: more = "" }) =>
  html`<svg class=${`icon ${more}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${PICTURES[name]} /></svg>`;

/** States are told by a word, a shape and a colour. @type {Record<string, [hue: string, icon: string, meaning: string]>} */
const STATES = {
  Running: ["busy", "play", "An attempt is being made."],
  Retrying: ["busy", "again", "An attempt after the first is being made."],
  AwaitingRetry: ["wait", "clock", "The next attempt begins by itself when it is due."],
  Scheduled: ["idle", "dashed", "It has not begun."],
  Late: ["wait", "late", "It should have begun by now."],
  Suspended: ["idle", "moon", "It waits for a timer, and holds no sandbox."],
  Paused: ["wait", "pause", "Somebody paused it; it waits to be resumed."],
  Parked: ["wait", "hand", "Its retries are used up, and a person is to decide."],
  Completed: ["good", "check", "It succeeded."],
  Failed: ["bad", "cross", "It failed, and is not tried again by itself."],
  TimedOut: ["bad", "timeout", "It took longer than it may."],
  Crashed: ["bad", "bolt", "Its host died three times in a row."],
  Cancelling: ["idle", "slash", "It is being stopped."],
  Cancelled: ["idle", "slash", "Somebody stopped it."],
  Cached: ["good", "again", "Fed back from what an earlier attempt achieved; it was not run again."],
  Forgotten: ["idle", "dashed", "Its result was forgotten, because somebody asked to run it again."],
  delivered: ["good", "check", "The receiver took it."],
  pending: ["wait", "clock", "It is tried again."],
  "given-up": ["bad", "cross", "It is not tried any more."],
  working: ["good", "play", ""],
  draining: ["wait", "pause", "No run begins or goes on there."],
  paused: ["wait", "pause", ""],
};

export const RUN_STATES = Object.keys(STATES).slice(0, 14);
/** @param {string} state */
export const hueOf = (state) => STATES[state]?.[0] ?? "idle";
/** @param {string} state */
export const iconOf = (state) => STATES[state]?.[1] ?? "dashed";
/** @param {string} state */
export const isOver = (state) => ["Completed", "Failed", "TimedOut", "Crashed", "Cancelled"].includes(state);
/** Whether nothing happens to it any more by itself. @param {string} state */
export const isStill = (state) => isOver(state) || state === "Parked";
/** @param {string} state */
export const isWorkedOn = (state) => ["Running", "Retrying", "Cancelling"].includes(state);

/** What people call a call: its label, or its name, with its input where others of the run have that name.
 * @param {{ number: number, kind: string, task: string, label?: string, input?: unknown }} call @param {{ kind: string, task: string }[]} all */
export function titleOf(call, all) {
  if (call.label) return call.label;
  const several = all.filter((it) => it.task === call.task && it.kind === call.kind).length > 1;
  if (!several || call.input === undefined) return call.task;
  const plain = (/** @type {unknown} */ it) => (typeof it === "string" ? it : JSON.stringify(it));
  const members = call.input && typeof call.input === "object" && !Array.isArray(call.input) ? Object.entries(call.input) : [];
  const text = members.length ? members.map(([name, it]) => `${name}=${plain(it)}`).join(" ") : plain(call.input);
  return `${call.task} ${text.length > 40 ? text.slice(0, 40) + "…" : text}`;
}

/** @param {{ state: string, count?: string }} props */
export const State = ({ state, count }) => html`<span class=${"pill " + hueOf(state)} title=${STATES[state]?.[2]}>
  <${Icon} name=${iconOf(state)} class=${isWorkedOn(state) ? "busy" : ""} />${state}${count && html` <b>${count}</b>`}</span>`;

/** Ticks, for what says how long ago it was. */
export const now = cell(Date.now());
setInterval(() => document.hidden || (now.value = Date.now()), 1000);

const DAY = 86_400_000;
const formatted = (/** @type {Intl.DateTimeFormatOptions} */ how) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...how });
const clock = formatted({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndTime = formatted({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const yearAndDay = formatted({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

/** With milliseconds, in the viewer's zone. @param {string} at */
export const clockMs = (at) => `${clock.format(new Date(at))}.${String(new Date(at).getMilliseconds()).padStart(3, "0")}`;

/** In the viewer's zone. @param {string | number} at */
export function local(at) {
  const [it, today] = [new Date(at), new Date()];
  if (it.toDateString() === today.toDateString()) return clock.format(it);
  return (it.getFullYear() === today.getFullYear() ? dayAndTime : yearAndDay).format(it);
}

/** @param {number} distance Milliseconds, from now on. */
function relative(distance) {
  const size = Math.abs(distance);
  // `now` is a second old at most.
  if (size < 5000) return distance > 1000 ? "in a moment" : "just now";
  const words = size < 60_000 ? `${Math.floor(size / 1000)} s` : size < 3_600_000 ? `${Math.floor(size / 60_000)} min`
    : size < 2 * DAY ? `${Math.floor(size / 3_600_000)} h` : `${Math.floor(size / DAY)} days`;
  return distance > 0 ? `in ${words}` : `${words} ago`;
}

/** An instant, with the exact one on hover. @param {{ at: string | undefined | null }} props */
export function Time({ at }) {
  const distance = Date.parse(at ?? "") - useCell(now);
  if (!at) return html`<span class="muted">–</span>`;
  return html`<time datetime=${at} title=${`${local(at)} · ${at}`}>${Math.abs(distance) < 7 * DAY ? relative(distance) : local(at)}</time>`;
}

const UNITS = /** @type {[string, number][]} */ ([["d", DAY], ["h", 3_600_000], ["min", 60_000], ["s", 1000], ["ms", 1], ["m", 60_000]]);

/** A length of time in words. @param {number | undefined | null} ms */
export function took(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(ms < 10_000 ? 1 : 0))} s`;
  const words = [];
  for (const [unit, length] of UNITS.slice(0, 4)) {
    if (ms >= length) words.push(`${Math.floor(ms / length)} ${unit}`);
    ms %= length;
  }
  return words.slice(0, 2).join(" ");
}

/** Reads `90 s` or `1h 30m`; `NaN` for what is no length of time. @param {string} text */
export function length(text) {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)\s*/gy)];
  if (!parts.length || parts.map((it) => it[0]).join("").length !== text.trimStart().length) return NaN;
  return Math.round(parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS.find(([it]) => it === unit)?.[1] ?? 0), 0));
}

/** @param {number} bytes */
export function size(bytes) {
  const power = Math.min(3, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const n = bytes / 1024 ** power;
  return `${n < 10 ? Number(n.toFixed(1)) : Math.round(n)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** What stands between backquotes is code. @param {string | undefined} text */
export const ticked = (text = "") => text.split("`").map((it, at) => (at % 2 ? html`<code>${it}</code>` : it));

/** JSON on one line, cut. @param {Json | undefined} value */
export function brief(value, most = 80) {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

const PART = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON with its parts in colours, as text. @param {string} text */
export function coloured(text) {
  /** @type {unknown[]} */
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(PART)) {
    const kind = found[2] ? "name" : found[1] ? "text" : "value";
    parts.push(text.slice(at, found.index), html`<span class=${"json-" + kind}>${found[1] ?? found[0]}</span>`, found[2]);
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}
