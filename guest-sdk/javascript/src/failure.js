// Why a flow or a task did not succeed.
import { attempt, encodeAnyhow } from "./json.js";
import { milliseconds } from "./policy.js";

const STACK_CHARACTERS = 16_000;
/** Of a longer chain the rest says little. */
const MOST_CAUSES = 8;
/** An AggregateError may have thousands. */
const MOST_ERRORS = 20;
const MOST_ERRORS_NAMED = 5;
const MOST_CODE_CHARACTERS = 128;

const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

/** What other places have and a sandbox has not, and what to write instead. */
const MISSING = {
  Buffer: "`Uint8Array` with `TextEncoder`, `toBase64` and `fromBase64` does what it does",
  process: "there are no arguments, no environment and no exit; what a flow needs are its parameters and variables",
  require: "`import` what is bundled",
  module: "`export` is what a module has",
  global: "it is called `globalThis`",
  window: "there is no page",
  document: "there is no page",
  navigator: "there is no browser",
  localStorage: "what a task returns is kept",
  setImmediate: "`setTimeout(…, 0)` does what it does",
  __dirname: "there are no files",
  __filename: "there are no files",
  WebAssembly: "a sandbox is itself WebAssembly, and can start none",
  Worker: "there are no threads: tasks run side by side",
  SharedArrayBuffer: "there are no threads: tasks run side by side",
  Temporal: "bring it as a package, or use `Date`",
};

let readStack = (stack) => stack;

/** Says how the stack of an error becomes one with the author's files and lines. */
export function setStackReader(read) {
  readStack = read;
}

/** Returns what is thrown for a failure: `catch (it)` sees what a task threw in a sandbox of its own, a TypeError say. */
export function thrownFor(failure) {
  const known = Object.hasOwn(ERRORS, failure.code) ? ERRORS[failure.code] : undefined;
  return known ? Object.assign(new known(failure.message), { failure }) : failure;
}

const text = (value) => (value === undefined ? "" : (attempt(() => (typeof value === "string" ? value : String(value))) ?? "(it cannot be read)"));

/** Returns the code of an error: its own, or the name of its class. */
function codeOf(error) {
  const code = attempt(() => error.code);
  // That of a DOMException is a number of old, and its name the better one.
  const isNumber = Number.isFinite(code) && typeof DOMException !== "undefined" && !(error instanceof DOMException);
  if ((typeof code === "string" && code) || isNumber) return String(code).slice(0, MOST_CODE_CHARACTERS);
  const [kind, name] = [attempt(() => error.constructor.name), attempt(() => error.name)].map((it) => (typeof it === "string" ? it : ""));
  return ((kind === "Error" || kind === "DOMException" ? name : kind) || name || "Error").slice(0, MOST_CODE_CHARACTERS);
}

/** Returns an error as `TypeError: what it said`. */
function said(thrown) {
  if (!(thrown instanceof Error)) return Failure.of(thrown).message;
  const message = text(attempt(() => thrown.message));
  return message ? `${codeOf(thrown)}: ${message}` : codeOf(thrown);
}

/** Returns the errors that led to one. */
function causesOf(error) {
  const causes = [];
  const seen = new Set([error]);
  for (let it = attempt(() => error.cause); it !== undefined && it !== null && !seen.has(it) && causes.length < MOST_CAUSES; it = attempt(() => it.cause)) {
    seen.add(it);
    causes.push(said(it));
  }
  return causes;
}

/** Returns the errors that an AggregateError holds. */
function errorsOf(error) {
  const errors = error instanceof AggregateError ? attempt(() => [...error.errors]) : undefined;
  return errors?.map((it) => said(it)) ?? [];
}

/** Returns the message of an error with what led to it, in one line. */
function messageOf(error, causes, errors) {
  let message = text(attempt(() => error.message));
  const named = errors.slice(0, MOST_ERRORS_NAMED).join("; ");
  if (named) message += `${message && ": "}${named}${errors.length > MOST_ERRORS_NAMED ? `; and ${errors.length - MOST_ERRORS_NAMED} more` : ""}`;
  for (const cause of causes) if (!message.includes(cause)) message += `${message && ", "}because of ${cause}`;
  return message;
}

/** Returns the failure that an error is for which the sandbox lacks something: no retry can mend it. */
function missing(error, stack) {
  const name = error instanceof ReferenceError && /^(\w+) is not defined$/.exec(text(error.message))?.[1];
  if (!name || !Object.hasOwn(MISSING, name)) return undefined;
  const by = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(stack)?.[1];
  const message = `\`${name}\` is not defined: ${by ? `the package \`${by}\` needs it, and ` : ""}a sandbox has none; ${MISSING[name]}`;
  return Failure.permanent("ReferenceError", message, { details: { stack } });
}

/** Returns the failure that something thrown is which is no error. */
function ofOther(thrown) {
  if (typeof thrown === "string") return new Failure("error", thrown);
  if (thrown === null || typeof thrown !== "object") return new Failure("error", `${String(thrown)} was thrown`);
  const [code, message] = [attempt(() => thrown.code), attempt(() => thrown.message)];
  const json = encodeAnyhow(thrown);
  const isCode = (typeof code === "string" && code) || Number.isFinite(code);
  return new Failure(isCode ? String(code).slice(0, MOST_CODE_CHARACTERS) : "error", typeof message === "string" && message ? message : (json ?? "something was thrown that cannot be read"));
}

export class Failure extends Error {
  constructor(code, message = "", { permanent = false, retryAfter, details, cause } = {}) {
    super(text(message), cause === undefined ? undefined : { cause });
    this.name = "Failure";
    this.code = text(code) || "error";
    this.permanent = permanent;
    this.retryAfter = retryAfter === undefined ? undefined : milliseconds("retryAfter", retryAfter);
    this.details = details;
  }

  static permanent(code, message = "", more = {}) {
    return new Failure(code, message, { ...more, permanent: true });
  }

  /** Returns the failure that something thrown is. */
  static of(thrown) {
    const kept = thrown instanceof Failure ? thrown : attempt(() => thrown?.failure);
    if (kept instanceof Failure && kept.cause === undefined) return kept;
    if (!(thrown instanceof Error)) return ofOther(thrown);
    const [causes, errors] = [causesOf(thrown), errorsOf(thrown)];
    const message = messageOf(thrown, causes, errors);
    if (thrown instanceof Failure) {
      const { code, permanent, retryAfter, details = { causes } } = thrown;
      return new Failure(code, message, { permanent, retryAfter, details });
    }
    const stack = text(attempt(() => readStack(text(thrown.stack)))).slice(0, STACK_CHARACTERS);
    const details = { ...(stack ? { stack } : {}), ...(causes.length ? { causes } : {}), ...(errors.length ? { errors: errors.slice(0, MOST_ERRORS) } : {}) };
    return missing(thrown, stack) ?? new Failure(codeOf(thrown), message, { details: Object.keys(details).length ? details : undefined });
  }

  get [Symbol.toStringTag]() {
    return "Failure";
  }

  toString() {
    return this.message ? `${this.code}: ${this.message}` : this.code;
  }
}
