// `flow` and `task`.
import { hasHost, theHost } from "./host.js";
import { bytes, milliseconds, policyOf } from "./policy.js";
import { inputSchema, withDefaults } from "./schema.js";

// What a component is made of, by name, in the order of their declaration.
export const FLOWS = new Map();
export const TASKS = new Map();

const POLICY = ["retries", "delay", "delayMax", "jitter", "giveUpAfter", "failOn", "parkOn", "whenExhausted"];
const COMMON = [...POLICY, "name", "description", "timeout", "cpu", "memory", "logPrints", "persistResult", "secrets", "variables", "returns"];
const OWN = { flow: [...COMMON, "parameters"], task: [...COMMON, "input", "version", "tags"] };

const picked = (from, names) => Object.fromEntries(names.filter((it) => it in from).map((it) => [it, from[it]]));

/** A task or a child flow that was asked for. To wait for it is to `await` it. */
export class Call {
  #made;
  constructor(name, made) {
    this.name = name;
    this.#made = made;
  }
  then(resolve, reject) {
    return Promise.resolve().then(() => this.#made.outcome()).then(resolve, reject);
  }
  get isDone() {
    return this.#made.isDone();
  }
  cancel() {
    this.#made.cancel();
  }
  get made() {
    return this.#made;
  }
}

function declare(kind, all, options, body) {
  const known = OWN[kind];
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`a ${kind} has no \`${name}\`; known are ${known.join(", ")}`);
  }
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
  };
  const made = callable(about, body, {});
  all.set(name, made);
  return made;
}

function callable(about, body, asked) {
  const submit = (input = {}) => new Call(about.name, theHost().submit(about, input, asked));
  const call = (input = {}) => (hasHost() ? submit(input) : about.run(input));
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
  return theHost().waitAny(calls.map((it) => it.made));
}
