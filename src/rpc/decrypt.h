/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inspects what clients with TLS send, and are sent, where it is plain text: decrypt.c defines
 * SSL_read() and SSL_write() in the executable, which replace OpenSSL's for gRPC core.
 */

#include <stdbool.h>

/* Once, before the core makes its first connection. False: out of memory. */
bool decrypt_init(void);
