#include "retake.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/flow.h"
#include "check.h"

static void *allocate(size_t bytes) {
	void *made = calloc(1, bytes ? bytes : 1);
	if (!made) abort();
	return made;
}

static char *formatted(const char *format, va_list values) {
	va_list again;
	va_copy(again, values);
	int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0) abort();
	char *text = allocate((size_t)length + 1);
	vsnprintf(text, (size_t)length + 1, format, values);
	return text;
}

static char *cut(const uint8_t *at, size_t length) {
	char *text = allocate(length + 1);
	memcpy(text, at, length);
	return text;
}

// Returns a text with U+FFFD for what is not UTF-8.
static const char *readable(const char *text) {
	const char *end = text + strlen(text);
	char *made = allocate(3 * strlen(text) + 1), *out = made;
	while (text < end) {
		size_t length = retake_utf8_length(text, end);
		memcpy(out, length ? text : "\xEF\xBF\xBD", length ? length : 3);
		out += length ? length : 3;
		text += length ? length : 1;
	}
	return made;
}

// What is handed to the host, which frees it.
static flow_string_t given(const char *text) {
	flow_string_t copy;
	flow_string_dup(&copy, readable(text ? text : ""));
	return copy;
}

// The function that runs, and why it fails whatever it returns: it was given what C cannot hold. A body has no other way to be
// told: what it asks for from now on is refused, too.
static const char *running_kind = "", *running = "";
static const char *spoiled;

static void spoil(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void spoil(const char *format, ...) {
	if (spoiled) return;
	va_list values;
	va_start(values, format);
	spoiled = formatted(format, values);
	va_end(values);
}

// --- JSON. What is read here was checked by the host: it is JSON, and fits the schema.

static size_t skipped(retake_json in, size_t at) {
	while (at < in.length && strchr(" \t\n\r", in.at[at])) at++;
	return at;
}

static size_t end_of_string(retake_json in, size_t at) {
	for (at++; at < in.length && in.at[at] != '"'; at++)
		if (in.at[at] == '\\') at++;
	return at < in.length ? at + 1 : in.length;
}

static size_t end_of_value(retake_json in, size_t at) {
	if (at >= in.length) return in.length;
	if (in.at[at] == '"') return end_of_string(in, at);
	if (in.at[at] != '{' && in.at[at] != '[') {
		while (at < in.length && !strchr(",]} \t\n\r", in.at[at])) at++;
		return at;
	}
	size_t depth = 0;
	while (at < in.length) {
		char c = in.at[at];
		if (c == '"') {
			at = end_of_string(in, at);
			continue;
		}
		at++;
		if (c == '{' || c == '[') depth++;
		if ((c == '}' || c == ']') && --depth == 0) return at;
	}
	return in.length;
}

static retake_json part(retake_json in, size_t from, size_t to) { return (retake_json){in.at + from, to - from}; }

retake_json retake_get(retake_json object, const char *name) {
	size_t at = skipped(object, 0);
	if (at >= object.length || object.at[at] != '{') return (retake_json){NULL, 0};
	at = skipped(object, at + 1);
	while (at < object.length && object.at[at] == '"') {
		size_t end = end_of_string(object, at);
		const char *found = retake_text(part(object, at, end), "");
		at = skipped(object, skipped(object, end) + 1);
		end = end_of_value(object, at);
		if (strcmp(found, name) == 0) return part(object, at, end);
		at = skipped(object, end);
		if (at < object.length && object.at[at] == ',') at = skipped(object, at + 1);
	}
	return (retake_json){NULL, 0};
}

bool retake_each(retake_json array, size_t *place, retake_json *item) {
	size_t at = skipped(array, *place);
	if (*place == 0) {
		if (at >= array.length || array.at[at] != '[') return false;
		at = skipped(array, at + 1);
	} else if (at < array.length && array.at[at] == ',') {
		at = skipped(array, at + 1);
	}
	if (at >= array.length || array.at[at] == ']') return false;
	*place = end_of_value(array, at);
	*item = part(array, at, *place);
	return true;
}

// Returns a number as a text of its own; NULL for what is none.
static char *number_of(retake_json json) {
	if (json.length == 0 || !strchr("-0123456789", json.at[0])) return NULL;
	return cut((const uint8_t *)json.at, json.length);
}

int64_t retake_int(retake_json json, int64_t otherwise) {
	char *end, *text = number_of(json);
	if (!text) return otherwise;
	errno = 0;
	int64_t whole = strtoll(text, &end, 10);
	if (*end == 0 && errno == 0) return whole;
	double written = *end == 0 ? HUGE_VAL : strtod(text, NULL);
	if (written != trunc(written)) return otherwise;
	// `1e3` and `2.0` are whole numbers, and a double has them exactly as far as this.
	if (fabs(written) < 0x1p53) return (int64_t)written;
	spoil("%.60s does not fit into the 64 bits of an int64_t: pass its JSON on, or declare \"maximum\"", text);
	return otherwise;
}

double retake_double(retake_json json, double otherwise) {
	char *text = number_of(json);
	return text ? strtod(text, NULL) : otherwise;
}

bool retake_is_null(retake_json json) { return json.length == 4 && !memcmp(json.at, "null", 4); }

static unsigned hex(const char *at) {
	char digits[5] = {at[0], at[1], at[2], at[3], 0};
	return (unsigned)strtoul(digits, NULL, 16);
}

static char *utf8(char *out, unsigned code) {
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xC0 | code >> 6);
		*out++ = (char)(0x80 | (code & 63));
	} else if (code < 0x10000) {
		*out++ = (char)(0xE0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	} else {
		*out++ = (char)(0xF0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 63));
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	}
	return out;
}

