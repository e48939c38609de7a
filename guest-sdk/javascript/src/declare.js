// `flow` and `task`.
import { Failure } from "./failure.js";
import { hasHost, theHost } from "./host.js";
import { Unsayable, decode, encode } from "./json.js";
import { bytes, milliseconds, policyOf } from "./policy.js";
import { inputSchema, withDefaults } from "./schema.js";

// What a component is made of, by name, in the order of their declaration.
export const FLOWS = new Map();
export const TASKS = new Map();

const POLICY = ["retries", "delay", "delayMax", "jitter", "giveUpAfter", "failOn", "parkOn", "whenExhausted"];
const COMMON = [...POLICY, "name", "description", "timeout", "cpu", "memory", "logPrints", "persistResult", "secrets", "variables", "returns"];
const OWN = { flow: [...COMMON, "parameters"], task: [...COMMON, "input", "version", "tags"] };

const picked = (from, names) => Object.fromEntries(names.filter((it) => it in from).map((it) => [it, from[it]]));

/** Returns the name that was meant, if there is one: with a letter or two too many, too few or others, or the same beginning. */
function meant(name, known) {
  const near = (one, other) => {
    if (one === "" || other === "") return one.length + other.length;
    if (one[0] === other[0]) return near(one.slice(1), other.slice(1));
    return 1 + (one.length === other.length ? near(one.slice(1), other.slice(1)) : one.length > other.length ? near(one.slice(1), other) : near(one, other.slice(1)));
  };
  const plain = (it) => it.toLowerCase().replaceAll(/[^a-z]/g, "");
  return known.find((it) => near(plain(name), plain(it)) <= 2) ?? known.find((it) => name.length > 3 && it.startsWith(name.slice(0, 4)));
}

/** Refuses options that are not known, and says which was meant. */
function checkNames(what, options, known, others = {}) {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const other = Object.keys(others).find((it) => others[it].includes(name));
    const hint = other ? `a ${other} has one` : meant(name, known) ? `did you mean \`${meant(name, known)}\`?` : `known are ${known.join(", ")}`;
    throw new TypeError(`${what} has no \`${name}\`; ${hint}`);
  }
}

/** Returns a value as JSON, or the failure that says where it cannot become it. */
function said(code, whose, value, schema) {
  try {
    return encode(value, schema);
  } catch (thrown) {
    if (!(thrown instanceof Unsayable)) throw thrown;
    throw Failure.permanent(code, `${whose} ${thrown.message}`.toWellFormed());
  }
}

/** What cannot be asked for, because of its input. */
const refused = (failure) => ({
  refused: failure,
  outcome: () => Promise.reject(failure),
  isDone: () => true,
  cancel: () => undefined,
});

/** A task or a child flow that was asked for. To wait for it is to `await` it. */
export class Call {
  #made;
  #outcome;
  constructor(name, made) {
    this.name = name;
    this.#made = made;
  }
  /** A promise, made when somebody waits: whoever does not is told that nobody did. */
  get #promise() {
    this.#made.isAwaited = true;
    this.#outcome ??= this.#made.outcome();
    return this.#outcome;
  }
  then(resolve, reject) {
    return this.#promise.then(resolve, reject);
  }
  catch(reject) {
    return this.#promise.catch(reject);
  }
  finally(done) {
    return this.#promise.finally(done);
  }
  get isDone() {
    return this.#made.isDone();
  }
  cancel() {
    this.#made.isAwaited = true;
    this.#made.cancel();
  }
  get made() {
    return this.#made;
  }
  get [Symbol.toStringTag]() {
    return "Call";
  }
}

function declare(kind, all, options, body) {
  const known = OWN[kind];
  checkNames(`a ${kind}`, options, known, OWN);
  if (typeof body !== "function") throw new TypeError(`a ${kind} is declared with options and a function: ${kind}({ name: "…" }, async (input) => …)`);
  const name = options.name ?? body.name;
  if (!name) throw new TypeError(`a ${kind} has a \`name\``);
  if (all.has(name)) throw new TypeError(`two ${kind}s are called \`${name}\``);
  const about = {
    kind,
    name,
    description: options.description ?? "",
    input: inputSchema(kind === "flow" ? options.parameters : options.input),
    returns: options.returns?.schema,
    policy: policyOf(picked(options, POLICY)),
    timeout: options.timeout === undefined ? undefined : milliseconds("timeout", options.timeout),
    cpu: options.cpu === undefined ? undefined : milliseconds("cpu", options.cpu),
    memory: options.memory === undefined ? undefined : bytes("memory", options.memory),
    logPrints: options.logPrints ?? false,
    persistResult: options.persistResult,
    version: options.version ?? "1",
    tags: options.tags ?? [],
    secrets: options.secrets ?? [],
    variables: options.variables ?? [],
    run: async (input) => body(withDefaults(about.input, input)),
    /** The same from JSON to JSON, as a host asks for it. */
    work: async (input) => said("result.invalid", `${kind} \`${name}\`: its result`, await about.run(decode(input, about.input)), about.returns),
  };
  const made = callable(about, body, {});
  all.set(name, made);
  return made;
}

function askFor(about, input, asked) {
  const host = theHost();
  let text;
  try {
    text = said("input.invalid", `${about.kind} \`${about.name}\`: its input`, input, about.input);
  } catch (failure) {
    const made = refused(failure);
    host.note(about, made);
    return made;
  }
  const made = host.submit(about, text, asked);
  host.note(about, made);
  return made;
}

function callable(about, body, asked) {
  const submit = (input = {}) => new Call(about.name, askFor(about, input, asked));
  const call = (input = {}) => {
    if (!hasHost()) return about.run(input);
    const asked = submit(input);
    // Who calls a function wants what it returns; who submits need not.
    asked.made.isWanted = true;
    return asked;
  };
  return Object.assign(call, {
    about,
    body: (input = {}) => about.run(input),
    submit,
    map: async (inputs) => {
      const calls = [...inputs].map((it) => submit(it));
      const results = [];
      for (const it of calls) results.push(await it);
      return results;
    },
    withOptions: ({ key, runName, ...policy }) => {
      checkNames("a call", policy, [...POLICY, "key", "runName"]);
      const also = Object.keys(policy).length ? { policy: policyOf(policy) } : {};
      return callable(about, body, { ...asked, ...(key === undefined ? {} : { key }), ...(runName === undefined ? {} : { runName }), ...also });
    },
  });
}

export const flow = (options, body) => declare("flow", FLOWS, options, body);
export const task = (options, body) => declare("task", TASKS, options, body);

/** Waits until one of the calls is done, and returns its place; of several, that of the one done first. */
export async function waitAny(calls) {
  if (!calls.length) throw new TypeError("`waitAny` needs at least one call: it would wait for ever");
  const made = calls.map((it) => it.made);
  for (const it of made) it.isAwaited = true;
  const first = made.findIndex((it) => it.refused);
  return first < 0 ? theHost().waitAny(made) : first;
}
