/* SPDX-License-Identifier: MIT */
#pragma once

/* The name of a gRPC status code, such as "NOT_FOUND". An invalid code is "UNKNOWN", as in clients.
 */
const char *grpc_status_to_string(unsigned status);
