//! The shapes of the core's types, for the OpenAPI document alone: the core knows nothing of HTTP.
//!
//! A test compares each with what the core really writes.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "they are read by the derive macro; what a field means stands at its original"
)]

use utoipa::ToSchema;

/// Any JSON value.
#[derive(ToSchema)]
#[schema(value_type = serde_json::Value)]
pub struct Any(serde_json::Value);

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum CallKind {
    Task,
    Flow,
    Sleep,
}

/// Why a flow or a task did not succeed.
#[derive(ToSchema)]
pub struct Failure {
    /// Dotted and open, such as `http.503`. `sandbox.`, `host.` and `input.` are the host's own.
    code: String,
    message: String,
    /// What its author knows about trying again: `never`, or `{"after": milliseconds}`. Absent: the policy decides.
    #[schema(value_type = Any, required = false)]
    retry: Option<Any>,
    #[schema(value_type = Any, required = false)]
    details: Option<Any>,
}

/// What one attempt used, measured by the host.
#[derive(ToSchema)]
pub struct Evidence {
    /// Time on a processor, in microseconds.
    cpu_us: u64,
    /// Most memory held at once, in bytes.
    peak_memory: u64,
    /// Bytes of result and of kept log lines.
    bytes_out: u64,
    /// Bytes of log lines that were over a bound and dropped.
    log_bytes_dropped: u64,
}

/// What a run is asked for beyond what its flow's metadata says.
#[derive(ToSchema)]
pub struct Overrides {
    #[schema(value_type = Option<Object>)]
    retry: Option<Any>,
    /// Retries of the flow.
    retries: Option<u32>,
    /// Milliseconds before each retry of the flow.
    retry_delay: Option<u64>,
    /// Milliseconds of wall clock for each attempt of the flow.
    timeout: Option<u64>,
    /// Bytes of memory for each attempt.
    memory_bytes: Option<u64>,
    /// What is to go wrong, such as `task:charge=fail*2`.
    inject: Option<Vec<String>>,
    /// The span that asked for the run, as it was sent.
    traceparent: Option<String>,
    /// The same for the present round alone.
    #[schema(value_type = Option<Object>)]
    this_round: Option<Any>,
}

/// What a component says about itself.
#[derive(ToSchema)]
pub struct ComponentInfo {
    name: String,
    version: String,
    description: String,
    #[schema(value_type = Vec<Object>)]
    flows: Vec<Any>,
    #[schema(value_type = Vec<Object>)]
    tasks: Vec<Any>,
}

/// When slots come.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum When {
    /// At the times of an expression of five fields: minute, hour, day of the month, month, day of the week.
    Cron {
        /// Such as `0 6 * * 1-5`, or `@daily`.
        expression: String,
        /// An IANA name, such as `Europe/Berlin`; `UTC` unless it says so.
        time_zone: Option<String>,
    },
    /// Again and again.
    Every {
        /// Milliseconds.
        #[schema(minimum = 1000, maximum = 31_622_400_000u64)]
        interval_ms: u64,
        /// An instant that is a slot; the epoch unless it says so.
        #[schema(value_type = Option<String>, format = DateTime)]
        anchor: Option<String>,
    },
    /// Once.
    Once {
        #[schema(value_type = String, format = DateTime)]
        at: String,
    },
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Overlap {
    Allow,
    Skip,
    Queue,
}

#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum CatchUp {
    None,
    Latest,
    All,
}

/// The states that people may be told of.
#[derive(ToSchema)]
pub enum ToldOf {
    Completed,
    Failed,
    TimedOut,
    Crashed,
    Cancelled,
    Parked,
    AwaitingRetry,
}
