/* SPDX-License-Identifier: MIT */
#pragma once

/* exit() in a brick ends the worker and every call in it, so it is worth a line that names the
 * brick. */

/* From now on whoever calls exit() or quick_exit() is logged, and the worker's status is
 * EXIT_FAILURE. Before the first module is loaded. */
void exit_watch(void);

/* For the `return` of main(): from now on the worker ends by itself. Gives status. */
int exit_expect(int status);
