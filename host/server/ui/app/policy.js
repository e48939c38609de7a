// @ts-check
// A retry policy, drawn as the times of its attempts.
import { html } from "../vendor/preact.js";
import { Table } from "./table.js";
import { count, took } from "./time.js";
/** @import { Delay, Json, Policy } from "../wire" */

/** Longest delay of the server. */
const LONGEST = 30 * 86_400_000;
const DRAWN = 200;
const LISTED = 12;

/** @typedef {{ attempt: number, delay: number, earliest: number, latest: number }} When */

/** The wait after failure `n`, from 1. @param {Delay} delay @param {number} n */
function after(delay, n) {
  if ("fixed" in delay) return delay.fixed;
  if ("listed" in delay) return delay.listed[Math.min(n, delay.listed.length) - 1] ?? 0;
  const { initial, factor_permille } = delay.exponential;
  return Math.min(LONGEST, initial * (factor_permille / 1000) ** (n - 1));
}

/** When attempts begin, as if they took no time. @param {Policy} policy @returns {When[]} */
export function attempts(policy) {
  const all = [{ attempt: 1, delay: 0, earliest: 0, latest: 0 }];
  for (let n = 1; n <= Math.min(policy.retries, DRAWN); n++) {
    const before = /** @type {When} */ (all.at(-1));
    const delay = Math.min(after(policy.delay, n), policy.delay_max ?? LONGEST, LONGEST);
    const earliest = before.earliest + delay;
    if (policy.give_up_after && earliest > policy.give_up_after) break;
    all.push({ attempt: n + 1, delay, earliest, latest: before.latest + delay * (1 + policy.jitter_permille / 1000) });
  }
  return all;
}

/** @param {Delay} delay */
function words(delay) {
  if ("fixed" in delay) return delay.fixed === 0 ? "at once" : `${took(delay.fixed)} apart`;
  if ("listed" in delay) return `after ${delay.listed.map(took).join(", ")}`;
  return `after ${took(delay.exponential.initial)}, then ${delay.exponential.factor_permille / 1000} times the wait before`;
}

/** @param {Json} action */
function ruleWords(action) {
  if (action === "fail") return "it has failed, and is not tried again";
  if (action === "park") return "it is parked, and a person decides";
  const own = /** @type {{ retry?: { retries: number, delay: Delay } | null }} */ (action)?.retry;
  return own ? `${count(own.retries, "retry", "retries")} of its own, ${words(own.delay)}` : "tried again as the policy says";
}

/** @param {{ policy: Policy }} props */
export function PolicyView({ policy }) {
  const all = attempts(policy);
  const end = Math.max(1, ...all.map((it) => it.latest));
  const x = (/** @type {number} */ at) => 1 + (at / end) * 98;
  const more = [
    policy.jitter_permille > 0 && `each wait is up to ${policy.jitter_permille / 10} % longer, by chance`,
    policy.delay_max && `no wait is longer than ${took(policy.delay_max)}`,
    policy.give_up_after && `nothing begins later than ${took(policy.give_up_after)} after the first attempt began`,
    policy.retries > 0 && (policy.when_exhausted === "park" ? "then it is parked, and a person decides" : "then it has failed"),
  ].filter(Boolean);
  if (policy.retries === 0 && policy.rules.length === 0) return html`<p class="muted">One attempt. A failure is final, until a person retries it.</p>`;
  return html`<p><strong>${count(policy.retries + 1, "attempt")} at most</strong>${policy.retries > 0 && html`, ${words(policy.delay)}`}${more.length > 0 && html`<span class="muted">; ${more.join("; ")}</span>`}.</p>
    ${policy.retries > 0 && html`<svg class="schedule" viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label=${all.slice(0, LISTED).map((it) => `attempt ${it.attempt} after ${took(it.earliest)}`).join(", ")}>
      <rect class="line" x="0" y="6.8" width="100" height=".4" />
      ${all.map((it) => html`<g><title>${`Attempt ${it.attempt}: ${span(it)}`}</title>${it.latest > it.earliest && html`<rect class="span" x=${x(it.earliest)} y="4.5" width=${Math.max(0.2, x(it.latest) - x(it.earliest))} height="5" />`}
        <rect class="dot" x=${x(it.earliest) - 0.3} y="2.5" width=".6" height="9" rx=".3" /></g>`)}
    </svg>
    <${Table} label="Attempts" rows=${all.slice(0, LISTED)} id=${(/** @type {When} */ it) => it.attempt} columns=${[
      ["Attempt", (/** @type {When} */ it) => it.attempt, "fit"],
      ["Wait before it", (/** @type {When} */ it) => (it.attempt === 1 ? "–" : took(it.delay))],
      ["Begins", (/** @type {When} */ it) => span(it)],
    ]} />
    ${all.length > LISTED && html`<p class="muted">and ${all.length - LISTED}${policy.retries > DRAWN ? " or more" : ""} more, the last drawn one ${span(/** @type {When} */ (all.at(-1)))}.</p>`}
    <p class="muted small">Counted from the end of the first attempt, as if attempts took no time.</p>`}
    ${policy.rules.length > 0 && html`<h3>Rules: the first that matches decides</h3><ul>${policy.rules.map((it) => html`<li><code>${it.codes.join(", ")}</code>: ${ruleWords(it.action)}</li>`)}</ul>`}`;
}

/** @param {When} it */
const span = (it) => (it.attempt === 1 ? "at once" : it.latest > it.earliest ? `after ${took(it.earliest)} to ${took(it.latest)}` : `after ${took(it.earliest)}`);
