// The host for tests does as the host does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure, context, exponential, flow, integer, log, optional, secret, sleep, string, task, waitAny } from "retake";
import { Host } from "retake/testing";

const reserve = task({ name: "reserve", input: { order: integer() } }, async ({ order }) => `reservation for ${order}`);
const charge = task({ name: "charge", input: { reservation: string() }, retries: 2, delay: ["1s", "10s"], timeout: "30s" }, async ({ reservation }) => {
  log.info(`charging ${reservation}, attempt ${context().attempt}`);
  return 42;
});
const checkout = flow({ name: "checkout", parameters: { order: integer() }, retries: 1, delay: "5m" }, async ({ order }) => charge({ reservation: await reserve({ order }) }));

const nap = task({ name: "nap", input: { ms: integer() } }, async ({ ms }) => {
  await sleep(ms);
  return ms;
});
const odd = task({ name: "odd", input: { n: integer() } }, async ({ n }) => {
  if (n % 2 === 0) throw new RangeError("even");
  return n;
});
const child = flow({ name: "child", parameters: { n: integer() } }, async ({ n }) => odd({ n }));
const catches = flow({ name: "catches" }, async () => {
  try {
    return await odd({ n: 2 });
  } catch (error) {
    return error instanceof RangeError ? error.message : "another";
  }
});
const parent = flow({ name: "parent", parameters: { n: integer() } }, async ({ n }) => child({ n }));
const beside = flow({ name: "beside" }, async () => {
  const calls = [3000, 1000, 2000].map((ms) => nap.submit({ ms }));
  const first = await waitAny(calls);
  return [first, ...(await Promise.all(calls)), ...(await nap.map([{ ms: 1000 }, { ms: 1000 }]))];
});
const send = task({ name: "send", persistResult: false, retries: 3, delay: exponential("10s") }, async () => secret("token"));
const mail = flow({ name: "mail", parameters: { fails: optional(integer(), 0) }, retries: 1 }, async ({ fails }) => {
  const said = await send();
  if (context().attempt <= fails) throw new Failure("mail.busy");
  return said;
});

const order = { order: 7 };

test("a run succeeds", async () => {
  const run = await new Host().run(checkout, order);
  assert.deepEqual([run.state, run.result], ["Completed", 42]);
  assert.deepEqual(run.logLines, ["INFO charging reservation for 7, attempt 1"]);
  assert.equal(run.call("reserve").fedBack, false);
});

test("retries of both levels multiply, and wait as declared", async () => {
  const run = await new Host().fail("charge", 4).run(checkout, order);
  assert.deepEqual([run.state, run.took, run.waits], ["Completed", 312_000, [300_000]]);
  assert.deepEqual(run.call("charge").waits, [1000, 10_000, 300_000, 1000]);
  assert.ok(run.call("reserve").fedBack);
});

test("what hangs is stopped, what is permanent is not tried again, and an author's wait counts", async () => {
  const hung = await new Host().hang("charge").trap("charge").run(checkout, order);
  assert.deepEqual([hung.call("charge").attempts.map((it) => it.failure?.code), hung.took], [["sandbox.timeout", "sandbox.trap", undefined], 41_000]);
  const gone = await new Host().fail("charge", 1, Failure.permanent("card.gone")).run(checkout, order);
  assert.deepEqual([gone.state, gone.call("charge").attempts.length, gone.attempts.length], ["Failed", 1, 1]);
  const late = await new Host().fail("charge", 1, new Failure("http.429", "", { retryAfter: "90s" })).run(checkout, order);
  assert.deepEqual(late.call("charge").waits, [90_000]);
});

test("a retry by hand feeds back what succeeded", async () => {
  const run = await new Host().fail("charge", 6).run(checkout, order);
  assert.deepEqual([run.state, run.failure.code], ["Failed", "test.failed"]);
  await run.fail("charge").retry();
  assert.deepEqual([run.state, run.attempts.length, run.call("charge").attempts.length, run.call("reserve").attempts.length], ["Completed", 3, 8, 1]);
  await run.rerun("reserve");
  assert.deepEqual([run.call("charge").attempts.length, run.call("reserve").attempts.length], [8, 2]);
});

test("a host that dies loses nothing that was kept", async () => {
  const run = await new Host().killHostAfter("reserve").killHostAfter("charge").run(checkout, order);
  assert.deepEqual([run.state, run.attempts.length, run.attempts[0].resumed], ["Completed", 1, 2]);
  assert.deepEqual([run.call("charge").attempts.length, run.call("reserve").attempts.length], [1, 1]);
});

