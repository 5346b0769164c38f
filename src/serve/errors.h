/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A brick's in-band error: as the error field of a reply (proto/.../common.proto), or as a gRPC
 * status for clients that want one. Pure functions.
 */

#include <stddef.h>
#include <stdint.h>

#include "module/outcome.h"

/* The field `error_field` of a reply, an ErrorDetail: its size; and its bytes, to memory of that
 * size. */
size_t errors_field_size(uint32_t error_field, const struct outcome *outcome);
void errors_put_field(char *p, uint32_t error_field, const struct outcome *outcome);

/*
 * The value of the trailer grpc-status-details-bin: a google.rpc.Status that has the ErrorDetail
 * among its details.
 */
size_t errors_details_size(unsigned status, const struct outcome *outcome);
void errors_put_details(char *p, unsigned status, const struct outcome *outcome);

/* The gRPC status for an error code of llmbrick. Never OK. */
unsigned errors_status(int32_t code);