const char *retake_text(retake_json json, const char *otherwise) {
	if (json.length < 2 || json.at[0] != '"') return otherwise;
	char *text = allocate(json.length), *out = text;
	for (size_t at = 1; at + 1 < json.length; at++) {
		if (json.at[at] != '\\') {
			*out++ = json.at[at];
			continue;
		}
		static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
		char c = json.at[++at];
		const char *known = strchr(from, c);
		if (c != 'u') {
			*out++ = known ? to[known - from] : c;
			continue;
		}
		if (at + 5 > json.length) break;
		unsigned code = hex(json.at + at + 1);
		at += 4;
		// Two halves of what is beyond 16 bits.
		if (code >= 0xD800 && code < 0xDC00 && at + 7 < json.length && json.at[at + 1] == '\\') {
			code = 0x10000 + ((code - 0xD800) << 10) + (hex(json.at + at + 3) - 0xDC00);
			at += 6;
		}
		if (code == 0) spoil("a text has the character U+0000, which ends a text in C");
		out = utf8(out, code);
	}
	*out = 0;
	return text;
}

const char *retake_quoted(const char *text) {
	char *quoted = allocate(6 * strlen(text) + 3), *out = quoted;
	*out++ = '"';
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (*at == '"' || *at == '\\') {
			*out++ = '\\';
			*out++ = (char)*at;
		} else if (*at < 0x20) {
			out += snprintf(out, 7, "\\u%04x", *at);
		} else {
			*out++ = (char)*at;
		}
	}
	*out++ = '"';
	return quoted;
}

// --- Outcomes.

retake_outcome retake_ok(const char *format, ...) {
	va_list values;
	va_start(values, format);
	char *text = formatted(format, values);
	va_end(values);
	return (retake_outcome){.kind = RETAKE_OK, .result = {text, strlen(text)}};
}

retake_outcome retake_fail(const char *code, const char *format, ...) {
	va_list values;
	va_start(values, format);
	char *message = formatted(format, values);
	va_end(values);
	return (retake_outcome){.kind = RETAKE_FAILED, .code = code, .message = message};
}

retake_outcome retake_permanent(const char *code, const char *format, ...) {
	va_list values;
	va_start(values, format);
	char *message = formatted(format, values);
	va_end(values);
	return (retake_outcome){.kind = RETAKE_FAILED, .code = code, .message = message, .permanent = true};
}

// --- What a flow may ask for.

// Calls that were refused before they reached the host have handles below 0.
static const char **refusals;
static int32_t refused_calls;

static retake_call submit(bool is_flow, const char *name, const char *input) {
	const char *why = retake_why_not_json(input, strlen(input));
	if (spoiled || why) {
		refusals = realloc(refusals, (size_t)(refused_calls + 1) * sizeof *refusals);
		if (!refusals) abort();
		char *message = allocate(strlen(name) + 600);
		if (spoiled) snprintf(message, 600, "%s", spoiled);
		else sprintf(message, "%s `%s`: its input %s", is_flow ? "flow" : "task", name, why);
		refusals[refused_calls++] = message;
		return (retake_call){-refused_calls};
	}
	flow_string_t called, with;
	flow_string_set(&called, name);
	flow_string_set(&with, input);
	retake_flow_tasks_options_t options = {0};
	return (retake_call){is_flow ? retake_flow_tasks_submit_flow(&called, &with, &options).__handle
	                             : retake_flow_tasks_submit(&called, &with, &options).__handle};
}

retake_call retake_submit(const char *task, const char *format, ...) {
	va_list values;
	va_start(values, format);
	char *input = formatted(format, values);
	va_end(values);
	return submit(false, task, input);
}

retake_call retake_submit_flow(const char *flow, const char *format, ...) {
	va_list values;
	va_start(values, format);
	char *parameters = formatted(format, values);
	va_end(values);
	return submit(true, flow, parameters);
}

