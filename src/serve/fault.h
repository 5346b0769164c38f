/* SPDX-License-Identifier: MIT */
#pragma once

/* Why a reply is not valid, after validate_message() has refused it. Pure functions. */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/* -EPROTO: the only fault is that the brick has set the error field; -EILSEQ: a string is not
 * UTF-8; -EBADMSG: anything else. */
int fault_of_reply(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length);
