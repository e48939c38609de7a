// Why a flow or a task did not succeed.
import { milliseconds } from "./policy.js";

const STACK_CHARACTERS = 16_000;

/** Returns a value as JSON; nothing for one that cannot become it: a failure must not be lost to its details. */
export function jsonOf(value) {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** Returns what is thrown for a failure: `catch (it)` sees what a task threw in a sandbox of its own, a TypeError say. */
export function thrownFor(failure) {
  const known = Object.hasOwn(ERRORS, failure.code) ? ERRORS[failure.code] : undefined;
  return known ? Object.assign(new known(failure.message), { failure }) : failure;
}

export class Failure extends Error {
  constructor(code, message = "", { permanent = false, retryAfter, details } = {}) {
    super(message);
    this.name = "Failure";
    this.code = code;
    this.permanent = permanent;
    this.retryAfter = retryAfter === undefined ? undefined : milliseconds("retryAfter", retryAfter);
    this.details = details;
  }

  static permanent(code, message = "", more = {}) {
    return new Failure(code, message, { ...more, permanent: true });
  }

  /** Returns the failure that something thrown is. */
  static of(thrown) {
    if (thrown instanceof Failure) return thrown;
    if (thrown?.failure instanceof Failure) return thrown.failure;
    if (!(thrown instanceof Error)) return new Failure("error", typeof thrown === "string" ? thrown : jsonOf(thrown) ?? String(thrown));
    const code = typeof thrown.code === "string" && thrown.code ? thrown.code : thrown.constructor?.name || thrown.name || "Error";
    const stack = String(thrown.stack ?? "").slice(0, STACK_CHARACTERS);
    return new Failure(code, thrown.message, { details: stack ? { stack } : undefined });
  }

  get [Symbol.toStringTag]() {
    return "Failure";
  }

  toString() {
    return this.message ? `${this.code}: ${this.message}` : this.code;
  }
}
