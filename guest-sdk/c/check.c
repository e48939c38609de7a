// Whether a text is JSON, and where it is not: what a body wrote by printf may be anything.
#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// As deep as a host reads: 128 levels are refused.
#define DEEPEST 127
#define LONGEST_POINTER 400

typedef struct {
	const char *at, *end;
	char pointer[LONGEST_POINTER + 1];    // The way to where `at` is.
	char why[LONGEST_POINTER + 200];      // Empty while all is well.
	int depth;
} reader;

static bool value(reader *in);

static bool refuse(reader *in, const char *what) {
	if (!in->why[0]) {
		if (in->pointer[0]) snprintf(in->why, sizeof in->why, "at `%s` %s", in->pointer, what);
		else snprintf(in->why, sizeof in->why, "%s", what);
	}
	return false;
}

static void skip(reader *in) {
	while (in->at < in->end && strchr(" \t\n\r", *in->at)) in->at++;
}

static bool begins(const reader *in, const char *word) {
	size_t length = strlen(word);
	return (size_t)(in->end - in->at) >= length && !strncasecmp(in->at, word, length);
}

size_t retake_utf8_length(const char *text, const char *end) {
	const unsigned char *at = (const unsigned char *)text;
	size_t length = *at < 0x80 ? 1 : *at < 0xC2 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : *at < 0xF5 ? 4 : 0;
	if (length == 0 || (size_t)(end - text) < length) return 0;
	for (size_t n = 1; n < length; n++)
		if ((at[n] & 0xC0) != 0x80) return 0;
	// No longer than needed, no half of a pair, nothing beyond the last character.
	if ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] > 0x9F)) return 0;
	if ((*at == 0xF0 && at[1] < 0x90) || (*at == 0xF4 && at[1] > 0x8F)) return 0;
	return length;
}

// Reads four digits of a character's code; negative for what is none.
static long code_of(const reader *in) {
	if (in->end - in->at < 4) return -1;
	char digits[5] = {0};
	for (int n = 0; n < 4; n++)
		if (!isxdigit((unsigned char)(digits[n] = in->at[n]))) return -1;
	return strtol(digits, NULL, 16);
}

static bool escape(reader *in) {
	if (in->at >= in->end || !strchr("\"\\/bfnrtu", *in->at)) return refuse(in, "has an escape that JSON does not know");
	if (*in->at++ != 'u') return true;
	long code = code_of(in);
	if (code < 0) return refuse(in, "has an escape that JSON does not know");
	in->at += 4;
	if (code < 0xD800 || code > 0xDFFF) return true;
	bool is_pair = code < 0xDC00 && in->end - in->at >= 6 && in->at[0] == '\\' && in->at[1] == 'u';
	if (is_pair) {
		in->at += 2;
		long low = code_of(in);
		in->at += 4;
		is_pair = low >= 0xDC00 && low <= 0xDFFF;
	}
	return is_pair || refuse(in, "is text with half a surrogate pair, which JSON cannot say");
}

static bool string(reader *in) {
	for (in->at++; in->at < in->end && *in->at != '"';) {
		if (*in->at == '\\') {
			in->at++;
			if (!escape(in)) return false;
			continue;
		}
		if ((unsigned char)*in->at < 0x20) return refuse(in, "is text with a control character: see `retake_quoted`");
		size_t length = retake_utf8_length(in->at, in->end);
		if (!length) return refuse(in, "is text that is not UTF-8, which JSON cannot say");
		in->at += length;
	}
	if (in->at >= in->end) return refuse(in, "is text without an end: see `retake_quoted`");
	in->at++;
	return true;
}

static bool digits(reader *in) {
	const char *from = in->at;
	while (in->at < in->end && isdigit((unsigned char)*in->at)) in->at++;
	return in->at > from;
}

