// What is JSON, and where what is none breaks. Returns 0 when all is as it should be.
#include <stdio.h>
#include <string.h>

#include "../check.h"

static int wrong;

static void is_json(const char *text) {
	const char *why = retake_why_not_json(text, strlen(text));
	if (why) wrong++, printf("%s: %s\n", text, why);
}

static void is_none(const char *text, const char *words) {
	const char *why = retake_why_not_json(text, strlen(text));
	if (!why || !strstr(why, words)) wrong++, printf("%s: %s, and not %s\n", text, why ? why : "is JSON", words);
}

int main(void) {
	static const char *const whole[] = {
		"null", " true ", "0", "-0", "1.5e+10", "9007199254740993", "123456789012345678901234567890", "\"\"", "\"a\\u00e9\\n\\ud83d\\ude00 \xf0\x9f\x98\x80\"",
		"[]", "[1, [2], {}]", "{\"a\": {\"b\": [true, false]}, \"c\": \"x\"}", "{ }",
	};
	for (size_t n = 0; n < sizeof whole / sizeof *whole; n++) is_json(whole[n]);
	is_none("nan", "is NaN, which JSON cannot say");
	is_none("-nan", "is NaN");
	is_none("{\"rows\": [1.5, nan]}", "at `/rows/1` is NaN");
	is_none("{\"a/b\": {\"~\": -inf}}", "at `/a~1b/~0` is -Infinity");
	is_none("[0, infinity]", "at `/1` is Infinity");
	is_none("Ann", "a text needs its quotes");
	is_none("", "is empty");
	is_none("[1, 2", "a list without an end");
	is_none("[1,]", "at `/1` is no JSON");
	is_none("{\"a\": 1,}", "a name that is no text");
	is_none("{\"a\" 1}", "no `:`");
	is_none("1 2", "something behind it");
	is_none("01", "something behind it");
	is_none("1.", "ends in its point");
	is_none("\"a\nb\"", "a control character");
	is_none("\"a", "without an end");
	is_none("[\"\xff\"]", "at `/0` is text that is not UTF-8");
	is_none("\"\xed\xa0\xbd\"", "not UTF-8");
	is_none("\"\xc0\x80\"", "not UTF-8");
	is_none("\"\xf0\x9f\"", "not UTF-8");
	is_none("\"\\ud83d\"", "half a surrogate pair");
	is_none("\"\\ud83dx\\udc00\"", "half a surrogate pair");
	is_none("\"\\x\"", "an escape that JSON does not know");
	char deep[300];
	memset(deep, '[', sizeof deep);
	deep[299] = 0;
	is_none(deep, "is too deep");
	char key[600] = "{\"";
	memset(key + 2, 'k', 500);
	strcpy(key + 502, "\":nan}");
	is_none(key, "is NaN");
	return wrong;
}
