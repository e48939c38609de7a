// The other side: the host that a component runs in, the one of a test, or nobody.

/** @type {any} */
let host = null;

/** Says who answers from now on; `null` for nobody. */
export function setHost(it) {
  host = it;
}

/** Returns who answers; fails where nobody does. */
export function theHost() {
  if (host) return host;
  throw new Error("this needs a host, and outside of a component there is none: `Host` of \"retake/testing\" is one for tests, and `.body(input)` runs a body without");
}

/** Whether there is a host, in which a call asks for a run of its own. */
export const hasHost = () => host !== null;
