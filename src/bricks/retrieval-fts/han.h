/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The characters that are in use are in two blocks, one behind the other. */
#define HAN_FIRST 0x3400
#define HAN_LAST 0x9fff

/* True: the build has OpenCC, and its data are there. */
bool han_available(void);

/* The simplified form of a traditional Han character, so that both are one in the index; other
 * characters as they are. Thread-safe; the first call reads OpenCC's data. */
uint32_t han_simplify(uint32_t c);
