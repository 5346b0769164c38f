/* SPDX-License-Identifier: MIT */
#pragma once

/* A brick that calls exit(), or ends a thread of brickd's, ends the worker and every call in it:
 * the log names that brick. */

/* From now on a call of exit() or quick_exit(), and the end of a thread inside a brick, is logged,
 * and the worker exits with EXIT_FAILURE. Call it before the first module is loaded. */
void exit_watch(void);

/* Exits with this status after so many seconds, whatever the process waits for then. 0: not any
 * more. [main] */
void exit_after(unsigned seconds, int status);

/* Wraps the status that main() returns, so that this exit is not logged. Gives status. */
int exit_expect(int status);
