/* SPDX-License-Identifier: MIT */
#pragma once

/* The resource limits of the process (setrlimit(2)). A brick that lowers one for itself lowers it
 * for brickd and for every other brick: without descriptors, no client can connect. [main] */

/* Notes the limits, which are to stay. Before the first module is loaded. */
void rlimits_note(void);

/* Once a second: raises those that have been lowered since, and logs them. */
void rlimits_maintain(void);
