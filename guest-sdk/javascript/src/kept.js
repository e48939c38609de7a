// Promises that fail and that nobody waits for: other places end the program over one, and this engine says nothing at all.
// It works because `build.mjs` lets the bundle have no `async` functions of the engine's own, whose promises nobody can watch.

const Native = globalThis.Promise;
const { then } = Native.prototype;

/** What promises failed with for which nobody asked yet. */
const lost = new Map();
let isWatching = false;

class Kept extends Native {
  #isAsked = false;
  constructor(run) {
    super(run);
    isWatching = true;
    // What comes of watching is watched by nobody, or there were no end.
    then.call(this, undefined, (reason) => void (this.#isAsked || lost.set(this, reason)));
    isWatching = false;
  }
  then(resolve, reject) {
    this.#isAsked = true;
    lost.delete(this);
    return super.then(resolve, reject);
  }
  static get [Symbol.species]() {
    return isWatching ? Native : this;
  }
  // Some promises are the engine's, of `crypto.subtle` say.
  static [Symbol.hasInstance](it) {
    return Function.prototype[Symbol.hasInstance].call(this === Kept ? Native : this, it);
  }
}
Object.defineProperty(Kept, "name", { value: "Promise" });
globalThis.Promise = Kept;

/** Throws what the first of them failed with, if there is one. */
export function throwLost() {
  for (const [promise, reason] of lost) {
    lost.delete(promise);
    throw reason;
  }
}
