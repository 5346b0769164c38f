/* SPDX-License-Identifier: MIT */
#pragma once

/* Google's parser, as clients have it, for the types that brickd serves. */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum google_verdict {
        GOOGLE_REFUSES,
        GOOGLE_PASSES_OVER, /* parses it without a field that has another type's wire type */
        GOOGLE_PARSES,
};

/* type is the full name of a message, as in its .proto. */
enum google_verdict google_parse(const char *type, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
