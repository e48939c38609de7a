// A host for tests: flows run as ordinary functions, without WebAssembly, a server or a wait.
//
// What it does as the host does: states, attempts and their arithmetic (without jitter: a wait is never shorter), rounds, what
// is fed back and what is run again, timeouts of tasks, the order in which calls end, `sleep`, what `context` says. What it
// cannot do: a body is not stopped while it runs, modules keep their variables, and `Date` and `Math.random` are the machine's.
// Schemas are checked by the host alone. Times are milliseconds on the clock of the test, which begins with the run.
import type { Callable, Failure } from "retake";

/** A host, and what is to go wrong in it. Names are those of tasks, or of flows. */
export class Host {
  /** The next attempts fail with this, or with the code `test.failed`; their bodies are not run. */
  fail(name: string, times?: number, failure?: Failure): this;
  /** The next attempt takes until its time is over, and fails with `sandbox.timeout`. */
  hang(name: string): this;
  /** The next attempt fails with `sandbox.trap`. */
  trap(name: string): this;
  /** The host dies when the call has come to something that is kept, before the flow sees it; then the attempt is resumed. */
  killHostAfter(name: string): this;
  secret(name: string, value: string): this;
  variable(name: string, value: unknown): this;
  /** Runs a flow until it has ended, with its retries. */
  run<I, R>(flow: Callable<I, R>, ...parameters: {} extends I ? [parameters?: I] : [parameters: I]): Promise<Run<R>>;
}

export interface Attempt {
  number: number;
  began: number;
  ended: number;
  failure?: Failure;
  /** How often it was resumed after the host had died. */
  resumed: number;
}

export interface CallView {
  name: string;
  /** All its attempts, those of earlier rounds too. */
  attempts: Attempt[];
  waits: number[];
  /** Whether the last attempt of the flow was given the result of an earlier one: Cached. */
  fedBack: boolean;
  failure?: Failure;
}

/** A run that has ended. */
export interface Run<R> {
  readonly state: "Completed" | "Failed" | "Parked";
  /** What it returned; throws what it failed with. */
  readonly result: R;
  readonly failure?: Failure;
  readonly attempts: Attempt[];
  readonly waits: number[];
  readonly took: number;
  readonly logLines: string[];
  readonly calls: CallView[];
  /** The first call of the task or flow with this name. */
  call(name: string): CallView;
  /** Retries it, as a person does: another round with the whole budget, in which what succeeded is fed back. */
  retry(): Promise<this>;
  /** The same, but the results of the tasks with these names are forgotten first. */
  rerun(...names: string[]): Promise<this>;
  /** For what is to go wrong after a retry. */
  fail(name: string, times?: number, failure?: Failure): this;
}
