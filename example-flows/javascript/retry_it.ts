// A flow that fails, and is retried on its own; and the same, retried by a person.
import { Failure, context, flow, integer, nullable, optional } from "retake";

// Counts how often a flow was entered in this sandbox. Each attempt gets a fresh one, so nobody ever sees another number
// than 1.
let starts = 0;

const parameters = {
  fail_times: optional(nullable(integer({ description: "Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck." }))),
};

async function tryLuck({ fail_times }: { fail_times?: number | null }) {
  starts += 1;
  const { attempt } = context();
  console.log(`Hi from Retake! attempt ${attempt}, start ${starts} of this sandbox`);
  // The host rolls the dice anew for each attempt.
  const fails = fail_times == null ? Math.random() < 0.5 : attempt <= fail_times;
  if (fails) throw new Failure("luck.bad", `attempt ${attempt} failed`);
  return { attempt, starts };
}

// Five more attempts, five minutes apart. When they are used up the run has failed, and a person may still retry it.
flow({ name: "retry-it", description: "Says hello and fails, unless it is lucky.", parameters, retries: 5, delay: "5m", logPrints: true }, tryLuck);

// Without retries the first failure ends the run.
flow({ name: "Manual retry", description: "Says hello and fails, unless it is lucky.", parameters, logPrints: true }, tryLuck);
