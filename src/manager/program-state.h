/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The states of one process of a brick, as a table of states and events in which nothing is left
 * out. program.c does what the table says.
 *
 *   state      there is a process   its deadline is                 after which
 *   ---------  -------------------  ------------------------------  ----------------------------
 *   DOWN       no                   none
 *   STARTING   yes, not ready       options.start_timeout           it is killed: FAILING
 *   READY      yes                  none; options.hang_timeout      SILENT: FAILING
 *   LEAVING    yes, ready           the time for workers to notice  SIGTERM: REPLACING
 *   REPLACING  yes, has SIGTERM     options.grace                   it is killed
 *   STOPPING   yes, has SIGTERM     options.grace                   it is killed
 *   FAILING    yes, has SIGABRT     the time for that               it is killed
 *   BACKOFF    no                   the delay                       it is started: STARTING
 */

enum program_state {
        PROGRAM_STATE_DOWN, /* none is wanted */
        PROGRAM_STATE_STARTING,
        PROGRAM_STATE_READY,
        PROGRAM_STATE_LEAVING,   /* it is to be replaced, and gets no new calls */
        PROGRAM_STATE_REPLACING, /* the next one is started when it has exited */
        PROGRAM_STATE_STOPPING,  /* and no other one is wanted */
        PROGRAM_STATE_FAILING,   /* brickd ends it because it does not do what it should */
        PROGRAM_STATE_BACKOFF,   /* it waits to be started again */
        PROGRAM_STATES,
};

enum program_event {
        PROGRAM_START,   /* it is wanted */
        PROGRAM_STOP,    /* it is not wanted any more */
        PROGRAM_RESTART, /* another one in its place is wanted */
        PROGRAM_CUT,     /* it is to end at once */
        PROGRAM_SAYS_READY,
        PROGRAM_TIMEOUT, /* the deadline of the state */
        PROGRAM_SILENT,  /* the watchdog has not been fed */
        PROGRAM_EXITED,  /* it is dead, and what it has said is read */
        PROGRAM_NOT_SPAWNED,
        PROGRAM_EVENTS,
};

enum program_action {
        PROGRAM_NOTHING,
        PROGRAM_SPAWN,
        PROGRAM_WELCOME, /* tell everybody that it is ready */
        PROGRAM_DISMISS, /* tell everybody that it gets no new calls */
        PROGRAM_TERMINATE,
        PROGRAM_ABORT,
        PROGRAM_KILL,
        PROGRAM_RETRY, /* start it again, later */
        PROGRAM_END,   /* it has ended for good */
};

struct program_step {
        enum program_state next;
        enum program_action action;
};

struct program_step program_step(enum program_state state, enum program_event event);

/* "starting" and so on, as brickctl shows it. */
const char *program_state_to_string(enum program_state state);
