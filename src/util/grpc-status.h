/* SPDX-License-Identifier: MIT */
#pragma once

/* gRPC's name of a status code: "OK", "NOT_FOUND". A number that is none is "UNKNOWN", as clients
 * take it. */
const char *grpc_status_to_string(unsigned status);
