// What a component exports, and what it asks its host for.
import { current } from "retake:flow/context@0.1.0";
import { write } from "retake:flow/log@0.1.0";
import { submit, submitFlow, waitAny } from "retake:flow/tasks@0.1.0";
import { sleep } from "retake:flow/timers@0.1.0";
import { secret, variable } from "retake:flow/values@0.1.0";
import { FLOWS, TASKS } from "./declare.js";
import { Failure, setStackReader, thrownFor } from "./failure.js";
import { setHost } from "./host.js";
import { decode, encodeAnyhow } from "./json.js";
import { throwLost } from "./kept.js";
import { readable } from "./sourcemap.js";
import { Waiting, kept, lookAfter } from "./waiting.js";

// Where the lines of this bundle come from, which `build.mjs` appends to it.
setStackReader((stack) => (globalThis[Symbol.for("retake.sources")] ? readable(stack, "source.js", globalThis[Symbol.for("retake.sources")]) : stack));

/** What the body that runs has asked for. */
let asked = [];

/** Calls the host; what it answers with as an error is thrown as a failure, or as the error that its code names. */
function answered(call) {
  try {
    return call();
  } catch (thrown) {
    const failure = thrown?.payload;
    if (!failure?.code) throw thrown;
    const { code, message, retry, details } = failure;
    const more = { permanent: retry.tag === "never", retryAfter: retry.tag === "after" ? Number(retry.val) : undefined, details: details === undefined ? undefined : decode(details) };
    throw thrownFor(new Failure(code, message, more));
  }
}

const waitForAny = (calls) => waitAny(calls.map((it) => it.handle));
const waiting = new Waiting(waitForAny);

setHost({
  submit(about, input, { key, runName, policy }) {
    const options = { key, name: runName, retry: policy && wirePolicy(policy) };
    const handle = (about.kind === "flow" ? submitFlow : submit)(about.name, input, options);
    const made = { handle, outcome: () => decode(answered(() => handle.outcome()), about.returns) };
    return { handle, outcome: () => waiting.outcome(made), isDone: () => handle.isDone(), cancel: () => handle.cancel() };
  },
  note: (about, made) => void asked.push({ about, made }),
  waitAny: waitForAny,
  context() {
    const { scheduledFor, ...run } = current();
    return { ...run, scheduledFor: new Date(Number(scheduledFor)) };
  },
  sleep: (ms) => sleep(BigInt(ms)),
  secret: (name) => answered(() => secret(name)),
  variable: (name) => decode(answered(() => variable(name))),
  log: (level, message, fields) => write(level, message, fields === undefined ? "" : (encodeAnyhow(fields) ?? "")),
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
  return { code: failure.code.toWellFormed(), message: failure.message.toWellFormed(), retry, details: failure.details === undefined ? undefined : encodeAnyhow(failure.details) };
}

async function run(all, name, input) {
  asked = [];
  try {
    const it = all.get(name);
    if (!it) throw Failure.permanent("unknown-name", `this component has no \`${name}\``);
    const result = await kept(it.about.work(input), waiting);
    await lookAfter(waiting, asked, all === TASKS, (message) => write("warn", message, ""));
    throwLost();
    return result;
  } catch (thrown) {
    throw wireFailure(Failure.of(thrown));
  }
}

/** Returns what a component with all flows and tasks that were declared exports. */
export function plugin(name, version, description) {
  return {
    describe: () => {
      throwLost(); // Since the module was loaded.
      const flows = [...FLOWS.values()].map((it) => ({ ...info(it), parameters: JSON.stringify(it.about.input) }));
      const tasks = [...TASKS.values()].map((it) => ({ ...info(it), input: JSON.stringify(it.about.input), version: it.about.version, tags: it.about.tags }));
      return { name, version, description, flows, tasks };
    },
    runFlow: (flow, parameters) => run(FLOWS, flow, parameters),
    runTask: (task, input) => run(TASKS, task, input),
  };
}
