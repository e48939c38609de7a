// What is stored, and how failures are told, as a test of the host looks at it: the same in every language.

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retake.h"

retake_outcome not_a_number(retake_json in) { return (void)in, retake_ok("%f", (double)NAN); }

retake_outcome nan_inside(retake_json in) { return (void)in, retake_ok("{\"rows\": [%f, %f]}", 1.5, (double)NAN); }

retake_outcome infinite(retake_json in) { return (void)in, retake_ok("%f", (double)INFINITY); }

retake_outcome half(retake_json in) { return retake_ok("%.17g", retake_double(retake_get(in, "x"), 0) / 2); }

// A text without its quotes: the commonest way to write what is no JSON.
retake_outcome unstorable(retake_json in) { return (void)in, retake_ok("{\"name\": %s}", "Ann"); }

retake_outcome misfit(retake_json in) { return (void)in, retake_ok("\"seven\""); }

// As it was given, which is exact whatever its size.
retake_outcome same(retake_json in) {
	retake_json n = retake_get(in, "n");
	return retake_ok("%.*s", (int)n.length, n.at);
}

retake_outcome no_items(retake_json in) { return (void)in, retake_ok("[]"); }

retake_outcome no_entries(retake_json in) { return (void)in, retake_ok("{}"); }

retake_outcome count_items(retake_json in) {
	int count = 0;
	retake_json item;
	for (size_t place = 0; retake_each(retake_get(in, "items"), &place, &item);) count++;
	return retake_ok("%d", count);
}

retake_outcome half_emoji(retake_json in) { return (void)in, retake_ok("\"\xf0\x9f\""); }

retake_outcome ends(retake_json in) {
	(void)in;
	exit(3);
}

retake_outcome reason(retake_json in) {
	int64_t list[] = {1, 2, 3}, place = retake_int(retake_get(in, "place"), 5);
	assert(place < 3 && "index out of range");
	return retake_ok("%" PRId64, list[place]);
}

retake_outcome outer(retake_json in) { return (void)in, retake_run("same", "{\"n\": 1}"); }

retake_outcome defaults(retake_json in) {
	return retake_ok("[%" PRId64 ", %" PRId64 "]", retake_int(retake_get(in, "limit"), 10),
	                 retake_int(retake_get(retake_get(in, "options"), "depth"), 3));
}

// The schema says that it is a day, and the host sees to it.
retake_outcome day_after(retake_json in) {
	int year = 0, month = 0, day = 0;
	sscanf(retake_text(retake_get(in, "day"), ""), "%d-%d-%d", &year, &month, &day);
	int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	int days = month == 2 ? 28 + leap : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
	if (++day > days) day = 1, month++;
	if (month > 12) month = 1, year++;
	return retake_ok("\"%04d-%02d-%02d\"", year, month, day);
}

static retake_outcome empty(const char *task) {
	retake_outcome made = retake_run(task, "{}");
	if (made.kind == RETAKE_FAILED) return made;
	retake_outcome count = retake_run("count_items", "{\"items\": %.*s}", (int)made.result.length, made.result.at);
	if (count.kind == RETAKE_FAILED) return count;
	retake_outcome child =
		retake_wait(retake_submit_flow("store-child", "{\"items\": %.*s}", (int)made.result.length, made.result.at));
	if (child.kind == RETAKE_FAILED) return child;
	return retake_ok("[%.*s, %.*s]", (int)count.result.length, count.result.at, (int)child.result.length, child.result.at);
}

static retake_outcome which_day(retake_json day) {
	if (day.length == 0) return retake_ok("\"unset\"");
	if (retake_is_null(day)) return retake_ok("\"null\"");
	return retake_ok("%s", retake_quoted(retake_text(day, "")));
}

retake_outcome store(retake_json in) {
	const char *what = retake_text(retake_get(in, "what"), "");
	// These are called as their task is.
	static const char *const tasks[] = {"nan", "nan-inside", "infinite", "unstorable", "misfit", "half-emoji", "exit", "reason"};
	for (size_t n = 0; n < sizeof tasks / sizeof *tasks; n++)
		if (!strcmp(what, tasks[n])) return retake_run(tasks[n], "{}");
	if (!strcmp(what, "nan-given")) return retake_run("half", "{\"x\": %f}", (double)NAN);
	if (!strcmp(what, "big")) return retake_run("same", "{\"n\": 9007199254740993}");
	if (!strcmp(what, "huge")) return retake_run("same", "{\"n\": 123456789012345678901234567890}");
	if (!strcmp(what, "empty-list")) return empty("none");
	if (!strcmp(what, "empty-map")) return empty("none-mapped");
	if (!strcmp(what, "half-emoji-said")) {
		puts("printed \xf0\x9f");
		retake_log(RETAKE_INFO, "logged \xf0\x9f");
		return retake_fail("demo.said", "said \xf0\x9f");
	}
	if (!strcmp(what, "last-print")) return printf("no end of line"), retake_ok("null");
	if (!strcmp(what, "task-in-task")) return retake_run("outer", "{}");
	if (!strcmp(what, "default")) return retake_run("defaults", "{}");
	if (!strcmp(what, "dates")) return retake_run("day_after", "{\"day\": \"2026-02-28\"}");
	if (!strcmp(what, "date-misfit")) return retake_run("day_after", "{\"day\": \"2026-02-30\"}");
	if (!strcmp(what, "null-or-unset")) return which_day(retake_get(in, "day"));
	return retake_permanent("demo.unknown", "there is no case \"%s\"", what);
}
