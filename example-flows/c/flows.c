// All flows of the component: `retake build example-flows/c`.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retake.h"

#define FIVE_MINUTES (5 * 60 * 1000)

// --- retry-it, and the same without retries.

// Counts how often a flow was entered in this sandbox. Each attempt gets a fresh one, so nobody ever sees another number
// than 1.
static int starts;

static retake_outcome try_luck(retake_json in) {
	uint32_t attempt = retake_now_running().attempt;
	printf("Hi from Retake! attempt %" PRIu32 ", start %d of this sandbox\n", attempt, ++starts);
	// The host rolls the dice anew for each attempt.
	uint8_t dice;
	arc4random_buf(&dice, 1);
	int64_t fail_times = retake_int(retake_get(in, "fail_times"), -1);
	if (fail_times < 0 ? dice % 2 : attempt <= fail_times)
		return retake_fail("luck.bad", "attempt %" PRIu32 " failed", attempt);
	return retake_ok("{\"attempt\": %" PRIu32 ", \"starts\": %d}", attempt, starts);
}

#define LUCK "{\"type\": \"object\", \"properties\": {\"fail_times\": {\"type\": [\"integer\", \"null\"], \"minimum\": 0," \
	"\"description\": \"Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck.\"}}," \
	"\"additionalProperties\": false}"

// --- orders: three tasks in a row, each with a policy of its own.

static void pause_for(retake_json in) { retake_sleep((uint64_t)retake_int(retake_get(in, "pause_ms"), 0)); }

static retake_outcome extract(retake_json in) {
	printf("extract: attempt %" PRIu32 "\n", retake_now_running().attempt);
	pause_for(in);
	const char *customer = retake_text(retake_get(in, "customer"), "");
	char id[3][200];
	for (int n = 0; n < 3; n++) snprintf(id[n], sizeof id[n], "%s-%d", customer, n + 1);
	return retake_ok("[{\"id\": %s, \"cents\": 1250, \"country\": null}, {\"id\": %s, \"cents\": 2500, \"country\": null},"
	                 "{\"id\": %s, \"cents\": 3750, \"country\": null}]",
	                 retake_quoted(id[0]), retake_quoted(id[1]), retake_quoted(id[2]));
}

// Its two retries are used up within this task run: the flow does not notice them.
static retake_outcome enrich(retake_json in) {
	uint32_t attempt = retake_now_running().attempt;
	printf("enrich: attempt %" PRIu32 "\n", attempt);
	pause_for(in);
	if (attempt <= retake_int(retake_get(in, "fails"), 0))
		return retake_fail("http.503", "the service is away, attempt %" PRIu32, attempt);
	retake_json orders = retake_get(in, "orders"), order;
	char *list = calloc(1, 2 * orders.length + 200), *out = list;
	for (size_t place = 0; retake_each(orders, &place, &order);)
		out += sprintf(out, "%s{\"id\": %s, \"cents\": %" PRId64 ", \"country\": \"NL\"}", out == list ? "" : ",",
		               retake_quoted(retake_text(retake_get(order, "id"), "")), retake_int(retake_get(order, "cents"), 0));
	return retake_ok("[%s]", list);
}

// Without retries: a failure here fails the flow.
static retake_outcome load(retake_json in) {
	// Counted over the whole life of the task run, so that it goes on after a manual retry.
	uint32_t attempt = retake_now_running().attempt;
	printf("load: attempt %" PRIu32 "\n", attempt);
	pause_for(in);
	const char *outcome = retake_text(retake_get(in, "outcome"), "ok");
	if (!strcmp(outcome, "fail") || (!strcmp(outcome, "fail-once") && attempt == 1))
		return retake_fail("load.refused", "the warehouse refused the orders");
	int64_t cents = 0, count = 0;
	retake_json order;
	for (size_t place = 0; retake_each(retake_get(in, "orders"), &place, &order); count++)
		cents += retake_int(retake_get(order, "cents"), 0);
	return retake_ok("{\"customer\": %s, \"orders\": %" PRId64 ", \"cents\": %" PRId64 ", \"load_attempt\": %" PRIu32 "}",
	                 retake_quoted(retake_text(retake_get(in, "customer"), "")), count, cents, attempt);
}

// When load fails the run fails; after a retry the body runs from its beginning, but extract and enrich have succeeded, so
// their results are fed back from the store and only load is run.
static retake_outcome orders(retake_json in) {
	const char *customer = retake_text(retake_get(in, "customer"), "acme");
	int64_t pause = retake_int(retake_get(in, "pause_ms"), 0), fails = retake_int(retake_get(in, "enrich_fails"), 0);
	printf("orders of %s: attempt %" PRIu32 "\n", customer, retake_now_running().attempt);
	customer = retake_quoted(customer);
	retake_outcome it = retake_run("extract", "{\"customer\": %s, \"pause_ms\": %" PRId64 "}", customer, pause);
	if (it.kind == RETAKE_FAILED) return it;
	it = retake_run("enrich", "{\"orders\": %.*s, \"fails\": %" PRId64 ", \"pause_ms\": %" PRId64 "}", (int)it.result.length,
	                it.result.at, fails, pause);
	if (it.kind == RETAKE_FAILED) return it;
	return retake_run("load", "{\"customer\": %s, \"orders\": %.*s, \"outcome\": %s, \"pause_ms\": %" PRId64 "}", customer,
	                  (int)it.result.length, it.result.at, retake_quoted(retake_text(retake_get(in, "load"), "ok")), pause);
}

