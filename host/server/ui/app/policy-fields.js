// @ts-check
// What counts instead of the metadata: for a run, a round, a deployment.
import { html } from "../vendor/preact.js";
import { Text } from "./field.js";
import { length } from "./time.js";
/** @import { PolicyAsk } from "../wire" */

/** @param {{ value: Record<string, string>, set: (value: Record<string, string>) => void }} props */
export function PolicyFields({ value, set }) {
  const field = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ placeholder) =>
    html`<${Text} label=${label} placeholder=${placeholder} value=${value[name] ?? ""} set=${(/** @type {string} */ text) => set({ ...value, [name]: text })} wrong=${policyAsk({ [name]: value[name] ?? "" }).wrong} />`;
  return html`<div class="two">
    ${field("retries", "Retries", "as its metadata says")}${field("retry_delay", "Delay before each", "30 s")}
    ${field("timeout", "Timeout of an attempt", "5 min")}${field("memory", "Memory in MiB", "64")}
  </div>`;
}

/** @param {Record<string, string>} value @returns {{ ask?: PolicyAsk, wrong?: string }} */
export function policyAsk(value) {
  /** @type {PolicyAsk} */
  const ask = {};
  for (const [name, text] of Object.entries(value)) {
    if (!text.trim()) continue;
    const n = name === "retry_delay" || name === "timeout" ? length(text) : Number(text);
    if (n === undefined) continue;
    if (Number.isNaN(n) || n < 0) return { wrong: name === "retries" || name === "memory" ? "This is not a number." : "Say it as 30 s, 5 min or 1 h." };
    if (name === "retries") ask.retries = n;
    if (name === "retry_delay") ask.retry_delay_ms = n;
    if (name === "timeout") ask.timeout_ms = n;
    if (name === "memory") ask.memory_bytes = n * (1 << 20);
  }
  return Object.keys(ask).length ? { ask } : {};
}

/** @param {PolicyAsk} ask @returns {Record<string, string>} */
export const written = (ask) => ({
  ...(ask.retries === undefined ? {} : { retries: String(ask.retries) }),
  ...(ask.retry_delay_ms === undefined ? {} : { retry_delay: `${ask.retry_delay_ms} ms` }),
  ...(ask.timeout_ms === undefined ? {} : { timeout: `${ask.timeout_ms} ms` }),
  ...(ask.memory_bytes === undefined ? {} : { memory: String(ask.memory_bytes / (1 << 20)) }),
});
