/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "manager/program-state.h"

/* Walks every pair of a state and an event, and checks what must hold for all of them. */

static bool has_process(enum program_state state)
{
        return state != PROGRAM_STATE_DOWN && state != PROGRAM_STATE_BACKOFF;
}

static bool has_deadline(enum program_state state)
{
        return state != PROGRAM_STATE_DOWN && state != PROGRAM_STATE_READY;
}

/* One that brickd ends has a limit for it. */
static bool is_ending(enum program_state state)
{
        return state == PROGRAM_STATE_REPLACING || state == PROGRAM_STATE_STOPPING ||
               state == PROGRAM_STATE_FAILING;
}

static void check_action(enum program_state from, struct program_step step)
{
        switch (step.action) {
        case PROGRAM_NOTHING:
        case PROGRAM_RETRY:
        case PROGRAM_END:
                break;
        case PROGRAM_SPAWN: /* never a second process */
                assert(step.next == PROGRAM_STATE_STARTING);
                break;
        case PROGRAM_WELCOME:
                assert(from == PROGRAM_STATE_STARTING && step.next == PROGRAM_STATE_READY);
                break;
        case PROGRAM_DISMISS:
                assert(from == PROGRAM_STATE_READY && step.next == PROGRAM_STATE_LEAVING);
                break;
        case PROGRAM_TERMINATE:
        case PROGRAM_ABORT:
                assert(has_process(from) && !is_ending(from) && is_ending(step.next));
                break;
        case PROGRAM_KILL:
                assert(has_process(from) && is_ending(step.next));
                break;
        }
}

static void check_pair(enum program_state from, enum program_event event)
{
        struct program_step step = program_step(from, event);
        bool ends = event == PROGRAM_EXITED || event == PROGRAM_NOT_SPAWNED;

        assert(step.next < PROGRAM_STATES);
        check_action(from, step);
        /* A process comes only by SPAWN, and goes only when it has exited. */
        if (step.action == PROGRAM_SPAWN)
                assert(!has_process(from) || ends);
        else if (!ends)
                assert(has_process(from) == has_process(step.next));
        /* In a new state with a deadline, something sets it. */
        if (step.next != from && has_deadline(step.next))
                assert(step.action != PROGRAM_NOTHING || (is_ending(from) && is_ending(step.next)));
        if (step.next == PROGRAM_STATE_BACKOFF && from != PROGRAM_STATE_BACKOFF)
                assert(step.action == PROGRAM_RETRY);
        if (step.next == PROGRAM_STATE_DOWN && from != PROGRAM_STATE_DOWN)
                assert(step.action == PROGRAM_END);
        /* What is not wanted any more never comes back by itself. */
        if (from == PROGRAM_STATE_STOPPING && event != PROGRAM_START)
                assert(step.next == PROGRAM_STATE_STOPPING || step.next == PROGRAM_STATE_DOWN);
        if (from == PROGRAM_STATE_DOWN && event != PROGRAM_START)
                assert(step.next == PROGRAM_STATE_DOWN);
        /* A deadline that passes is never without effect. */
        if (event == PROGRAM_TIMEOUT && has_deadline(from))
                assert(step.action != PROGRAM_NOTHING);
}

/* From everywhere, a stop and an exit lead to DOWN, and a cut as well. So does a start that has
 * failed, which is told a little later: the process may be unwanted by then. */
static void check_end(enum program_state from, enum program_event event)
{
        struct program_step step = program_step(from, event), failed = step;

        if (has_process(step.next)) {
                failed = program_step(step.next, PROGRAM_NOT_SPAWNED);
                step = program_step(step.next, PROGRAM_EXITED);
        }
        assert(step.next == PROGRAM_STATE_DOWN && failed.next == PROGRAM_STATE_DOWN);
}

/* From everywhere, it serves again once it is wanted, whatever ends meanwhile. */
static void check_return(enum program_state from)
{
        enum program_state state = program_step(from, PROGRAM_START).next;

        for (int i = 0; i < 3 && state != PROGRAM_STATE_STARTING; i++)
                state = program_step(state, state == PROGRAM_STATE_BACKOFF ? PROGRAM_TIMEOUT
                                                                           : PROGRAM_EXITED)
                                .next;
        assert(state == PROGRAM_STATE_STARTING);
        assert(program_step(program_step(state, PROGRAM_RESTART).next, PROGRAM_NOT_SPAWNED).next ==
               PROGRAM_STATE_BACKOFF);
        assert(program_step(state, PROGRAM_SAYS_READY).next == PROGRAM_STATE_READY);
}

int main(void)
{
        for (unsigned state = 0; state < PROGRAM_STATES; state++) {
                for (unsigned event = 0; event < PROGRAM_EVENTS; event++)
                        check_pair((enum program_state)state, (enum program_event)event);
                check_end((enum program_state)state, PROGRAM_STOP);
                check_end((enum program_state)state, PROGRAM_CUT);
                check_return((enum program_state)state);
                assert(strlen(program_state_to_string((enum program_state)state)) > 0);
        }
        return 0;
}