#define ORDERS "{\"type\": \"object\", \"properties\": {\"customer\": {\"type\": \"string\", \"default\": \"acme\"}," \
	"\"enrich_fails\": {\"type\": \"integer\", \"minimum\": 0, \"default\": 0, \"description\":" \
	"\"How many attempts of enrich fail before one succeeds; above 2 all of them do.\"}," \
	"\"load\": {\"enum\": [\"ok\", \"fail\", \"fail-once\"], \"default\": \"ok\"}," \
	"\"pause_ms\": {\"type\": \"integer\", \"minimum\": 0, \"default\": 0, \"description\": \"How long each task takes.\"}}," \
	"\"additionalProperties\": false}"

retake_outcome behave(retake_json in), behave_child(retake_json in), twice(retake_json in), nap(retake_json in),
	permanent(retake_json in), later(retake_json in), shaky(retake_json in), count(retake_json in), none(retake_json in);

retake_outcome store(retake_json in), not_a_number(retake_json in), nan_inside(retake_json in), infinite(retake_json in),
	half(retake_json in), unstorable(retake_json in), misfit(retake_json in), same(retake_json in), no_items(retake_json in),
	no_entries(retake_json in), count_items(retake_json in), half_emoji(retake_json in), ends(retake_json in),
	reason(retake_json in), outer(retake_json in), defaults(retake_json in), day_after(retake_json in);

#define STORE "{\"type\": \"object\", \"properties\": {\"what\": {\"type\": \"string\"}," \
	"\"day\": {\"type\": [\"string\", \"null\"]}}, \"required\": [\"what\"], \"additionalProperties\": false}"
#define A_DAY "{\"type\": \"object\", \"properties\": {\"day\": {\"type\": \"string\", \"format\": \"date\"}}," \
	"\"required\": [\"day\"], \"additionalProperties\": false}"

const retake_component retake_this = {
	.name = "flows",
	.version = "1.0.0",
	.description = "The example flows, in C.",
	.flows = (const retake_function[]){
		{"retry-it", "Says hello and fails, unless it is lucky.", try_luck, LUCK, .log_prints = true,
		 .policy = {.retries = 5, .delays_ms = RETAKE_DELAYS(FIVE_MINUTES)}},
		{"Manual retry", "Says hello and fails, unless it is lucky.", try_luck, LUCK, .log_prints = true},
		{"orders", "Takes a customer's orders from where they are to where they belong.", orders, ORDERS, .log_prints = true},
		{"behave", "What every language does alike.", behave, .log_prints = true},
		{"behave-child", "A run of its own.", behave_child},
		{"store", "What is stored, and how failures are told.", store, STORE, .log_prints = true},
		{"store-child", "A run of its own.", count_items},
		{0},
	},
	.tasks = (const retake_function[]){
		{"extract", "Reads the customer's orders.", extract, .log_prints = true},
		{"enrich", "Looks up what the orders lack, at a service that is sometimes away.", enrich, .log_prints = true,
		 .policy = {.retries = 2, .delays_ms = RETAKE_DELAYS(1000)}},
		{"load", "Writes the orders to where they belong.", load, .log_prints = true},
		{"double", "", twice},
		{"nap", "", nap},
		{"permanent", "", permanent, .policy = {.retries = 3}},
		{"later", "", later, .policy = {.retries = 1, .delays_ms = RETAKE_DELAYS(3600000)}},
		{"shaky", "", shaky},
		{"count", "", count, .policy = {.retries = 2}},
		{"delay-fixed", "", none, .policy = {.retries = 3, .delays_ms = RETAKE_DELAYS(FIVE_MINUTES)}},
		{"delay-listed", "", none, .policy = {.retries = 4, .delays_ms = RETAKE_DELAYS(1000, 10000, 60000)}},
		{"delay-exponential", "", none,
		 .policy = {.retries = 5, .delays_ms = RETAKE_DELAYS(10000), .factor_permille = 2000}},
		{"nan", "", not_a_number, .returns = "{\"type\": \"number\"}", .policy = {.retries = 2}},
		{"nan-inside", "", nan_inside, .policy = {.retries = 2}},
		{"infinite", "", infinite, .returns = "{\"type\": \"number\"}", .policy = {.retries = 2}},
		{"half", "", half, .policy = {.retries = 2}},
		{"unstorable", "", unstorable, .policy = {.retries = 2}},
		{"misfit", "", misfit, .returns = "{\"type\": \"integer\"}", .policy = {.retries = 2}},
		{"same", "", same},
		{"none", "", no_items, .returns = "{\"type\": \"array\"}"},
		{"none-mapped", "", no_entries, .returns = "{\"type\": \"object\"}"},
		{"count_items", "", count_items},
		{"half-emoji", "", half_emoji, .policy = {.retries = 2}},
		{"exit", "", ends},
		{"reason", "", reason},
		{"outer", "", outer, .policy = {.retries = 2}},
		{"defaults", "", defaults},
		{"day_after", "", day_after, A_DAY, "{\"type\": \"string\", \"format\": \"date\"}"},
		{0},
	},
};
