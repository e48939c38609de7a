// Flows and tasks in JavaScript and TypeScript, for Retake.

/** `"5m"`, `"1h 30m"`, or a number of milliseconds. Units are ms, s, m, h and d. */
export type Duration = string | number;

/** What a value looks like: `json` is its JSON Schema, and `T` its type. */
export interface Schema<T> {
  readonly schema: object;
  readonly type?: T;
}

/** A schema of what may be left out: `T` within the body, where a default stands in. */
export interface Optional<T> extends Schema<T> {
  readonly isOptional: true;
}

/** What a body is given. */
export type Given<S> = S extends Schema<infer T> ? T : S extends Fields ? { [K in keyof S]: S[K] extends Schema<infer T> ? T : never } : any;
type MayBeLeftOut<F> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F];
/** What a caller gives. */
export type Asked<S> = S extends Schema<infer T>
  ? T
  : S extends Fields
    ? { [K in Exclude<keyof S, MayBeLeftOut<S>>]: Given<S[K]> } & { [K in MayBeLeftOut<S>]?: Given<S[K]> }
    : any;
export type Fields = { [name: string]: Schema<any> };

/** Words of JSON Schema, such as `description`, `minimum` or `pattern`. */
export interface More {
  description?: string;
  [word: string]: unknown;
}

export function string(more?: More): Schema<string>;
/** A whole number. One beyond 2^53 is a BigInt, because a `number` would not be exact. */
export function integer(more?: More): Schema<number>;
export function number(more?: More): Schema<number>;
export function boolean(more?: More): Schema<boolean>;
/** A day as text, `2026-02-28`; and an instant, `2026-02-28T12:30:00Z`. The host refuses what is none. */
export function date(more?: More): Schema<string>;
export function dateTime(more?: More): Schema<string>;
export function any(more?: More): Schema<any>;
export function literal<const V extends readonly (string | number | boolean | null)[]>(...values: V): Schema<V[number]>;
export function list<T>(item: Schema<T>, more?: More): Schema<T[]>;
export function object<F extends Fields>(fields: F, more?: More): Schema<Given<F>>;
export function nullable<T>(it: Schema<T>): Schema<T | null>;
export function optional<T>(it: Schema<T>): Optional<T | undefined>;
export function optional<T>(it: Schema<T>, otherwise: T): Optional<T>;
/** A JSON Schema of one's own. */
export function schema<T = any>(json: object): Schema<T>;

/** Delays of which each is `factor` (2, unless it says so) times the one before. */
export function exponential(initial: Duration, more?: { factor?: number }): Exponential;
export interface Exponential {
  readonly exponential: { initial: number; factorPermille: number };
}

export interface Policy {
  /** Attempts after the first: 0 unless it says so, 10,000 at most. */
  retries?: number;
  /** The wait before each: the same, one for each retry (the last is repeated), or `exponential`. None unless it says so. */
  delay?: Duration | Duration[] | Exponential;
  /** No wait is longer. */
  delayMax?: Duration;
  /** Up to this share of the wait, 0 to 1, is added at random. */
  jitter?: number;
  /** No attempt begins later than that after the first one began. */
  giveUpAfter?: Duration;
  /** Codes, prefixes that end in `.*`, or classes of errors that are final, or that wait for a person. */
  failOn?: (string | (new (...given: any[]) => Error))[];
  parkOn?: (string | (new (...given: any[]) => Error))[];
  /** What becomes of it when the retries are used up. `"fail"` unless it says so. */
  whenExhausted?: "fail" | "park";
}

interface Common<R> extends Policy {
  /** 1 to 128 printable characters without `/`; the function's own unless it says so. */
  name?: string;
  description?: string;
  /** How long an attempt may take. */
  timeout?: Duration;
  /** How much processor time an attempt may use: 10 s unless it says so, and 300 s at most. */
  cpu?: Duration;
  /** What an attempt may use: `"64MiB"`, or a number of bytes. */
  memory?: string | number;
  /** Whether lines on stdout become log lines. Those on stderr do. */
  logPrints?: boolean;
  /** Whether the result is kept, and fed back to later attempts. It is unless it says so. */
  persistResult?: boolean;
  secrets?: string[];
  variables?: string[];
  /** What it returns. */
  returns?: Schema<R>;
}

export interface FlowOptions<S, R = any> extends Common<R> {
  /** Its parameters, by name; or the schema of an object. */
  parameters?: S;
}

