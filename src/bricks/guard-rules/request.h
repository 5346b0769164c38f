/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * The text of a serialised GuardRequest, where it lies in it. protobuf-c would end it at its first
 * NUL byte, behind which the rest would go unseen. 0, or -EBADMSG.
 */
int request_text(const void *request, size_t size, const char **ret, size_t *ret_length);
