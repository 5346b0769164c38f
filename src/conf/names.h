/* SPDX-License-Identifier: MIT */
#pragma once

/* The names of the types and methods of brick.h. */

/* "LLM" and so on; NULL: no such type. */
const char *brick_type_to_string(unsigned type);

/* -EINVAL: no type has this name. */
int brick_type_from_string(const char *s);

/* "OutputStreaming" and so on; NULL: no such method. */
const char *brick_method_to_string(unsigned method);
