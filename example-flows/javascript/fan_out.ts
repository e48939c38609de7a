// Tasks side by side, a child flow, and errors that cross a sandbox's border.
import { exponential, flow, integer, list, log, task, waitAny } from "retake";

const halve = task(
  { name: "halve", description: "Halves even numbers.", input: { number: integer(), by: integer() }, returns: integer(), retries: 3, delay: exponential("1s"), tags: ["even"] },
  async ({ number, by }) => {
    if (number % by) throw new RangeError(`${number} is odd`);
    return number / by;
  },
);

const add = task({ name: "add", description: "Adds them up.", input: { numbers: list(integer()) }, returns: integer() }, async ({ numbers }) => numbers.reduce((a, b) => a + b, 0));

const child = flow({ name: "child", description: "A run of its own.", parameters: { numbers: list(integer()) }, returns: integer() }, async ({ numbers }) => add({ numbers }));

flow({ name: "fan-out", description: "Halves what can be halved, and counts what cannot.", parameters: { numbers: list(integer()) } }, async ({ numbers }) => {
  const quick = halve.withOptions({ retries: 0 });
  const open = numbers.map((number) => quick.submit({ number, by: 2 }));
  const halves: number[] = [];
  let odd = 0;
  while (open.length) {
    const [first] = open.splice(await waitAny(open), 1);
    try {
      halves.push(await first!);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      log.warn(`left out: ${error.name}: ${error.message}`, { odd: true });
      odd += 1;
    }
  }
  return { odd, sum: await child({ numbers: halves.sort((a, b) => a - b) }) };
});
