// A host for tests: flows run as ordinary functions, without WebAssembly, a server or a wait.
//
// A call is worked out when it is asked for, on a clock of its own that begins at the flow's. The flow's clock moves on when it
// waits for what the call came to. So calls overlap in time, and nobody waits.
import { AsyncLocalStorage } from "node:async_hooks";
import { Failure, thrownFor } from "./failure.js";
import { setHost } from "./host.js";
import { decode, encode, encodeAnyhow } from "./json.js";
import { Waiting, lookAfter } from "./waiting.js";

const LONGEST_DELAY = 30 * 86_400_000;
const TASK_TIMEOUT = 60_000;
const BEGINNING = Date.UTC(2026, 0, 1);
const FINAL = ["sandbox.cpu", "sandbox.output", "sandbox.denied", "host.cancelled", "host.not-in-a-task", "result.invalid"];

/** What runs: the attempt of a flow or of a task, with its clock. */
const frames = new AsyncLocalStorage();
const frame = () => frames.getStore() ?? fail("a call was made outside of a flow that a test's host runs");
const fail = (message) => {
  throw new Error(message);
};

const waits = (attempts) => attempts.slice(1).map((it, n) => it.began - attempts[n].ended);
const failed = (code, message, more) => ({ failure: new Failure(code, message, more) });
const cancelled = () => failed("host.cancelled", "the call was cancelled", { permanent: true });
const timedOut = (ms) => failed("sandbox.timeout", `the attempt took longer than ${ms} ms`);

/** Sorts the names of objects, so that the order in which they are written makes no other call. */
const canonical = (it) =>
  Array.isArray(it) ? `[${it.map(canonical)}]` : it && typeof it === "object" ? `{${Object.keys(it).sort().map((k) => `${JSON.stringify(k)}:${canonical(it[k])}`)}}` : encode(it);

class Attempt {
  resumed = 0;
  failure = undefined;
  #hasEnded = false;
  constructor(number, at) {
    Object.assign(this, { number, began: at, ended: at });
  }
  end(at, failure) {
    Object.assign(this, { ended: at, failure });
    this.#hasEnded = true;
  }
  get hasEnded() {
    return this.#hasEnded;
  }
}

/** What is kept of a flow run. */
class Books {
  state = "Running";
  attempts = [];
  calls = [];
  outcome = undefined;
  constructor(about, parameters, policy, at) {
    Object.assign(this, { about, parameters, policy });
    this.newRound(at);
  }
  /** Begins a round by hand: the whole budget is there again. */
  newRound(at) {
    Object.assign(this, { now: at, roundBegan: at, spent: 0, state: "Running", outcome: undefined });
  }
}

export class Host {
  #acts = new Map();
  #kills = [];
  #values = new Map();
  #killed = undefined;
  logLines = [];