static bool number(reader *in) {
	if (*in->at == '-') in->at++;
	bool is_zero = in->at < in->end && *in->at == '0';
	if (is_zero) in->at++;
	else if (!digits(in)) return refuse(in, "is no JSON");
	if (in->at < in->end && *in->at == '.') {
		in->at++;
		if (!digits(in)) return refuse(in, "is a number that ends in its point");
	}
	if (in->at < in->end && (*in->at == 'e' || *in->at == 'E')) {
		in->at++;
		if (in->at < in->end && (*in->at == '+' || *in->at == '-')) in->at++;
		if (!digits(in)) return refuse(in, "is a number without its exponent");
	}
	return true;
}

// Goes one part deeper, and comes back.
static bool inside(reader *in, const char *key, size_t length) {
	size_t before = strlen(in->pointer);
	if (++in->depth > DEEPEST) return refuse(in, "is too deep");
	char *out = in->pointer + before, *last = in->pointer + LONGEST_POINTER - 2;
	if (out < last) *out++ = '/';
	for (size_t n = 0; n < length && out < last; n++) {
		if (key[n] == '~' || key[n] == '/') *out++ = '~', *out++ = key[n] == '~' ? '0' : '1';
		else *out++ = key[n];
	}
	*out = 0;
	if (!value(in)) return false;
	in->pointer[before] = 0;
	in->depth--;
	return true;
}

static bool list(reader *in) {
	in->at++;
	skip(in);
	if (in->at < in->end && *in->at == ']') return in->at++, true;
	for (int n = 0;; n++) {
		char place[12];
		if (!inside(in, place, (size_t)snprintf(place, sizeof place, "%d", n))) return false;
		skip(in);
		if (in->at >= in->end) return refuse(in, "is a list without an end");
		char c = *in->at++;
		if (c == ']') return true;
		if (c != ',') return refuse(in, "is a list with something between its items");
	}
}

static bool object(reader *in) {
	in->at++;
	skip(in);
	if (in->at < in->end && *in->at == '}') return in->at++, true;
	for (;;) {
		skip(in);
		const char *key = in->at + 1;
		if (in->at >= in->end || *in->at != '"') return refuse(in, "is an object with a name that is no text");
		if (!string(in)) return false;
		size_t length = (size_t)(in->at - key) - 1;
		skip(in);
		if (in->at >= in->end || *in->at++ != ':') return refuse(in, "is an object with a name and no `:` behind it");
		if (!inside(in, key, length)) return false;
		skip(in);
		if (in->at >= in->end) return refuse(in, "is an object without an end");
		char c = *in->at++;
		if (c == '}') return true;
		if (c != ',') return refuse(in, "is an object with something between its members");
	}
}

static bool value(reader *in) {
	skip(in);
	if (in->at >= in->end) return refuse(in, "is empty");
	char c = *in->at;
	if (c == '"') return string(in);
	if (c == '[') return list(in);
	if (c == '{') return object(in);
	// As printf writes them.
	if (begins(in, "nan") || begins(in, "-nan")) return refuse(in, "is NaN, which JSON cannot say");
	if (begins(in, "inf")) return refuse(in, "is Infinity, which JSON cannot say");
	if (begins(in, "-inf")) return refuse(in, "is -Infinity, which JSON cannot say");
	if (c == '-' || isdigit((unsigned char)c)) return number(in);
	static const char *const words[] = {"true", "false", "null"};
	for (int n = 0; n < 3; n++) {
		size_t length = strlen(words[n]);
		if ((size_t)(in->end - in->at) >= length && !memcmp(in->at, words[n], length)) return in->at += length, true;
	}
	return refuse(in, "is no JSON: a text needs its quotes, see `retake_quoted`");
}

const char *retake_why_not_json(const char *text, size_t length) {
	static reader in;
	in = (reader){.at = text, .end = text + length};
	if (!value(&in)) return in.why;
	skip(&in);
	return in.at < in.end ? "is JSON with something behind it" : NULL;
}
