/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* 64 random bits, for names that shall not meet by chance; a guesser can foretell them. Any
 * thread, without a lock. */
uint64_t random_u64(void);
