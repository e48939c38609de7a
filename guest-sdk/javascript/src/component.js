// What a component exports, and what it asks its host for.
import { current } from "retake:flow/context@0.1.0";
import { write } from "retake:flow/log@0.1.0";
import { submit, submitFlow, waitAny } from "retake:flow/tasks@0.1.0";
import { sleep } from "retake:flow/timers@0.1.0";
import { secret, variable } from "retake:flow/values@0.1.0";
import { FLOWS, TASKS } from "./declare.js";
import { Failure, jsonOf, thrownFor } from "./failure.js";
import { setHost } from "./host.js";

// The engine has one, which would end the attempt without a word.
globalThis.fetch = async () => {
  throw new TypeError("a sandbox has no network: there is no fetch");
};

/** Calls the host; what it answers with as an error is thrown as a failure, or as the error that its code names. */
function asked(call) {
  try {
    return call();
  } catch (thrown) {
    const failure = thrown?.payload;
    if (!failure?.code) throw thrown;
    const { code, message, retry, details } = failure;
    const more = { permanent: retry.tag === "never", retryAfter: retry.tag === "after" ? Number(retry.val) : undefined, details: details === undefined ? undefined : JSON.parse(details) };
    throw thrownFor(new Failure(code, message, more));
  }
}

setHost({
  submit(about, input, { key, runName, policy }) {
    const options = { key, name: runName, retry: policy && wirePolicy(policy) };
    const made = (about.kind === "flow" ? submitFlow : submit)(about.name, JSON.stringify(input), options);
    return {
      handle: made,
      outcome: () => JSON.parse(asked(() => made.outcome())),
      isDone: () => made.isDone(),
      cancel: () => made.cancel(),
    };
  },
  waitAny: (calls) => waitAny(calls.map((it) => it.handle)),
  context() {
    const { scheduledFor, ...run } = current();
    return { ...run, scheduledFor: new Date(Number(scheduledFor)) };
  },
  sleep: (ms) => sleep(BigInt(ms)),
  secret: (name) => asked(() => secret(name)),
  variable: (name) => JSON.parse(asked(() => variable(name))),
  log: (level, message, fields) => write(level, message, fields === undefined ? "" : (jsonOf(fields) ?? "")),
});

const big = (it) => (it === undefined ? undefined : BigInt(it));

function wirePolicy({ retries, delay, delayMax, jitter, giveUpAfter, rules, whenExhausted }) {
  const wire = delay.listed
    ? { tag: "listed", val: BigUint64Array.from(delay.listed.map(BigInt)) }
    : delay.exponential
      ? { tag: "exponential", val: { initial: BigInt(delay.exponential.initial), factorPermille: delay.exponential.factorPermille } }
      : { tag: "fixed", val: BigInt(delay.fixed) };
  return { retries, delay: wire, delayMax: big(delayMax), jitter, giveUpAfter: big(giveUpAfter), rules: rules.map((it) => ({ codes: it.codes, action: { tag: it.action } })), whenExhausted };
}

function info({ about }) {
  const capabilities = [...about.secrets.map((val) => ({ tag: "secret", val })), ...about.variables.map((val) => ({ tag: "variable", val }))];
  return {
    name: about.name,
    description: about.description,
    returns: about.returns && JSON.stringify(about.returns),
    retry: wirePolicy(about.policy),
    limits: { memoryBytes: big(about.memory), cpuTime: big(about.cpu), timeout: big(about.timeout) },
    capabilities,
    logPrints: about.logPrints,
    persistResult: about.persistResult,
    extensions: undefined,
  };
}

function wireFailure(failure) {
  const retry = failure.permanent ? { tag: "never" } : failure.retryAfter !== undefined ? { tag: "after", val: BigInt(failure.retryAfter) } : { tag: "by-policy" };
  return { code: failure.code, message: failure.message, retry, details: failure.details === undefined ? undefined : jsonOf(failure.details) };
}

async function run(all, name, input) {
  try {
    const it = all.get(name);
    if (!it) throw Failure.permanent("unknown-name", `this component has no \`${name}\``);
    return JSON.stringify((await it.about.run(JSON.parse(input))) ?? null);
  } catch (thrown) {
    throw wireFailure(Failure.of(thrown));
  }
}

/** Returns what a component with all flows and tasks that were declared exports. */
export function plugin(name, version, description) {
  return {
    describe: () => ({
      name,
      version,
      description,
      flows: [...FLOWS.values()].map((it) => ({ ...info(it), parameters: JSON.stringify(it.about.input) })),
      tasks: [...TASKS.values()].map((it) => ({ ...info(it), input: JSON.stringify(it.about.input), version: it.about.version, tags: it.about.tags })),
    }),
    runFlow: (flow, parameters) => run(FLOWS, flow, parameters),
    runTask: (task, input) => run(TASKS, task, input),
  };
}