test("calls overlap in time", async () => {
  const run = await new Host().killHostAfter("nap").run(beside);
  assert.deepEqual([run.result, run.took, run.calls.length], [[1, 3000, 1000, 2000, 1000, 1000], 4000, 5]);
});

test("a child flow is a run of its own", async () => {
  const run = await new Host().run(parent, { n: 2 });
  assert.deepEqual([run.state, run.failure.code], ["Failed", "RangeError"]);
  assert.equal((await run.retry()).call("child").attempts.length, 2);
  const killed = await new Host().killHostAfter("odd").run(parent, { n: 3 });
  assert.deepEqual([killed.result, killed.attempts[0].resumed], [3, 1]);
});

test("what a task threw is caught as what it was", async () => {
  assert.equal((await new Host().run(catches)).result, "even");
});

test("what is not kept is run again, and what is not granted is denied", async () => {
  const run = await new Host().secret("token", "abc").run(mail, { fails: 1 });
  assert.deepEqual([run.result, run.call("send").attempts.length], ["abc", 2]);
  const denied = await new Host().run(mail);
  assert.deepEqual([denied.failure.code, denied.attempts.length], ["sandbox.denied", 1]);
  const slow = await new Host().secret("token", "abc").fail("send", 3).run(mail);
  assert.deepEqual(slow.call("send").waits, [10_000, 20_000, 40_000]);
});

test("without a host a call is the body", async () => {
  assert.equal(await reserve({ order: 1 }), "reservation for 1");
  assert.throws(() => reserve.submit({ order: 1 }), /this needs a host/);
});

const later = task({ name: "later", input: { ms: integer() } }, async ({ ms }) => {
  await sleep(ms);
  return ms;
});
const races = flow({ name: "races" }, async () => {
  const calls = [3000, 1000, 2000].map((ms) => later.submit({ ms }));
  const first = await Promise.race(calls);
  const caught = await odd.submit({ n: 2 }).catch((it) => it.name).finally(() => log.info("at last"));
  const settled = await Promise.allSettled([odd.submit({ n: 2 }), odd.submit({ n: NaN })]);
  return [first, caught, settled.map((it) => it.reason.code ?? it.reason.name), await Promise.any([odd.submit({ n: 4 }), odd.submit({ n: 5 })])];
});
const chains = flow({ name: "chains" }, async () => {
  await Promise.all([0, 1].map(async (k) => { for (let n = 0; n < 3; n += 1) await later({ ms: 1000 + k + n / 10 }); }));
});
const leftAlone = flow({ name: "left-alone" }, async () => {
  odd({ n: 2 });
  reserve.submit({ order: 1 });
  [1000, 2000].forEach(async (ms) => log.info(`done ${await later({ ms })}`));
});
const inner = task({ name: "inner" }, async () => reserve({ order: 1 }));
const asksWithin = flow({ name: "asks-within" }, async () => inner());
const returns = (name, value) => flow({ name }, async () => value);
const lostInput = flow({ name: "lost-input" }, async () => void odd.submit({ n: NaN }));

test("the first of several is the one that is done first", async () => {
  const run = await new Host().run(races);
  assert.deepEqual(run.result, [1000, "RangeError", ["RangeError", "input.invalid"], 5]);
  assert.deepEqual(run.logLines, ["INFO at last"]);
});

test("independent chains run beside each other", async () => {
  assert.equal((await new Host().run(chains)).took, 3005);
});

test("what nobody waits for is looked after", async () => {
  assert.deepEqual((await new Host().run(leftAlone)).logLines, ["INFO done 1000", "INFO done 2000", "WARN task `odd` was called without `await`: what it returned is lost; `submit` asks for one that nobody waits for"]);
  assert.equal((await new Host().run(lostInput)).failure.code, "input.invalid");
});

test("results and calls are refused as by the host", async () => {
  const run = await new Host().run(returns("nan", { rows: [NaN] }));
  assert.deepEqual([run.failure.code, run.failure.permanent, run.failure.message], ["result.invalid", true, "flow `nan`: its result at `/rows/0` is NaN, which JSON cannot say"]);
  assert.equal((await new Host().run(returns("big", 2n ** 70n))).result, 2n ** 70n);
  const { failure } = await new Host().run(asksWithin);
  assert.deepEqual([failure.code, failure.message], ["host.not-in-a-task", "task `inner` called task `reserve`: a task runs alone; call `reserve` from the flow, or make it a plain function"]);
});