retake_outcome retake_wait(retake_call call) {
	if (call.handle < 0)
		return (retake_outcome){.kind = RETAKE_FAILED, .code = "input.invalid", .message = refusals[-call.handle - 1], .permanent = true};
	flow_string_t result;
	retake_flow_tasks_failure_t failure;
	if (retake_flow_tasks_method_call_outcome((retake_flow_tasks_borrow_call_t){call.handle}, &result, &failure))
		return (retake_outcome){.kind = RETAKE_OK, .result = {cut(result.ptr, result.len), result.len}};
	retake_outcome outcome = {.kind = RETAKE_FAILED};
	outcome.code = cut(failure.code.ptr, failure.code.len);
	outcome.message = cut(failure.message.ptr, failure.message.len);
	outcome.permanent = failure.retry.tag == RETAKE_FLOW_TYPES_RETRY_ADVICE_NEVER;
	if (failure.retry.tag == RETAKE_FLOW_TYPES_RETRY_ADVICE_AFTER) outcome.after_ms = failure.retry.val.after;
	return outcome;
}

size_t retake_wait_any(const retake_call *calls, size_t count) {
	for (size_t n = 0; n < count; n++)
		if (calls[n].handle < 0) return n;    // It was refused, so it is done.
	retake_flow_tasks_list_borrow_call_t list = {allocate(count * sizeof(retake_flow_tasks_borrow_call_t)), count};
	for (size_t n = 0; n < count; n++) list.ptr[n].__handle = calls[n].handle;
	return retake_flow_tasks_wait_any(&list);
}

void retake_cancel(retake_call call) {
	if (call.handle >= 0) retake_flow_tasks_method_call_cancel((retake_flow_tasks_borrow_call_t){call.handle});
}

// --- Who is running.

retake_context retake_now_running(void) {
	retake_flow_context_run_t run;
	retake_flow_context_current(&run);
	return (retake_context){
		.flow_run_id = cut(run.flow_run_id.ptr, run.flow_run_id.len),
		.flow = cut(run.flow.ptr, run.flow.len),
		.task = run.task.is_some ? cut(run.task.val.ptr, run.task.val.len) : NULL,
		.attempt = run.attempt,
		.retries_left = run.retries_left,
		.idempotency_key = cut(run.idempotency_key.ptr, run.idempotency_key.len),
		.scheduled_for = run.scheduled_for,
	};
}

void retake_sleep(uint64_t milliseconds) { retake_flow_timers_sleep(milliseconds); }

void retake_log(retake_level level, const char *format, ...) {
	va_list values;
	va_start(values, format);
	flow_string_t message, fields;
	flow_string_set(&message, readable(formatted(format, values)));
	va_end(values);
	flow_string_set(&fields, "");
	retake_flow_log_write((retake_flow_log_level_t)level, &message, &fields);
}

// Says with which status a program ends itself: what the host hears of it is only that it was not 0.
_Noreturn void retake_exit(int status) {
	fflush(stdout);
	fprintf(stderr, "the program ended itself with status %d\n", status);
#undef exit
	exit(status);
}

// --- What the host calls.

static retake_flow_types_retry_policy_t policy(const retake_policy *from) {
	retake_flow_types_retry_policy_t to = {.retries = from->retries, .jitter = from->jitter_permille};
	size_t count = 0;
	while (from->delays_ms && from->delays_ms[count] != RETAKE_END) count++;
	if (count > 0 && from->factor_permille > 0) {
		to.delay.tag = RETAKE_FLOW_TYPES_DELAY_EXPONENTIAL;
		to.delay.val.exponential = (retake_flow_types_exponential_t){from->delays_ms[0], from->factor_permille};
	} else if (count > 1) {
		to.delay.tag = RETAKE_FLOW_TYPES_DELAY_LISTED;
		to.delay.val.listed.ptr = allocate(count * sizeof(uint64_t));
		to.delay.val.listed.len = count;
		memcpy(to.delay.val.listed.ptr, from->delays_ms, count * sizeof(uint64_t));
	} else {
		to.delay.tag = RETAKE_FLOW_TYPES_DELAY_FIXED;
		to.delay.val.fixed = count ? from->delays_ms[0] : 0;
	}
	if (from->delay_max_ms) {
		to.delay_max.is_some = true;
		to.delay_max.val = from->delay_max_ms;
	}
	to.when_exhausted = from->park ? RETAKE_FLOW_TYPES_WHEN_EXHAUSTED_PARK : RETAKE_FLOW_TYPES_WHEN_EXHAUSTED_FAIL;
	return to;
}

