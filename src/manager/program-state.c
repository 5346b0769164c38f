/* SPDX-License-Identifier: MIT */
#include "manager/program-state.h"

/* clang-format off: a table */
#define TO(state, action)                               \
        {                                               \
                PROGRAM_STATE_##state, PROGRAM_##action \
        }

static const struct program_step steps[PROGRAM_STATES][PROGRAM_EVENTS] = {
        [PROGRAM_STATE_DOWN] = {
                [PROGRAM_START]       = TO(STARTING, SPAWN),
                [PROGRAM_STOP]        = TO(DOWN, NOTHING),
                [PROGRAM_RESTART]     = TO(DOWN, NOTHING),
                [PROGRAM_CUT]         = TO(DOWN, NOTHING),
                [PROGRAM_SAYS_READY]  = TO(DOWN, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(DOWN, NOTHING),
                [PROGRAM_SILENT]      = TO(DOWN, NOTHING),
                [PROGRAM_EXITED]      = TO(DOWN, NOTHING),
                [PROGRAM_NOT_SPAWNED] = TO(DOWN, NOTHING),
        },
        [PROGRAM_STATE_STARTING] = {
                [PROGRAM_START]       = TO(STARTING, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, TERMINATE),
                [PROGRAM_RESTART]     = TO(REPLACING, TERMINATE),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(READY, WELCOME),
                [PROGRAM_TIMEOUT]     = TO(FAILING, ABORT),
                [PROGRAM_SILENT]      = TO(STARTING, NOTHING),
                [PROGRAM_EXITED]      = TO(BACKOFF, RETRY),
                [PROGRAM_NOT_SPAWNED] = TO(BACKOFF, RETRY),
        },
        [PROGRAM_STATE_READY] = {
                [PROGRAM_START]       = TO(READY, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, TERMINATE),
                [PROGRAM_RESTART]     = TO(LEAVING, DISMISS),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(READY, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(READY, NOTHING),
                [PROGRAM_SILENT]      = TO(FAILING, ABORT),
                [PROGRAM_EXITED]      = TO(BACKOFF, RETRY),
                [PROGRAM_NOT_SPAWNED] = TO(READY, NOTHING),
        },
        [PROGRAM_STATE_LEAVING] = {
                [PROGRAM_START]       = TO(LEAVING, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, TERMINATE),
                [PROGRAM_RESTART]     = TO(LEAVING, NOTHING),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(LEAVING, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(REPLACING, TERMINATE),
                [PROGRAM_SILENT]      = TO(FAILING, ABORT),
                [PROGRAM_EXITED]      = TO(STARTING, SPAWN),
                [PROGRAM_NOT_SPAWNED] = TO(LEAVING, NOTHING),
        },
        [PROGRAM_STATE_REPLACING] = {
                [PROGRAM_START]       = TO(REPLACING, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, NOTHING),
                [PROGRAM_RESTART]     = TO(REPLACING, NOTHING),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(REPLACING, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(REPLACING, KILL),
                [PROGRAM_SILENT]      = TO(REPLACING, NOTHING),
                [PROGRAM_EXITED]      = TO(STARTING, SPAWN),
                [PROGRAM_NOT_SPAWNED] = TO(BACKOFF, RETRY),
        },
        [PROGRAM_STATE_STOPPING] = {
                [PROGRAM_START]       = TO(REPLACING, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, NOTHING),
                [PROGRAM_RESTART]     = TO(STOPPING, NOTHING),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(STOPPING, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(STOPPING, KILL),
                [PROGRAM_SILENT]      = TO(STOPPING, NOTHING),
                [PROGRAM_EXITED]      = TO(DOWN, END),
                [PROGRAM_NOT_SPAWNED] = TO(DOWN, END),
        },
        [PROGRAM_STATE_FAILING] = {
                [PROGRAM_START]       = TO(FAILING, NOTHING),
                [PROGRAM_STOP]        = TO(STOPPING, NOTHING),
                [PROGRAM_RESTART]     = TO(REPLACING, NOTHING),
                [PROGRAM_CUT]         = TO(STOPPING, KILL),
                [PROGRAM_SAYS_READY]  = TO(FAILING, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(FAILING, KILL),
                [PROGRAM_SILENT]      = TO(FAILING, NOTHING),
                [PROGRAM_EXITED]      = TO(BACKOFF, RETRY),
                [PROGRAM_NOT_SPAWNED] = TO(FAILING, NOTHING),
        },
        [PROGRAM_STATE_BACKOFF] = {
                [PROGRAM_START]       = TO(BACKOFF, NOTHING),
                [PROGRAM_STOP]        = TO(DOWN, END),
                [PROGRAM_RESTART]     = TO(STARTING, SPAWN),
                [PROGRAM_CUT]         = TO(DOWN, END),
                [PROGRAM_SAYS_READY]  = TO(BACKOFF, NOTHING),
                [PROGRAM_TIMEOUT]     = TO(STARTING, SPAWN),
                [PROGRAM_SILENT]      = TO(BACKOFF, NOTHING),
                [PROGRAM_EXITED]      = TO(BACKOFF, NOTHING),
                [PROGRAM_NOT_SPAWNED] = TO(BACKOFF, NOTHING),
        },
};
/* clang-format on */

struct program_step program_step(enum program_state state, enum program_event event)
{
        return steps[state][event];
}

const char *program_state_to_string(enum program_state state)
{
        static const char *const names[] = {
                [PROGRAM_STATE_DOWN] = "down",           [PROGRAM_STATE_STARTING] = "starting",
                [PROGRAM_STATE_READY] = "ready",         [PROGRAM_STATE_LEAVING] = "leaving",
                [PROGRAM_STATE_REPLACING] = "replacing", [PROGRAM_STATE_STOPPING] = "stopping",
                [PROGRAM_STATE_FAILING] = "failing",     [PROGRAM_STATE_BACKOFF] = "waiting",
        };

        return names[state];
}
