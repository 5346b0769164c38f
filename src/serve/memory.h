/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Gives memory back to the system. What a burst of large requests took, the C library keeps: more
 * than half a gigabyte after an attack that has long gone.
 */

/* At first, and every second: gives back what is unused, when that has grown by 16 MiB. [main] */
void memory_look(void);
