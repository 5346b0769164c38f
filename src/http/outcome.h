/* SPDX-License-Identifier: MIT */
#pragma once

/* How the end of a call is told to a client of HTTP. Pure functions. */

#include "http/exchange.h"
#include "module/outcome.h"

/* The status for an error code of a brick. */
unsigned http_status_of_code(int32_t code);

/* The status for a status of gRPC, which is not OK. */
unsigned http_status_of_grpc(unsigned status);

/* A word for a program, which the status has; NULL: none. */
const char *http_code_of_status(unsigned status);

/* "invalid_request_error" and so on, as OpenAI's API names the errors of a status. */
const char *http_type_of_status(unsigned status);

/* "Not Found" and so on. */
const char *http_reason(unsigned status);

/* The error of an outcome that is no success. by_identity: a limit of the identity is the reason,
 * and not that there is no room. message and detail: its texts, ended by a NUL. */
struct exchange_error http_error_of(const struct outcome *outcome, bool by_identity,
                                    const char *message, const char *detail, uint64_t retry_ms);
