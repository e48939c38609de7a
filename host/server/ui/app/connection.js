// @ts-check
// Whether the server answers. When it does not, it is asked again, ever less often, until it does; then whoever shows
// something loads it again, because `epoch` has changed.
import { signal } from "../vendor/preact.js";

const LONGEST = 15_000;

/** When it is asked next, while the connection is lost. */
export const lostUntil = signal(/** @type {number | null} */ (null));
/** Counts how often the connection was healed. */
export const epoch = signal(0);

let tries = 0;
let timer = 0;

/** Tells that a request was not answered. */
export function lost() {
  if (lostUntil.value === null) again();
}

function again() {
  const wait = Math.min(LONGEST, 1000 * 2 ** tries++);
  lostUntil.value = Date.now() + wait;
  clearTimeout(timer);
  timer = window.setTimeout(tryNow, wait);
}

/** Asks at once. */
export async function tryNow() {
  clearTimeout(timer);
  if (await answers()) {
    tries = 0;
    lostUntil.value = null;
    epoch.value++;
  } else {
    again();
  }
}

async function answers() {
  try {
    return (await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(5000) })).ok;
  } catch {
    return false;
  }
}

/** Waits until the connection is there. */
export function healed() {
  return new Promise((/** @type {(value?: unknown) => void} */ done) => {
    const stop = lostUntil.subscribe((it) => {
      if (it !== null) return;
      queueMicrotask(() => stop());
      done();
    });
  });
}

// Pages without a stream would not notice otherwise.
setInterval(async () => {
  if (!document.hidden && lostUntil.value === null && !(await answers())) lost();
}, 10_000);
