// @ts-check
// What an attempt used, beside what it may use; and why it failed.
import { html } from "../vendor/preact.js";
import { get, path } from "./api.js";
import { Copy } from "./button.js";
import { Value } from "./json.js";
import { size, took } from "./time.js";
/** @import { Component, Evidence, Failure, Json, Limits, Run } from "../wire" */

/** What the host gives where nothing is asked for. */
const DEFAULTS = { memory: 64 << 20, cpu: 10_000, taskTimeout: 60_000 };

/** Components never change, so that one is asked for once. @type {Map<string, Promise<Component>>} */
const known = new Map();

/** @param {string} digest @returns {Promise<Component>} */
export function componentOf(digest) {
  const had = known.get(digest);
  if (had) return had;
  const asked = /** @type {Promise<Component>} */ (get(path("components", digest)));
  known.set(digest, asked);
  asked.catch(() => known.delete(digest));
  return asked;
}

/** @param {Limits | undefined} limits @param {Run | undefined} run The run, where the flow itself is meant. */
function allowed(limits, run) {
  return {
    memory: run?.overrides.memory_bytes ?? limits?.memory_bytes ?? DEFAULTS.memory,
    cpu: limits?.cpu_time ?? DEFAULTS.cpu,
    timeout: run ? run.overrides.timeout ?? limits?.timeout ?? undefined : limits?.timeout ?? DEFAULTS.taskTimeout,
  };
}

/** @param {{ title: string, used: number, limit: number | undefined, words: (n: number) => string }} props */
function Meter({ title, used, limit, words }) {
  const share = limit ? Math.min(1, used / limit) : 0;
  return html`<div class=${`meter ${share > 0.95 ? "full" : ""}`}><div><span class="muted">${title}</span>
    <b>${words(used)}${limit ? html` <span class="muted">of ${words(limit)}</span>` : ""}</b></div>
    ${limit && html`<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width=${share * 100} height="6" /></svg>`}</div>`;
}

/** @param {{ evidence: Evidence, took: number | undefined, limits: Limits | undefined, run?: Run }} props */
export function Meters({ evidence, took: ms, limits, run }) {
  const most = allowed(limits, run);
  return html`<div class="meters">
    <${Meter} title="Peak memory" used=${evidence.peak_memory} limit=${most.memory} words=${size} />
    <${Meter} title="Processor" used=${evidence.cpu_us / 1000} limit=${most.cpu} words=${took} />
    <${Meter} title="Wall clock" used=${ms ?? 0} limit=${most.timeout} words=${took} />
    ${evidence.log_bytes_dropped > 0 && html`<p class="note">${size(evidence.log_bytes_dropped)} of its log were over a bound and dropped.</p>`}
  </div>`;
}

/** @param {{ failure: Failure }} props */
export function Why({ failure }) {
  const { backtrace, stderr, ...rest } = split(failure.details);
  return html`<p class="message">${failure.message}</p>
    ${backtrace && html`<details><summary>Backtrace, ${backtrace.length} frames</summary><div class="value"><pre tabindex="0" role="region" aria-label="Backtrace">${backtrace.map((it, at) => `${String(at).padStart(2)}  ${it}\n`)}</pre>
      <${Copy} text=${backtrace.join("\n")} label="Copy the backtrace" /></div></details>`}
    ${stderr && html`<details open=${!backtrace}><summary>The end of what it wrote to stderr</summary><pre tabindex="0" role="region" aria-label="stderr">${stderr}</pre></details>`}
    ${Object.keys(rest).length > 0 && html`<details><summary>Details</summary><${Value} value=${rest.other ?? rest} label="details of the failure" /></details>`}`;
}

/** @param {Json | undefined} details @returns {{ backtrace?: string[], stderr?: string, [more: string]: Json | undefined }} */
function split(details) {
  if (!details || typeof details !== "object" || Array.isArray(details)) return details === undefined || details === null ? {} : { other: details };
  const { backtrace, stderr, ...rest } = details;
  return {
    ...rest,
    ...(Array.isArray(backtrace) && backtrace.length > 0 ? { backtrace: backtrace.map(String) } : {}),
    ...(typeof stderr === "string" && stderr ? { stderr } : {}),
  };
}
