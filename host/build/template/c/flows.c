// A flow with two tasks: `retake run . -p name=Ann` builds it and runs it.

#include <inttypes.h>
#include <stdio.h>

#include "retake.h"

// A task runs in a sandbox of its own, and its result is kept. When the flow is retried, by its policy or by you, a task
// that has succeeded is not run again: its result is fed back.
static retake_outcome compose(retake_json in) {
	const char *name = retake_text(retake_get(in, "name"), "");
	// With `log_prints`, this is in `retake logs RUN`.
	printf("writing to %s\n", name);
	char greeting[300];
	snprintf(greeting, sizeof greeting, "Hello, %s!", name);
	return retake_ok("%s", retake_quoted(greeting));
}

// The outside world is flaky, so up to two more attempts are made, the first after 1 s and the next after 2 s.
static retake_outcome send(retake_json in) {
	// Counted from 1 over the whole life of the run, also when you retry it.
	uint32_t attempt = retake_now_running().attempt;
	if (attempt <= retake_int(retake_get(in, "fails"), 0))
		// The first text is a code: rules of a policy, filters and notifications go by it.
		return retake_fail("mail.busy", "the mail server is busy, attempt %" PRIu32, attempt);
	const char *greeting = retake_text(retake_get(in, "greeting"), "");
	printf("sent: %s\n", greeting);
	return retake_ok("{\"greeting\": %s, \"attempt\": %" PRIu32 "}", retake_quoted(greeting), attempt);
}

// When the body fails it is run again from its beginning, once, after 5 s: `compose` is answered with its kept result,
// `send` is tried again.
static retake_outcome greet(retake_json in) {
	const char *name = retake_quoted(retake_text(retake_get(in, "name"), ""));
	retake_outcome greeting = retake_run("compose", "{\"name\": %s}", name);
	if (greeting.kind == RETAKE_FAILED) return greeting;
	int64_t fails = retake_int(retake_get(in, "fails"), 1);
	return retake_run("send", "{\"greeting\": %.*s, \"fails\": %" PRId64 "}", (int)greeting.result.length,
	                  greeting.result.at, fails);
}

// Whatever the component has is listed here. `input` is the JSON Schema that the host checks parameters by.
const retake_component retake_this = {
	.name = "@name@",
	.version = "0.1.0",
	.description = "Greets somebody",
	.flows = (const retake_function[]){
		{"@name@", "Greets somebody.", greet, .log_prints = true,
		 .policy = {.retries = 1, .delays_ms = RETAKE_DELAYS(5000)},
		 .input = "{\"type\": \"object\", \"required\": [\"name\"], \"additionalProperties\": false, \"properties\": {"
		          "\"name\": {\"type\": \"string\", \"maxLength\": 200, \"description\": \"Whom to greet.\"},"
		          "\"fails\": {\"type\": \"integer\", \"minimum\": 0, \"default\": 1, \"description\":"
		          "\"How many attempts to send fail. With 6 all attempts are used up.\"}}}"},
		{0},
	},
	.tasks = (const retake_function[]){
		{"compose", "Writes the greeting.", compose, .log_prints = true},
		{"send", "Sends it.", send, .log_prints = true, .policy = {.retries = 2, .delays_ms = RETAKE_DELAYS(1000, 2000)}},
		{0},
	},
};
