// Waiting for calls, where to wait for one stops everything else; and those that nobody waits for.

import { Failure } from "./failure.js";

/** Of more than so many calls the later ones are looked at when earlier ones are done: each look costs as many as it sees. */
const AT_ONCE = 64;

/** Timers that somebody set: while there are some, something may yet happen. */
const timers = new Set();
let whenTimed = () => undefined;

/** Lets a timer be known while it runs. */
function known(set, clear, isRepeated) {
  const [plainSet, plainClear] = [globalThis[set], globalThis[clear]];
  const forget = (id) => timers.delete(id) && whenTimed();
  globalThis[set] = (body, ms, ...given) => {
    const id = plainSet(() => {
      if (!isRepeated) forget(id);
      body(...given);
    }, ms);
    timers.add(id);
    return id;
  };
  globalThis[clear] = (id) => {
    plainClear(id);
    forget(id);
  };
}

/** Watches timers from now on: for a sandbox, in which nothing else happens by itself. */
export function watchTimers() {
  known("setTimeout", "clearTimeout", false);
  known("setInterval", "clearInterval", true);
}

// As they were when this was loaded: a test may put clocks of its own in their place.
const { clearTimeout, queueMicrotask, setImmediate, setTimeout } = globalThis;

/** A step of the event loop. In a sandbox it costs a call of the host, and up to a millisecond. */
const turn = () => new Promise((done) => (setImmediate ? setImmediate(done) : setTimeout(done, 0)));

// Steps from promise to promise, each of which costs some 20 µs: so many lie between what a call came to and what is asked for
// next, and more; and between several calls that are asked for at once.
const STEPS = 16;
const STEPS_AT_ONCE = 4;

/** Lets what waits for nothing but promises go on, so many steps. */
const settled = (steps) =>
  new Promise((done) => {
    let left = steps;
    const step = () => (left-- ? queueMicrotask(step) : done());
    step();
  });

/** So many turns are made before it is said that nothing will happen: the engine does some things in steps. */
const PATIENCE = 100;

/** Waits for what a body comes to; fails when it waits for a promise that nobody will ever keep. */
export async function kept(body, waiting) {
  let isDone = false;
  let wake = () => undefined;
  const done = body.finally(() => {
    isDone = true;
    wake();
  });
  done.catch(() => undefined);
  for (let quiet = 0; !isDone; quiet += 1) {
    // A turn of the event loop comes when no promise can go on; most bodies are done before.
    await new Promise((woken) => {
      const timer = setTimeout(woken, 0);
      wake = () => {
        clearTimeout(timer);
        woken();
      };
    });
    if (isDone) break;
    if (waiting.isOpen) quiet = 0;
    else if (timers.size) await new Promise((fired) => (whenTimed = wake = fired));
    else if (quiet > PATIENCE) throw new Failure("promise.unkept", "the body awaits a promise that nobody will keep: nothing is left that could resolve it");
  }
  return done;
}

/** Waits for the calls of a body in the order in which they are done. */
export class Waiting {
  #open = [];
  #going = undefined;
  #waitAny;
  constructor(waitAny) {
    this.#waitAny = waitAny;
  }

  /** Returns a promise of what a call comes to. */
  outcome(made) {
    return new Promise((resolve, reject) => {
      this.#open.push({ made, resolve, reject });
      this.#going ??= this.#goOn();
    });
  }

  get isOpen() {
    return this.#going !== undefined;
  }

  /** Waits until nobody waits any more. */
  async untilDone() {
    for (await settled(STEPS); this.#going; await settled(STEPS)) await this.#going;
  }

  async #goOn() {
    // Whoever waited for the last one may ask for more, and that is to run beside what is still waited for.
    for (await settled(STEPS_AT_ONCE); this.#open.length; await settled(STEPS)) {
      if (timers.size) await turn();
      const seen = this.#open.slice(0, AT_ONCE).map((it) => it.made);
      const [{ made, resolve, reject }] = this.#open.splice(seen.length > 1 ? await this.#waitAny(seen) : 0, 1);
      try {
        resolve(await made.outcome());
      } catch (thrown) {
        reject(thrown);
      }
    }
    this.#going = undefined;
  }
}

/**
 * Looks after what a body that has succeeded left behind: functions that still wait for calls, as those that `forEach` was given,
 * go on to their ends, and of calls that nobody waits for it is said, because what they fail with would be lost.
 */
export async function lookAfter(waiting, calls, isTask, warn) {
  if (calls.length) await waiting?.untilDone();
  const open = calls.filter(({ made }) => !made.isAwaited);
  // What cannot come to anything is told at once.
  for (const { made } of open) if (made.refused || isTask) await made.outcome();
  const names = [...new Set(open.filter(({ made }) => made.isWanted).map(({ about }) => `${about.kind} \`${about.name}\``))];
  if (names.length) warn(`${names.join(", ")} was called without \`await\`: what it returned is lost; \`submit\` asks for one that nobody waits for`);
}
