/* SPDX-License-Identifier: MIT */
#pragma once

/* brickd --version: prints what the main process knows. What only a worker knows, such as the
 * versions of libraries that the main process does not load, `brickd-worker --version` adds. */
void version_print(void);
