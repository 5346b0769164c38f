/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Gives memory back to the system. The C library keeps the memory that a burst of large requests
 * took: more than half a gigabyte long after an attack.
 */

/* At the start, and then once a second: gives unused memory back when it has grown by 16 MiB, and
 * once more when allocations have calmed down. [main] */
void memory_maintain(void);