  fail(name, times = 1, failure = new Failure("test.failed", "failed, as the test said")) {
    for (let n = 0; n < times; n++) this.#act(name, () => ({ failure }));
    return this;
  }
  hang(name) {
    return this.#act(name, (timeout) => {
      frame().now += timeout;
      return timedOut(timeout);
    });
  }
  trap(name) {
    return this.#act(name, () => failed("sandbox.trap", "trapped, as the test said"));
  }
  killHostAfter(name) {
    this.#kills.push(name);
    return this;
  }
  secret(name, value) {
    this.#values.set(`secret ${name}`, value);
    return this;
  }
  variable(name, value) {
    this.#values.set(`variable ${name}`, value);
    return this;
  }

  async run(flow, parameters = {}) {
    const books = new Books(flow.about, encode(parameters, flow.about.input), flow.about.policy, 0);
    await this.driveToEnd(books);
    return new Run(this, books);
  }

  async driveToEnd(books) {
    setHost(this.#answers());
    try {
      await this.#drive(books, undefined);
    } finally {
      setHost(null);
    }
  }

  #act(name, act) {
    this.#acts.set(name, [...(this.#acts.get(name) ?? []), act]);
    return this;
  }

  async #attempt(about, input, timeout) {
    const act = this.#acts.get(about.name)?.shift();
    if (act) return act(timeout);
    try {
      const result = await about.work(input);
      await lookAfter(frame().waiting, frame().made ?? [], about.kind === "task", (message) => this.logLines.push(`WARN ${message}`));
      return { result };
    } catch (thrown) {
      return { failure: Failure.of(thrown) };
    }
  }

  /** Makes attempts of a flow run until it ends. Whoever is killed waits for ever; the outermost run goes on. */
  async #drive(books, parent) {
    for (;;) {
      if (books.attempts.at(-1)?.hasEnded !== false) books.attempts.push(new Attempt(books.attempts.length + 1, books.now));
      const own = { books, call: undefined, attempt: books.attempts.length, retriesLeft: Math.max(0, books.policy.retries - books.spent), now: books.now, asked: new Map() };
      if (!parent) this.#killed = signal();
      const killed = this.#killed;
      const body = frames.run(own, () => this.#attempt(books.about, books.parameters, TASK_TIMEOUT));
      const outcome = await Promise.race([body, killed.then(() => "killed")]);
      if (outcome === "killed") {
        books.now = own.now;
        books.attempts.at(-1).resumed += 1;
        if (parent) await new Promise(() => {});
        continue;
      }
      if (this.#end(books, own, outcome)) return;
    }
  }

  #end(books, own, outcome) {
    let ended = own.now;
    for (const call of books.calls) {
      if (call.askedIn === own.attempt && call.ends > own.now) {
        if (!outcome.failure) ended = Math.max(ended, call.ends); // What still runs is waited for.
        else Object.assign(call, { outcome: cancelled(), ends: own.now });
      }
      if (!call.isKept) call.outcome = undefined;
    }
    books.attempts.at(-1).end(ended, outcome.failure);
    books.now = ended;
    if (outcome.failure) {
      const verdict = afterFailure(books, books.policy, outcome.failure, books.roundBegan, ended);
      if (typeof verdict === "number") {
        books.now = verdict;
        return false;
      }
      books.state = verdict;
    } else {
      books.state = "Completed";
    }
    books.outcome = outcome;
    return true;
  }

  #submit(about, input, { key, policy }) {
    const own = frame();
    const identity = JSON.stringify([about.kind, about.name, about.kind === "task" ? about.version : "1", key === undefined ? canonical(decode(input)) : `key:${key}`]);
    const occurrence = (own.asked.get(identity) ?? 0) + 1;
    own.asked.set(identity, occurrence);
    const { calls } = own.books;
    let call = calls.find((it) => it.identity === identity && it.occurrence === occurrence);
    if (!call) {
      call = { name: about.name, identity, occurrence, isKept: about.kind === "flow" || about.persistResult !== false, ofAttempt: own.attempt, ends: own.now, attempts: [], outcome: undefined, child: undefined };
      calls.push(call);
    }
    call.askedIn = own.attempt;
    let work = Promise.resolve();
    if (own.call) {
      Object.assign(call, { outcome: failed("host.not-in-a-task", `task \`${own.call.name}\` called ${about.kind} \`${about.name}\`: a task runs alone; call \`${about.name}\` from the flow, or make it a plain function`, { permanent: true }), ends: own.now });
    } else if (!call.outcome || (call.outcome.failure && call.ofAttempt !== own.attempt)) {
      const done = about.kind === "flow" ? this.#workOnChild(own, call, about, input, policy) : this.#workOnTask(own, call, about, input, policy);
      work = done.then(() => void (call.ofAttempt = own.attempt));
    } else if (call.ofAttempt !== own.attempt) {
      call.ends = own.now; // What an earlier attempt came to is there at once; in a resumed one, when it came.
    }
    return this.#handle(own, call, work, about);
  }

  async #workOnChild(own, call, about, input, policy) {
    if (!call.child) call.child = new Books(about, input, policy ?? about.policy, own.now);
    else if (call.child.outcome) call.child.newRound(own.now);
    await this.#drive(call.child, own);
    Object.assign(call, { attempts: call.child.attempts, outcome: call.child.outcome, ends: call.child.now });
  }

  async #workOnTask(own, call, about, input, policy = about.policy) {
    const timeout = about.timeout ?? TASK_TIMEOUT;
    const began = own.now;
    const budget = { spent: 0 };
    for (let due = began; ; ) {
      const attempt = new Attempt(call.attempts.length + 1, due);
      call.attempts.push(attempt);
      const inner = { books: own.books, call, attempt: attempt.number, retriesLeft: Math.max(0, policy.retries - budget.spent), now: due, asked: new Map() };
      let outcome = await frames.run(inner, () => this.#attempt(about, input, timeout));
      if (inner.now - due > timeout) outcome = timedOut(timeout);
      const ended = Math.min(inner.now, due + timeout);
      attempt.end(ended, outcome.failure);
      const verdict = outcome.failure && afterFailure(budget, policy, outcome.failure, began, ended);
      if (typeof verdict !== "number") {
        Object.assign(call, { outcome, ends: ended });
        return;
      }
      due = verdict;
    }
  }

  #handle(own, call, work, about) {
    let isWorked = false;
    const worked = work.then(() => void (isWorked = true));
    const outcome = async () => {
      await worked;
      own.now = Math.max(own.now, call.ends);
      const kill = this.#kills.indexOf(call.name);
      if (kill >= 0) {
        this.#kills.splice(kill, 1);
        this.#killed.say();
        await new Promise(() => {});
      }
      const { failure, result } = call.outcome ?? cancelled();
      if (failure) throw thrownFor(failure);
      return decode(result, about.returns);
    };
    own.waiting ??= new Waiting(waitAny);
    return {
      call,
      worked,
      outcome: () => own.waiting.outcome({ call, worked, outcome }),
      isDone: () => isWorked && call.ends <= own.now,
      cancel: () => {
        if (!isWorked || call.ends > own.now) {
          void worked.then(() => Object.assign(call, { outcome: cancelled(), ends: own.now }));
        }
      },
    };
  }

  #answers() {
    return {
      submit: (about, input, asked) => this.#submit(about, input, asked),
      note: (about, made) => void (frame().made ??= []).push({ about, made }),
      waitAny,
      context: () => {
        const { books, call, attempt, retriesLeft } = frame();
        const more = call ? { task: call.name, taskRunId: `task_test_${books.calls.indexOf(call) + 1}` } : {};
        const idempotencyKey = call ? `run_test/${call.identity}/${call.occurrence}` : "run_test";
        return { flowRunId: "run_test", flow: books.about.name, ...more, attempt, retriesLeft, idempotencyKey, scheduledFor: new Date(BEGINNING) };
      },
      sleep: async (ms) => void (frame().now += ms),
      secret: (name) => this.#value("secret", name),
      variable: (name) => this.#value("variable", name),
      log: (level, message, fields) => void this.logLines.push(`${level.toUpperCase()} ${message}${fields ? ` ${encodeAnyhow(fields)}` : ""}`),
    };
  }

  #value(kind, name) {
    if (!this.#values.has(`${kind} ${name}`)) throw Failure.permanent("sandbox.denied", `the test grants no ${kind} \`${name}\`: new Host().${kind}(${JSON.stringify(name)}, …)`);
    return this.#values.get(`${kind} ${name}`);
  }
}

