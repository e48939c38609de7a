// Flows and tasks in JavaScript and TypeScript, for Retake.
import { hasHost, theHost } from "./host.js";
import { milliseconds } from "./policy.js";

export { Call, flow, task, waitAny } from "./declare.js";
export { Failure } from "./failure.js";
export { exponential } from "./policy.js";
export { any, boolean, date, dateTime, integer, list, literal, nullable, number, object, optional, schema, string } from "./schema.js";

/** Returns who is running. Outside of a host it is the first attempt of nobody. */
export function context() {
  if (hasHost()) return theHost().context();
  return { flowRunId: "local", flow: "local", attempt: 1, retriesLeft: 0, idempotencyKey: "local", scheduledFor: new Date() };
}

/** Waits. In a flow it is a durable wait: a long one holds no sandbox, and outlives the host's process. */
export async function sleep(duration) {
  const ms = milliseconds("duration", duration);
  if (hasHost()) return theHost().sleep(ms);
  await new Promise((done) => setTimeout(done, ms));
}

/** Returns a secret that the flow or the task asks for (`secrets: [name]`) and the deployment grants. */
export const secret = (name) => theHost().secret(name);
/** Returns a variable that the flow or the task asks for (`variables: [name]`) and the deployment grants. */
export const variable = (name) => theHost().variable(name);

const level = (word) => (message, fields) => {
  if (hasHost()) theHost().log(word, String(message).toWellFormed(), fields);
  else console.error(`${word.toUpperCase()} ${message}`, fields ?? "");
};

/** Writes log lines with a level and fields of their own. */
export const log = { trace: level("trace"), debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
