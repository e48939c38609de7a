// Three tasks in a row, each with a policy of its own.
//
// It shows what is not run again. When `load` fails the run fails; after a retry the flow's body runs from its beginning, but
// `extract` and `enrich` have succeeded, so their results are fed back from the store and only `load` is run.
import { Failure, context, flow, integer, list, literal, nullable, object, optional, sleep, string, task } from "retake";

const order = object({ id: string(), cents: integer(), country: nullable(string()) });
const outcome = literal("ok", "fail", "fail-once");

/** Gives time to watch it, or to pull the plug. */
const pause = (ms: number) => (ms ? sleep(ms) : undefined);

const extract = task(
  { name: "extract", description: "Reads the customer's orders.", input: { customer: string(), pause_ms: integer() }, returns: list(order), logPrints: true },
  async ({ customer, pause_ms }) => {
    console.log(`extract: attempt ${context().attempt}`);
    await pause(pause_ms);
    return [1, 2, 3].map((n) => ({ id: `${customer}-${n}`, cents: n * 1250, country: null }));
  },
);

// Its two retries are used up within this task run: the flow does not notice them.
const enrich = task(
  {
    name: "enrich",
    description: "Looks up what the orders lack, at a service that is sometimes away.",
    input: { orders: list(order), fails: integer(), pause_ms: integer() },
    returns: list(order),
    retries: 2,
    delay: "1s",
    logPrints: true,
  },
  async ({ orders, fails, pause_ms }) => {
    const { attempt } = context();
    console.log(`enrich: attempt ${attempt}`);
    await pause(pause_ms);
    if (attempt <= fails) throw new Failure("http.503", `the service is away, attempt ${attempt}`);
    return orders.map((it) => ({ ...it, country: "NL" }));
  },
);

// Without retries: a failure here fails the flow.
const load = task(
  { name: "load", description: "Writes the orders to where they belong.", input: { customer: string(), orders: list(order), outcome, pause_ms: integer() }, logPrints: true },
  async ({ customer, orders, outcome, pause_ms }) => {
    // Counted over the whole life of the task run, so that it goes on after a manual retry.
    const { attempt } = context();
    console.log(`load: attempt ${attempt}`);
    await pause(pause_ms);
    if (outcome === "fail" || (outcome === "fail-once" && attempt === 1)) throw new Failure("load.refused", "the warehouse refused the orders");
    return { customer, orders: orders.length, cents: orders.reduce((sum, it) => sum + it.cents, 0), load_attempt: attempt };
  },
);

flow(
  {
    name: "orders",
    description: "Takes a customer's orders from where they are to where they belong.",
    parameters: {
      customer: optional(string(), "acme"),
      enrich_fails: optional(integer({ minimum: 0, description: "How many attempts of `enrich` fail before one succeeds; above 2 all of them do." }), 0),
      load: optional(outcome, "ok"),
      pause_ms: optional(integer({ minimum: 0, description: "How long each task takes." }), 0),
    },
    logPrints: true,
  },
  async ({ customer, enrich_fails, load: how, pause_ms }) => {
    console.log(`orders of ${customer}: attempt ${context().attempt}`);
    const found = await extract({ customer, pause_ms });
    const orders = await enrich({ orders: found, fails: enrich_fails, pause_ms });
    return load({ customer, orders, outcome: how, pause_ms });
  },
);
