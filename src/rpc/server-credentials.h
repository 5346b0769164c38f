/* SPDX-License-Identifier: MIT */
#pragma once

/* How gRPC core gets the certificates of a port. */

#include <grpc/grpc_security.h>

struct tls;

/* For one port of one server: the core takes the first certificate at once, and asks for a newer
 * one at each new connection. The caller releases them; tls must outlive the server. [main] */
grpc_server_credentials *server_credentials_new(struct tls *tls);
