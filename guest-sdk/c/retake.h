// Writes flows and tasks for Retake in C.
//
// A component is one `retake_component` named `retake_this`, which lists its flows and tasks. A flow is a function that
// calls tasks; a task is a function that may fail, and is tried again when it does. Both take JSON and return an outcome.
// Nothing has to be freed: memory ends with the attempt, which has a sandbox of its own.
//
// `retake build` compiles all `*.c` of a directory together with this SDK; README.md says more.
#ifndef RETAKE_H
#define RETAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// Whoever calls `exit` ends the attempt, and this says with which status.
_Noreturn void retake_exit(int status);
#define exit(status) retake_exit(status)

// --- JSON, as it was given or was returned.

// A piece of JSON text within a larger one; an empty one stands for what is not there.
typedef struct {
	const char *at;
	size_t length;
} retake_json;

// Returns a member of an object, or an empty piece.
retake_json retake_get(retake_json object, const char *name);
// Goes over an array: false when there is nothing left. `place` begins as 0.
bool retake_each(retake_json array, size_t *place, retake_json *item);
// Whether it is there and null; what is absent has no length.
bool retake_is_null(retake_json json);
// Returns a whole number, or `otherwise` for what is none: absent, null, a text, 1.5. One of more than 64 bits is never cut: it
// fails the attempt with `input.invalid`, whatever the body returns.
int64_t retake_int(retake_json json, int64_t otherwise);
// Returns a number, or `otherwise` for what is none.
double retake_double(retake_json json, double otherwise);
// Returns a text with its escapes resolved, or `otherwise` for what is none.
const char *retake_text(retake_json json, const char *otherwise);

// --- Outcomes.

typedef enum { RETAKE_OK, RETAKE_FAILED } retake_kind;

typedef struct {
	retake_kind kind;
	retake_json result;    // Of one that succeeded.
	const char *code;      // Of a failure: short and dotted, `http.503`. Policies and people go by it.
	const char *message;
	bool permanent;        // No retry can mend it.
	uint64_t after_ms;     // When not 0: the next attempt is made after so long, and not after the policy's wait.
} retake_outcome;

// Returns a result: JSON, written as printf does. `%s` of a text needs its quotes: see `retake_quoted`. What is no JSON, NaN say,
// fails the attempt for good with `result.invalid`.
retake_outcome retake_ok(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Returns a failure that is retried as the policy says.
retake_outcome retake_fail(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Returns a failure that no retry can mend.
retake_outcome retake_permanent(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Returns a text as JSON, with its quotes.
const char *retake_quoted(const char *text);

// --- What a flow may ask for.

// A task or a flow that was asked for.
typedef struct {
	int32_t handle;
} retake_call;

// Asks for a task of this component, its input written as printf does, and returns at once: it runs beside the flow. An input
// that is no JSON is the failure `input.invalid`, which `retake_wait` returns.
retake_call retake_submit(const char *task, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Asks for a flow of this component: a run of its own.
retake_call retake_submit_flow(const char *flow, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Waits until it has succeeded, or has failed for good.
retake_outcome retake_wait(retake_call call);
// Waits until one of them is done and returns its place; of several, that of the one done first.
size_t retake_wait_any(const retake_call *calls, size_t count);
// Stops it; its outcome is then the failure `host.cancelled`.
void retake_cancel(retake_call call);
// Runs a task and waits for what it comes to.
#define retake_run(task, ...) retake_wait(retake_submit(task, __VA_ARGS__))

// --- Who is running.

typedef struct {
	const char *flow_run_id, *flow, *task;    // `task` is NULL in a flow.
	uint32_t attempt;                         // From 1, over the whole life of the run.
	uint32_t retries_left;
	const char *idempotency_key;              // The same for every attempt: send it outward.
	uint64_t scheduled_for;                   // Unix milliseconds.
} retake_context;

retake_context retake_now_running(void);
// Waits. In a flow it is a durable wait, which outlives the host's process.
void retake_sleep(uint64_t milliseconds);

typedef enum { RETAKE_TRACE, RETAKE_DEBUG, RETAKE_INFO, RETAKE_WARN, RETAKE_ERROR } retake_level;
void retake_log(retake_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// --- What a component consists of.

typedef struct {
	uint32_t retries;              // Attempts after the first, at most 10,000.
	const uint64_t *delays_ms;     // The waits before them, ended by RETAKE_END; the last is repeated.
	uint32_t factor_permille;      // When not 0: each wait is so many thousandths of the one before; 2000 doubles.
	uint64_t delay_max_ms;         // When not 0: no wait is longer.
	uint16_t jitter_permille;      // Up to this share of the wait is added at random.
	bool park;                     // Waits for a person when the retries are used up, instead of failing.
} retake_policy;

#define RETAKE_END UINT64_MAX
// The waits of a policy, in milliseconds.
#define RETAKE_DELAYS(...) ((const uint64_t[]){__VA_ARGS__, RETAKE_END})

// A flow or a task.
typedef struct {
	const char *name;              // 1 to 128 printable characters without `/`.
	const char *description;
	retake_outcome (*body)(retake_json input);
	const char *input;             // JSON Schema of one object; NULL for one with any members.
	const char *returns;           // JSON Schema; NULL for anything.
	retake_policy policy;
	bool log_prints;               // Whether lines on stdout become log lines. Those on stderr do.
	bool drop_result;              // Whether the result is not kept, so that it is run again in each attempt of its flow.
	const char *version;           // Of a task: raised when kept results must not be used by new code. NULL is "1".
	uint64_t timeout_ms, memory_bytes;    // When not 0: what one attempt may use; 64 MiB otherwise.
	uint64_t cpu_ms;                      // The same for processor time: 10,000 otherwise, and 300,000 at most.
} retake_function;

// Lists end with a function without a name.
typedef struct {
	const char *name, *version, *description;
	const retake_function *flows, *tasks;
} retake_component;

extern const retake_component retake_this;

#endif
