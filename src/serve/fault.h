/* SPDX-License-Identifier: MIT */
#pragma once

/* Why a reply is not valid: asked after validate_message() has refused it. Pure functions. */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/*
 * -EPROTO: the message is valid but for its error field, which it must not have; -EILSEQ: a string
 * is not UTF-8; -EBADMSG: anything else.
 */
int fault_of_reply(const ProtobufCMessageDescriptor *type, const void *bytes, size_t length);
