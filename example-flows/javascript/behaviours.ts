// What every language does alike, as a test of the host looks at it.
import { Failure, context, exponential, flow, integer, literal, sleep, task, waitAny } from "retake";

let counted = 0;
const n = integer();

const double = task({ name: "double", input: { n } }, async ({ n }) => 2 * n);
const nap = task({ name: "nap", input: { ms: integer() } }, async ({ ms }) => {
  await sleep(ms);
  return ms;
});
const permanent = task({ name: "permanent", retries: 3 }, async () => {
  throw Failure.permanent("demo.final", "it stays so");
});
const later = task({ name: "later", retries: 1, delay: "1h" }, async () => {
  if (context().attempt === 1) throw new Failure("demo.later", "", { retryAfter: 50 });
  return context().attempt;
});
const shaky = task({ name: "shaky", input: { n } }, async ({ n }) => {
  if (context().attempt === 1) throw new Failure("demo.shaky", "the first attempt fails");
  return n;
});
const count = task({ name: "count", retries: 2 }, async () => {
  counted += 1;
  if (context().attempt < 3) throw new Failure("demo.again", "not yet");
  return counted;
});
task({ name: "delay-fixed", retries: 3, delay: "5m" }, async () => null);
task({ name: "delay-listed", retries: 4, delay: ["1s", "10s", "1m"] }, async () => null);
task({ name: "delay-exponential", retries: 5, delay: exponential("10s", { factor: 2 }) }, async () => null);

const child = flow({ name: "behave-child", parameters: { n } }, async ({ n }) => n + 1);

const what = literal("success", "failure", "uncaught", "permanent", "retry-after", "map", "wait-any", "child", "kept", "print", "fresh");

flow({ name: "behave", parameters: { what }, logPrints: true }, async ({ what }): Promise<unknown> => {
  switch (what) {
    case "success":
      return { ok: true };
    case "failure":
      throw new Failure("demo.broken", "it is broken");
    case "uncaught":
      throw new TypeError("oops");
    case "permanent":
      return permanent();
    case "retry-after":
      return later();
    case "map":
      return double.map([1, 2, 3, 4].map((n) => ({ n })));
    case "wait-any":
      return waitAny([nap.submit({ ms: 400 }), nap.submit({ ms: 0 })]);
    case "child":
      return child({ n: 20 });
    case "kept":
      return shaky({ n: await double({ n: 21 }) });
    case "print":
      console.log("one line");
      console.error("another");
      return null;
    case "fresh":
      return count();
  }
});