static retake_flow_types_limits_t limits(const retake_function *of) {
	retake_flow_types_limits_t limits = {0};
	if (of->memory_bytes) limits.memory_bytes = (flow_option_u64_t){true, of->memory_bytes};
	if (of->cpu_ms) {
		limits.cpu_time.is_some = true;
		limits.cpu_time.val = of->cpu_ms;
	}
	if (of->timeout_ms) {
		limits.timeout.is_some = true;
		limits.timeout.val = of->timeout_ms;
	}
	return limits;
}

static size_t counted(const retake_function *all) {
	size_t count = 0;
	while (all && all[count].name) count++;
	return count;
}

void exports_retake_flow_plugin_describe(exports_retake_flow_plugin_component_info_t *to) {
	*to = (exports_retake_flow_plugin_component_info_t){
		.name = given(retake_this.name),
		.version = given(retake_this.version ? retake_this.version : "0"),
		.description = given(retake_this.description),
	};
	to->flows.len = counted(retake_this.flows);
	to->flows.ptr = allocate(to->flows.len * sizeof *to->flows.ptr);
	for (size_t n = 0; n < to->flows.len; n++) {
		const retake_function *it = &retake_this.flows[n];
		retake_flow_types_flow_info_t *info = &to->flows.ptr[n];
		info->name = given(it->name);
		info->description = given(it->description);
		info->parameters = given(it->input ? it->input : "{\"type\": \"object\"}");
		info->returns.is_some = it->returns != NULL;
		if (it->returns) info->returns.val = given(it->returns);
		info->retry = policy(&it->policy);
		info->limits = limits(it);
		info->log_prints = it->log_prints;
		if (it->drop_result) info->persist_result = (flow_option_bool_t){true, false};
	}
	to->tasks.len = counted(retake_this.tasks);
	to->tasks.ptr = allocate(to->tasks.len * sizeof *to->tasks.ptr);
	for (size_t n = 0; n < to->tasks.len; n++) {
		const retake_function *it = &retake_this.tasks[n];
		retake_flow_types_task_info_t *info = &to->tasks.ptr[n];
		info->name = given(it->name);
		info->description = given(it->description);
		info->version = given(it->version ? it->version : "1");
		info->input = given(it->input ? it->input : "{\"type\": \"object\"}");
		info->returns.is_some = it->returns != NULL;
		if (it->returns) info->returns.val = given(it->returns);
		info->retry = policy(&it->policy);
		info->limits = limits(it);
		info->log_prints = it->log_prints;
		if (it->drop_result) info->persist_result = (flow_option_bool_t){true, false};
	}
}

// Returns what a body comes to: its outcome, or why that cannot be.
static retake_outcome checked(retake_outcome outcome) {
	if (spoiled) return retake_permanent("input.invalid", "%s `%s`: %s", running_kind, running, spoiled);
	if (outcome.kind == RETAKE_FAILED) return outcome;
	const char *why = retake_why_not_json(outcome.result.at, outcome.result.length);
	return why ? retake_permanent("result.invalid", "%s `%s`: its result %s", running_kind, running, why) : outcome;
}

static bool run(const char *kind, const retake_function *all, const flow_string_t *name, const flow_string_t *input,
                flow_string_t *result, exports_retake_flow_plugin_failure_t *failure) {
	// What was printed before a trap is kept, line by line.
	setvbuf(stdout, NULL, _IOLBF, 4096);
	running_kind = kind;
	running = cut(name->ptr, name->len);
	retake_outcome outcome = retake_permanent("unknown-name", "this component has no `%s`", running);
	for (size_t n = 0; n < counted(all); n++)
		if (strcmp(all[n].name, running) == 0)
			outcome = checked(all[n].body((retake_json){cut(input->ptr, input->len), input->len}));
	fflush(stdout);
	fflush(stderr);
	if (outcome.kind == RETAKE_OK) {
		flow_string_dup_n(result, outcome.result.at, outcome.result.length);
		return true;
	}
	*failure = (exports_retake_flow_plugin_failure_t){.code = given(outcome.code), .message = given(outcome.message)};
	failure->retry.tag = outcome.permanent  ? RETAKE_FLOW_TYPES_RETRY_ADVICE_NEVER
	                     : outcome.after_ms ? RETAKE_FLOW_TYPES_RETRY_ADVICE_AFTER
	                                        : RETAKE_FLOW_TYPES_RETRY_ADVICE_BY_POLICY;
	failure->retry.val.after = outcome.after_ms;
	return false;
}

bool exports_retake_flow_plugin_run_flow(flow_string_t *flow, flow_string_t *parameters, flow_string_t *result,
                                         exports_retake_flow_plugin_failure_t *failure) {
	return run("flow", retake_this.flows, flow, parameters, result, failure);
}

bool exports_retake_flow_plugin_run_task(flow_string_t *task, flow_string_t *input, flow_string_t *result,
                                         exports_retake_flow_plugin_failure_t *failure) {
	return run("task", retake_this.tasks, task, input, result, failure);
}