export interface TaskOptions<S, R = any> extends Common<R> {
  /** Its input, by name; or the schema of an object. */
  input?: S;
  /** Raised when kept results must not be used by new code. `"1"` unless it says so. */
  version?: string;
  /** What limits are set for. */
  tags?: string[];
}

/** A task or a child flow that was asked for. To wait for it is to `await` it; what it failed with is thrown then. */
export class Call<R> implements Promise<R> {
  readonly name: string;
  readonly [Symbol.toStringTag]: string;
  catch<B = never>(reject?: ((error: any) => B | PromiseLike<B>) | null): Promise<R | B>;
  finally(done?: (() => void) | null): Promise<R>;
  then<A = R, B = never>(resolve?: ((it: R) => A | PromiseLike<A>) | null, reject?: ((error: any) => B | PromiseLike<B>) | null): Promise<A | B>;
  /** The one answer that may differ when an attempt goes on: see `waitAny`. */
  readonly isDone: boolean;
  /** Stops it; awaited, it fails with `host.cancelled`. */
  cancel(): void;
}

export interface Callable<I, R> {
  /** Runs it and waits for what it comes to. Outside of a host it is the body, called. */
  (...input: {} extends I ? [input?: I] : [input: I]): Promise<R>;
  /** Asks for it and returns at once; it runs beside the flow. */
  submit(...input: {} extends I ? [input?: I] : [input: I]): Call<R>;
  /** Asks for it once for each input before it waits for any, and returns the results in their order. */
  map(inputs: Iterable<I>): Promise<R[]>;
  /** The same, asked for otherwise: under a key that stands for its input, under another name for people, by another policy. */
  withOptions(options: Policy & { key?: string; runName?: string }): Callable<I, R>;
  /** Runs the body right here: without the host, a sandbox or retries. For tests. */
  body(...input: {} extends I ? [input?: I] : [input: I]): Promise<R>;
}

/** Declares a flow: a function that calls tasks. */
export function flow<R, const S extends Fields | Schema<any> = {}>(options: FlowOptions<S, R>, body: (given: Given<S>) => Promise<R> | PromiseLike<R> | R): Callable<Asked<S>, R>;
/** Declares a task: a function that is tried again by itself, in a sandbox of its own, and whose result is kept. */
export function task<R, const S extends Fields | Schema<any> = {}>(options: TaskOptions<S, R>, body: (given: Given<S>) => Promise<R> | PromiseLike<R> | R): Callable<Asked<S>, R>;

/** Waits until one of the calls is done, and returns its place; of several, that of the one done first. */
export function waitAny(calls: readonly Call<any>[]): Promise<number>;

/**
 * Why a flow or a task did not succeed. Of any other error, the code is its `code`, or the name of its class; what led to it (its
 * `cause`, the errors of an AggregateError) is told in its message.
 */
export class Failure extends Error {
  constructor(code: string, message?: string, more?: { permanent?: boolean; retryAfter?: Duration; details?: unknown; cause?: unknown });
  /** One that is not tried again. */
  static permanent(code: string, message?: string, more?: { details?: unknown; cause?: unknown }): Failure;
  /** What policies and people go by: short and dotted, `http.503`. */
  readonly code: string;
  readonly permanent: boolean;
  /** Milliseconds, instead of the policy's delay. */
  readonly retryAfter?: number;
  readonly details?: unknown;
}

export interface Run {
  flowRunId: string;
  flow: string;
  deployment?: string;
  /** Set inside a task. */
  task?: string;
  taskRunId?: string;
  /** Counted from 1 over the whole life of the run. */
  attempt: number;
  /** How many attempts the policy still allows in this round. */
  retriesLeft: number;
  /** The same for every attempt of this task run: send it outward, so that a repeated call is recognised. */
  idempotencyKey: string;
  scheduledFor: Date;
}

/** Returns who is running, and which try it is. */
export function context(): Run;
/** Waits. In a flow it is a durable wait, of 365 days at most. */
export function sleep(duration: Duration): Promise<void>;
export function secret(name: string): string;
export function variable<T = any>(name: string): T;

type Write = (message: string, fields?: Record<string, unknown>) => void;
/** Writes log lines with a level and fields of their own. */
export const log: { trace: Write; debug: Write; info: Write; warn: Write; error: Write };
