// What every language does alike, as a test of the host looks at it.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "retake.h"

static int64_t n_of(retake_json in) { return retake_int(retake_get(in, "n"), 0); }

static uint32_t attempt(void) { return retake_now_running().attempt; }

retake_outcome twice(retake_json in) { return retake_ok("%" PRId64, 2 * n_of(in)); }

retake_outcome nap(retake_json in) {
	int64_t ms = retake_int(retake_get(in, "ms"), 0);
	retake_sleep((uint64_t)ms);
	return retake_ok("%" PRId64, ms);
}

retake_outcome permanent(retake_json in) { return (void)in, retake_permanent("demo.final", "it stays so"); }

retake_outcome later(retake_json in) {
	(void)in;
	retake_outcome it = retake_fail("demo.later", "%s", "");
	it.after_ms = 50;
	return attempt() == 1 ? it : retake_ok("%" PRIu32, attempt());
}

retake_outcome shaky(retake_json in) {
	return attempt() == 1 ? retake_fail("demo.shaky", "the first attempt fails") : retake_ok("%" PRId64, n_of(in));
}

retake_outcome count(retake_json in) {
	static int counted;
	(void)in, counted++;
	return attempt() < 3 ? retake_fail("demo.again", "not yet") : retake_ok("%d", counted);
}

retake_outcome none(retake_json in) { return (void)in, retake_ok("null"); }

retake_outcome behave_child(retake_json in) { return retake_ok("%" PRId64, n_of(in) + 1); }

retake_outcome behave(retake_json in) {
	const char *what = retake_text(retake_get(in, "what"), "");
	if (!strcmp(what, "success")) return retake_ok("{\"ok\": true}");
	if (!strcmp(what, "failure")) return retake_fail("demo.broken", "it is broken");
	if (!strcmp(what, "uncaught")) __builtin_trap();
	if (!strcmp(what, "permanent")) return retake_run("permanent", "{}");
	if (!strcmp(what, "retry-after")) return retake_run("later", "{}");
	if (!strcmp(what, "child")) return retake_wait(retake_submit_flow("behave-child", "{\"n\": 20}"));
	if (!strcmp(what, "fresh")) return retake_run("count", "{}");
	if (!strcmp(what, "map")) {
		retake_call calls[4];
		int64_t doubled[4];
		for (int n = 0; n < 4; n++) calls[n] = retake_submit("double", "{\"n\": %d}", n + 1);
		for (int n = 0; n < 4; n++) doubled[n] = retake_int(retake_wait(calls[n]).result, 0);
		return retake_ok("[%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "]", doubled[0], doubled[1], doubled[2],
		                 doubled[3]);
	}
	if (!strcmp(what, "wait-any")) {
		retake_call calls[] = {retake_submit("nap", "{\"ms\": 400}"), retake_submit("nap", "{\"ms\": 0}")};
		return retake_ok("%zu", retake_wait_any(calls, 2));
	}
	if (!strcmp(what, "kept")) {
		retake_outcome doubled = retake_run("double", "{\"n\": 21}");
		if (doubled.kind == RETAKE_FAILED) return doubled;
		return retake_run("shaky", "{\"n\": %" PRId64 "}", retake_int(doubled.result, 0));
	}
	if (!strcmp(what, "print")) {
		puts("one line");
		fputs("another\n", stderr);
		return retake_ok("null");
	}
	return retake_permanent("demo.unknown", "there is no behaviour \"%s\"", what);
}
