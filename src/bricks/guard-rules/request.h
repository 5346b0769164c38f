/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Finds the text inside a serialized GuardRequest. protobuf-c cannot be used: it ends a text at its
 * first NUL byte and would hide the rest. 0 or -EBADMSG.
 */
int request_text(const void *request, size_t size, const char **ret, size_t *ret_length);
