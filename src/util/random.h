/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* 64 random bits, for identifiers that must not collide by chance. They are predictable: not for
 * secrets. Thread-safe, without a lock. */
uint64_t random_u64(void);
