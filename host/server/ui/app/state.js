// @ts-check
// States, told by a word, a shape and a colour.
import { html } from "../vendor/preact.js";
import { Icon } from "./icons.js";

/** @type {Record<string, [hue: string, icon: string, meaning: string]>} */
const STATES = {
  Completed: ["good", "check", "It succeeded."],
  Cached: ["good", "again", "Fed back from what an earlier attempt achieved; it was not run again."],
  Failed: ["bad", "cross", "It failed, and is not tried again by itself."],
  TimedOut: ["bad", "timeout", "It took longer than it may."],
  Crashed: ["bad", "bolt", "Its host died three times in a row."],
  Running: ["busy", "play", "An attempt is being made."],
  Retrying: ["busy", "again", "An attempt after the first is being made."],
  Cancelling: ["idle", "slash", "It is being stopped."],
  AwaitingRetry: ["wait", "clock", "The next attempt begins by itself when it is due."],
  Late: ["wait", "late", "It should have begun by now."],
  Parked: ["wait", "hand", "Its retries are used up, and a person is to decide."],
  Paused: ["wait", "pause", "Somebody paused it; it waits to be resumed."],
  Suspended: ["idle", "moon", "It waits for a timer, and holds no sandbox."],
  Scheduled: ["idle", "dashed", "It has not begun."],
  Cancelled: ["idle", "slash", "Somebody stopped it."],
  Forgotten: ["idle", "dashed", "Its result was forgotten, because somebody asked to run it again."],
};
const UNKNOWN = /** @type {[string, string, string]} */ (["idle", "dashed", ""]);

export const RUN_STATES = [
  "Running", "Retrying", "AwaitingRetry", "Scheduled", "Late", "Suspended", "Paused", "Parked",
  "Completed", "Failed", "TimedOut", "Crashed", "Cancelling", "Cancelled",
];
const OVER = ["Completed", "Failed", "TimedOut", "Crashed", "Cancelled"];

/** @param {string} state */
export const hueOf = (state) => (STATES[state] ?? UNKNOWN)[0];
/** @param {string} state */
export const iconOf = (state) => (STATES[state] ?? UNKNOWN)[1];
/** @param {string} state */
export const isOver = (state) => OVER.includes(state);
/** @param {string} state */
export const isRetryable = (state) => isOver(state) || state === "Parked" || state === "Paused";
/** @param {string} state */
export const isWorkedOn = (state) => ["Running", "Retrying", "Cancelling"].includes(state);

/** @param {{ state: string, count?: number }} props */
export function State({ state, count }) {
  const [hue, icon, meaning] = STATES[state] ?? UNKNOWN;
  return html`<span class=${`pill ${hue}`} title=${meaning}>
    <${Icon} name=${icon} class=${isWorkedOn(state) ? "busy" : ""} />${state}${count === undefined ? "" : html` <b>${count}</b>`}
  </span>`;
}