/** Waits until one of the calls is done, on the clock of the body that asks. */
async function waitAny(calls) {
  const own = frame();
  await Promise.all(calls.map((it) => it.worked));
  const first = calls.reduce((best, it, n) => (it.call.ends < calls[best].call.ends ? n : best), 0);
  own.now = Math.max(own.now, calls[first].call.ends);
  return first;
}

/** A promise that somebody keeps by saying so. */
function signal() {
  let say;
  const it = new Promise((done) => (say = done));
  return Object.assign(it, { say });
}

export class Run {
  #host;
  #books;
  constructor(host, books) {
    this.#host = host;
    this.#books = books;
  }
  get state() {
    return this.#books.state;
  }
  get result() {
    if (this.#books.outcome?.failure) throw this.#books.outcome.failure;
    const { outcome, about } = this.#books;
    return outcome && decode(outcome.result, about.returns);
  }
  get failure() {
    return this.#books.outcome?.failure;
  }
  get attempts() {
    return this.#books.attempts;
  }
  get waits() {
    return waits(this.#books.attempts);
  }
  get took() {
    return this.#books.now;
  }
  get logLines() {
    return this.#host.logLines;
  }
  get calls() {
    const attempt = this.#books.attempts.length;
    return this.#books.calls.map((it) => ({
      name: it.name,
      attempts: it.attempts,
      waits: waits(it.attempts),
      fedBack: it.askedIn === attempt && it.ofAttempt < attempt && it.outcome !== undefined && !it.outcome.failure,
      failure: it.outcome?.failure,
    }));
  }
  call(name) {
    const { calls } = this;
    return calls.find((it) => it.name === name) ?? fail(`the flow did not ask for \`${name}\`, but for ${calls.map((it) => it.name).join(", ") || "nothing"}`);
  }
  async retry() {
    this.#books.newRound(this.#books.now);
    await this.#host.driveToEnd(this.#books);
    return this;
  }
  async rerun(...names) {
    for (const it of this.#books.calls) if (names.includes(it.name)) it.outcome = undefined;
    return this.retry();
  }
  fail(name, times, failure) {
    this.#host.fail(name, times, failure);
    return this;
  }
}

/** Returns when the next attempt begins, or the state that there is none in: the host's arithmetic, without jitter. */
function afterFailure(budget, policy, failure, began, ended) {
  if (failure.permanent) return "Failed";
  const matches = (pattern) => (pattern.endsWith(".*") ? failure.code.startsWith(pattern.slice(0, -1)) : pattern === failure.code);
  const rule = policy.rules.find((it) => it.codes.some(matches));
  if (rule) return rule.action === "fail" ? "Failed" : "Parked";
  if (FINAL.includes(failure.code) || failure.code.startsWith("input.")) return "Failed";
  budget.spent += 1;
  const exhausted = policy.whenExhausted === "park" ? "Parked" : "Failed";
  if (budget.spent > policy.retries) return exhausted;
  const wait = failure.retryAfter ?? Math.min(delay(policy.delay, budget.spent), policy.delayMax ?? LONGEST_DELAY);
  const due = ended + Math.min(wait, LONGEST_DELAY);
  return policy.giveUpAfter !== undefined && due > began + policy.giveUpAfter ? exhausted : due;
}

/** Returns the milliseconds to wait after failure number `n`, counted from 1. */
function delay({ fixed, listed, exponential }, n) {
  if (listed) return listed[Math.min(n, listed.length) - 1];
  if (!exponential) return fixed;
  return Math.min(exponential.initial * (exponential.factorPermille / 1000) ** (n - 1), LONGEST_DELAY);
}
