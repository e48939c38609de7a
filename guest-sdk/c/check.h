// What the SDK asks of texts before it hands them to the host.
#ifndef RETAKE_CHECK_H
#define RETAKE_CHECK_H

#include <stdbool.h>
#include <stddef.h>

// Returns why a text is no JSON, beginning with where: "at `/rows/1` is NaN, …"; NULL for one that is JSON.
const char *retake_why_not_json(const char *text, size_t length);
// Returns how many bytes the character at `text` has; 0 for what is no UTF-8.
size_t retake_utf8_length(const char *text, const char *end);

#endif
