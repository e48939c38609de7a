//! Every maximum in one place. Each says what it stops and what happens at the limit.

use std::time::Duration;

/// Largest component that is accepted, in bytes. A Python component is 22 MB; larger uploads are refused unread.
pub const COMPONENT_BYTES: usize = 64 << 20;
/// Largest value (parameters, input, result), in bytes. A larger result is `sandbox.output`.
pub const VALUE_BYTES: usize = 1 << 20;
/// Deepest nesting of a value: a parser's stack must not be a guest's to spend.
pub const VALUE_DEPTH: usize = 64;
/// Values up to this size are kept in the database itself, larger ones as files named by their digest.
pub const INLINE_BYTES: usize = 64 << 10;
/// Shortest time for which runs that have ended are kept, where they are not kept for ever.
pub const RETENTION_MIN: Duration = Duration::from_secs(60);
/// Largest secret and largest variable, in bytes: each is held in memory, for every deployment that is granted it.
pub const GRANTED_BYTES: usize = 64 << 10;
/// Most secrets, and most variables.
pub const GRANTED: usize = 1000;
/// Shortest secret that is looked for in what is kept of a run, in bytes: shorter ones would be found everywhere.
pub const HIDDEN_BYTES: usize = 8;
/// Longest name of a flow or a task, in bytes.
pub const NAME_BYTES: usize = 128;
/// Most calls of which it is kept that an attempt did not ask for them: with more it is kept of none.
pub const UNASKED: usize = 1000;
/// Most digits of a whole number: one that is larger is none that a double could stand for.
pub const DIGITS: usize = 308;
/// Most characters of an input by which people tell calls of one task apart.
pub const SUMMARY: usize = 40;
/// Most calls of children that a plan tells of, beside those of the run itself: beyond them a child is told of without
/// its calls.
pub const PLANNED_CALLS: usize = 1000;
/// Most bytes of the name of a host, by DNS's own bound; a longer one is left out of a message.
pub const HOST_NAME_BYTES: usize = 253;
/// Most entries of what is to go wrong in a run.
pub const INJECTIONS: usize = 32;
/// Longest free text in metadata, in bytes.
pub const TEXT_BYTES: usize = 2 << 10;
/// Longest author's key of a call, in bytes.
pub const KEY_BYTES: usize = 512;
/// Longest version of a task, in bytes.
pub const VERSION_BYTES: usize = 64;
/// Longest failure message; the rest is cut off, because a message is for people.
pub const MESSAGE_BYTES: usize = 8 << 10;
/// Largest schema in metadata, in bytes.
pub const SCHEMA_BYTES: usize = 256 << 10;
/// Largest answer of `describe`, in bytes over all its texts: what a person must be able to read, and the store to hold.
pub const METADATA_BYTES: usize = 4 << 20;
/// Most flows in one component.
pub const FLOWS: usize = 256;
/// Most tasks in one component.
pub const TASKS: usize = 1024;
/// Most tags of one task, capabilities of one flow or task, and rules of one policy.
pub const LIST_ITEMS: usize = 32;

/// Most retries that a policy may ask for.
pub const RETRIES: u32 = 10_000;
/// Longest single delay before a retry; longer computed delays are cut to it.
pub const DELAY: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most entries of a listed delay.
pub const DELAY_ENTRIES: usize = 100;
/// Smallest and largest growth of an exponential delay, in thousandths.
pub const FACTOR_PERMILLE: std::ops::RangeInclusive<u32> = 1000..=100_000;
/// Largest jitter, in thousandths.
pub const JITTER_PERMILLE: u16 = 1000;
/// Longest durable sleep. A longer one is cut to it.
pub const SLEEP: Duration = Duration::from_secs(365 * 24 * 3600);

/// Memory of one attempt unless it or its deployment says otherwise, in bytes.
pub const MEMORY_DEFAULT: u64 = 64 << 20;
/// Most memory that one attempt may ask for, in bytes.
pub const MEMORY_MAX: u64 = 256 << 20;
/// Processor time of one attempt unless it says otherwise. See `docs/decisions/0002-cpu-default.md`.
pub const CPU_DEFAULT: Duration = Duration::from_secs(10);
/// Most processor time that one attempt may ask for.
pub const CPU_MAX: Duration = Duration::from_secs(300);
/// Wall clock of one task attempt unless it says otherwise. A flow's attempt has none: its waits hold nothing.
pub const TASK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Longest wall clock that a task attempt may ask for. Whoever needs more wants a durable sleep in the flow.
pub const TASK_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Longest wall clock that a flow attempt may ask for.
pub const FLOW_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most calls of tasks and child flows in one attempt of a flow; the next is `sandbox.output`.
pub const CALLS_PER_RUN: u32 = 10_000;
/// Most bytes of the inputs and results of these calls; the next call is `sandbox.output`.
pub const CALL_BYTES_PER_RUN: usize = 100 << 20;
/// Most calls that are kept of one flow run, over all its attempts: a call that is asked with another input in each
/// attempt is another call each time. The next new one is `sandbox.output`.
pub const CALLS_KEPT_PER_RUN: u32 = 4 * CALLS_PER_RUN;
/// Most bytes of the inputs and results that are kept of them; the next new call is `sandbox.output`.
pub const CALL_BYTES_KEPT_PER_RUN: usize = 2 * CALL_BYTES_PER_RUN;
/// Most task attempts of one flow run that run side by side; more calls wait for their turn.
pub const TASKS_IN_FLIGHT: usize = 256;
/// How deep child flows may nest. A run tree that only ever grows would never end.
pub const FLOW_DEPTH: u32 = 4;

/// Log bytes kept of one attempt: what comes first. What is printed beyond is counted and dropped.
pub const LOG_BYTES: usize = 256 << 10;
/// Log lines kept of one attempt.
pub const LOG_LINES: usize = 10_000;
/// Longest log line; the rest of it is dropped.
pub const LOG_LINE_BYTES: usize = 8 << 10;

/// A wait at least this long is given to the store: the sandbox is dropped and the run is Suspended.
pub const SUSPEND_AFTER: Duration = Duration::from_secs(10);
/// How long past its due time a Scheduled run is shown as Late.
pub const LATE_AFTER: Duration = Duration::from_secs(15);
/// Lost hosts in a row on one attempt before the run is Crashed: nothing loops for ever.
pub const LOST_HOSTS: u32 = 3;

/// Longest cron expression, in bytes; a longer one is refused unread.
pub const CRON_BYTES: usize = 256;
/// Shortest and longest time between two slots of a schedule. Below it one schedule would be all that a node does.
pub const SCHEDULE_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 24 * 3600);
/// Longest jitter of a schedule.
pub const SCHEDULE_JITTER: Duration = Duration::from_secs(24 * 3600);
/// Most slots that are caught up at once: a server that comes back after a month must not drown in what it missed.
/// The latest ones count, earlier ones make no runs.
pub const CATCH_UP_SLOTS: usize = 100;
/// How long past its instant a slot counts as missed. A restart and a busy minute of the server are within it, so that
/// a schedule which catches nothing up still makes the run that a person saw announced.
pub const MISSED_AFTER: Duration = Duration::from_secs(60);
/// Highest limit of runs that are worked on at once, of a queue or a deployment: more than any host has room for.
pub const CONCURRENCY: u32 = 1_000_000;
