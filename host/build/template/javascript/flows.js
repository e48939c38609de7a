// A flow with two tasks: `retake run . -p name=Ann` builds it and runs it.
//
// Call this file `flows.ts`, here and in its test, to write TypeScript: the types of what bodies are given follow from what is declared, and
// `retake build` checks them.
import { Failure, context, flow, integer, optional, string, task } from "retake";

// A task runs in a sandbox of its own, and its result is kept. When the flow is retried, by its policy or by you, a task that
// has succeeded is not run again: its result is fed back.
export const compose = task({ name: "compose", description: "Writes the greeting.", input: { name: string() }, returns: string(), logPrints: true }, async ({ name }) => {
  // With `logPrints`, this is in `retake logs RUN`.
  console.log(`writing to ${name}`);
  return `Hello, ${name}!`;
});

// The outside world is flaky, so up to two more attempts are made, the first after 1 s and the next after 2 s.
export const send = task(
  { name: "send", description: "Sends it.", input: { greeting: string(), fails: integer() }, retries: 2, delay: ["1s", "2s"], logPrints: true },
  async ({ greeting, fails }) => {
    // Counted from 1 over the whole life of the run, also when you retry it.
    const { attempt } = context();
    // The first text is a code: rules of a policy, filters and notifications go by it. Of any other error it is the name of
    // its class.
    if (attempt <= fails) throw new Failure("mail.busy", `the mail server is busy, attempt ${attempt}`);
    console.log(`sent: ${greeting}`);
    return { greeting, attempt };
  },
);

// When the body fails it is run again from its beginning, once, after 5 s: `compose` is answered with its kept result, `send`
// is tried again.
export const greet = flow(
  {
    name: "@name@",
    description: "Greets somebody.",
    parameters: {
      name: string({ description: "Whom to greet." }),
      fails: optional(integer({ minimum: 0, description: "How many attempts to send fail. With 6 all attempts are used up." }), 1),
    },
    retries: 1,
    delay: "5s",
    logPrints: true,
  },
  async ({ name, fails }) => send({ greeting: await compose({ name }), fails }),
);
