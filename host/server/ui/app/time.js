// @ts-check
// Times in the viewer's zone, with the exact instant on hover, and lengths of time.
import { html, signal } from "../vendor/preact.js";

/** Ticks while something is shown that says how long ago it was. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

const DAY = 86_400_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dateOfYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });

/** @param {string | number} at */
export const clockOf = (at) => clock.format(new Date(at));

/** @param {string | number} at */
export const clockMs = (at) => `${clockOf(at)}.${String(new Date(at).getMilliseconds()).padStart(3, "0")}`;

/** @param {string | number} at */
export function local(at) {
  const it = new Date(at);
  const today = new Date();
  if (it.toDateString() === today.toDateString()) return clock.format(it);
  return `${(it.getFullYear() === today.getFullYear() ? date : dateOfYear).format(it)}, ${minute.format(it)}`;
}

/** @param {string} at */
export const withWeekday = (at) => `${weekday.format(new Date(at))} ${local(at)}`;

/** @param {number} at @param {number} from */
export function relative(at, from) {
  const distance = at - from;
  const size = Math.abs(distance);
  if (size < 5000) return distance > 0 ? "in a moment" : "just now";
  const [n, unit] =
    size < 60_000 ? [size / 1000, "s"] : size < 3_600_000 ? [size / 60_000, "min"]
    : size < 2 * DAY ? [size / 3_600_000, "h"] : [size / DAY, "days"];
  return distance > 0 ? `in ${Math.round(n)} ${unit}` : `${Math.floor(n)} ${unit} ago`;
}

/** @param {{ at: string | undefined | null, ago?: boolean }} props `ago`: as a distance from now. */
export function Time({ at, ago = true }) {
  if (!at) return html`<span class="muted">–</span>`;
  const ms = Date.parse(at);
  const text = ago && Math.abs(ms - now.value) < 7 * DAY ? relative(ms, now.value) : local(at);
  return html`<time datetime=${at} title=${`${local(at)} · ${at}`}>${text}</time>`;
}

/** @param {number | undefined | null} ms */
export function took(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(ms < 10_000 ? 1 : 0))} s`;
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(ms / DAY), "d"],
    [Math.floor(ms / 3_600_000) % 24, "h"],
    [Math.floor(ms / 60_000) % 60, "min"],
    [Math.floor(ms / 1000) % 60, "s"],
  ]);
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

const UNITS = /** @type {Record<string, number>} */ ({ ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: DAY });

/**
 * Reads `90 s` or `1h 30m`; `undefined` for nothing, `NaN` for what is no length of time.
 * @param {string} text
 */
export function length(text) {
  if (!text.trim()) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)\s*/gy)];
  if (parts.map((it) => it[0]).join("").length !== text.trimStart().length) return NaN;
  return Math.round(parts.reduce((sum, it) => sum + Number(it[1]) * (UNITS[it[2] ?? ""] ?? 0), 0));
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const unit = bytes < 1 << 20 ? [10, "KiB"] : bytes < 1 << 30 ? [20, "MiB"] : [30, "GiB"];
  const n = bytes / 2 ** Number(unit[0]);
  return `${n < 10 ? Number(n.toFixed(1)) : Math.round(n)} ${unit[1]}`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
