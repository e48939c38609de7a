/** What the server sends, as far as the pages read it: `docs/api/openapi.json` has all of it. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Obj = { [name: string]: Json };
export type Role = "viewer" | "operator" | "deployer" | "admin";
export interface Page<T> { items: T[]; next?: string }

export interface Failure { code: string; message: string; retry?: Json; details?: Json }
export interface Evidence { peak_memory: number; cpu_us: number; bytes_out: number; log_bytes_dropped: number }
export interface Attempt {
  attempt: number; began: string; ended: string; took_ms: number; failure?: Failure; evidence: Evidence;
}
export interface Overrides {
  memory_bytes?: number; retries?: number; retry_delay?: number; timeout?: number; retry?: Policy | null;
  this_round?: { retries?: number; retry_delay?: number; timeout?: number; retry?: Policy | null } | null;
}
export interface Task {
  id: string; number: number; kind: "task" | "flow" | "sleep"; task: string; label?: string; child?: string;
  state: string; flow_attempt: number; attempts: number; by_hand: boolean; round: number; due?: string;
  began: string; ended: string; took_ms: number; input?: Json; input_bytes: number; result?: Json;
  result_bytes?: number; failure?: Failure; evidence: Evidence; earlier_attempts: Attempt[];
}
export interface RunEvent { at: string; kind: string; details: Obj }
export interface Run {
  id: string; name: string; flow: string; deployment?: string; queue: string; component: string; state: string;
  attempt: number; round: number; due?: string; created: string; began?: string; ended?: string; parent?: string;
  parameters?: Obj; overrides: Overrides; result?: Json; failure?: Failure; tasks?: Task[]; attempts?: Attempt[];
  events?: RunEvent[]; took_ms?: number; host_gone?: boolean; children?: Run[];
  waits_for?: string; component_removed?: string;
}
export interface Line {
  at: string; run?: string; task?: string; call?: number; attempt: number; level: string; message: string; fields?: Obj;
}
export interface Live {
  run: string; at: string; kind: string; number?: number; name?: string; attempt?: number; took_ms?: number;
  failure?: Failure; retry_at?: string; state?: string; due?: string; child?: string;
}
export interface Counts {
  from: string; until: string; bucket_ms: number; states: { [state: string]: number[] };
  total: { [state: string]: number }; complete?: boolean;
}
export interface PlannedCall {
  child?: string; children?: PlannedCall[]; title?: string;
  number: number; kind: string; task: string; label?: string; keyed: boolean; fate: string; why: string;
}
export interface Plan {
  run: string; attempt: number; component: string; new_code: boolean; new_parameters: boolean; calls: PlannedCall[];
}
export interface Retried { plan: Plan; applied: boolean; run: Run; last_event: string }
export interface Bulk { applied: boolean; runs: Run[]; refused: { run: string; error: Wrong }[]; more: boolean }
export interface Wrong {
  code: string; message: string; hint: string; causes?: string[]; request_id?: string; retry_after?: number;
}
export type Delay = { fixed: number } | { listed: number[] } |
  { exponential: { initial: number; factor_permille: number } };
export interface Policy {
  retries: number; delay: Delay; delay_max?: number | null; jitter_permille: number; give_up_after?: number | null;
  rules: { codes: string[]; action: Json }[]; when_exhausted: "fail" | "park";
}
export interface Limits { memory_bytes: number | null; cpu_time: number | null; timeout: number | null }
export type Capability = { http: string } | { dir: { name: string; writable: boolean } } | { secret: string } |
  { variable: string };
export interface Schema {
  type?: string | string[]; title?: string; description?: string; default?: Json; enum?: Json[]; const?: Json;
  properties?: { [name: string]: Schema }; required?: string[]; items?: Schema; oneOf?: Schema[]; anyOf?: Schema[];
  allOf?: Schema[]; $ref?: string; $defs?: { [name: string]: Schema }; definitions?: { [name: string]: Schema };
  minimum?: number; maximum?: number; minLength?: number; maxLength?: number; pattern?: string; format?: string;
  /** Not of the schema: that a part of it is null. */
  nullable?: boolean;
}
export interface FlowInfo {
  name: string; description: string; parameters: Schema; returns: Schema | null; retry: Policy; limits: Limits;
  capabilities: Capability[]; log_prints: boolean; persist_result: boolean | null; extensions: Json;
}
export interface TaskInfo extends Omit<FlowInfo, "parameters"> { version: string; input: Schema; tags: string[] }
export interface Component {
  digest: string; bytes: number; uploaded: string; name: string; version: string; description: string;
  flows: FlowInfo[]; tasks: TaskInfo[];
}
export interface Inspection extends Omit<Component, "uploaded"> { imports: string[] }
export interface Flow extends FlowInfo { component: string; component_name: string; component_version: string }
export interface PolicyAsk { retries?: number; retry_delay_ms?: number; timeout_ms?: number; memory_bytes?: number }
export interface Deployment {
  flow: string; name: string; full_name: string; component: string; queue: string; description: string;
  parameters: Obj; paused: boolean; policy: PolicyAsk; concurrency?: number; retention_ms?: number;
  secrets: string[]; variables: string[]; tags: string[]; updated: string; version: number;
}
export interface Change { what: string; from?: Json; to?: Json }
export interface Deployed {
  applied: boolean; created: boolean; changes: Change[]; not_granted: string[]; deployment: Deployment;
}
export interface ScheduleAsk {
  deployment: string; paused?: boolean; parameters?: Obj; jitter_ms?: number;
  overlap?: "allow" | "skip" | "queue"; catch_up?: "none" | "latest" | "all";
  when: { cron?: { expression: string; time_zone?: string }; every?: { interval_ms: number; anchor?: string };
    once?: { at: string } };
}
export interface Schedule {
  failed?: { slot: string; error: string };
  name: string; schedule: ScheduleAsk; next: string[]; queued: string[]; last?: string; version: number;
}
export interface Rule {
  to: { webhook?: { url: string; secret?: string }; slack?: { url: string }; apprise?: { url: string };
    email?: { addresses: string[] } };
  states?: string[]; flow?: string; deployment?: string; tag?: string; in_a_row?: number; quiet_ms?: number;
  paused?: boolean;
}
export interface Notification { name: string; rule: Rule; version: number }
export interface Delivery {
  id: string; rule: string; run?: string; state: string; attempts: number; answer?: string; created: string;
  due?: string; ended?: string; body: Json;
}
export interface Node {
  name: string; draining: boolean; since: string; version: string; queues: string[];
  flow_runs: { used: number; slots: number }; task_attempts: { used: number; slots: number };
}
export interface Limited { name: string; concurrency: number }
export interface Secret { name: string; updated: string; version: number; granted_to: string[] }
export interface Variable extends Secret { value: Json }
export interface Token { name: string; role: Role; created: string; expires?: string; token?: string }
export interface AuditEntry { actor: string; action: string; subject: string; at: string; details: Obj }
export interface Setting { name: string; value?: string; default?: string; from?: string; unit?: string; what: string }
export interface Session { name: string; role: Role; expires?: string }
