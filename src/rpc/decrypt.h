/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the clients of TLS send, and are sent, inspected where it is plain text. This file defines
 * SSL_read() and SSL_write() in the executable, in front of OpenSSL's.
 */

#include <stdbool.h>

/* Once, before the core makes its first connection. False: out of memory. */
bool decrypt_init(void);
