/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One process of a brick: started, watched and started again, as program-state.h says. It listens
 * on a unix socket of its own, and tells how it is as sd_notify(3) does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "conf/process.h"
#include "manager/capture.h"
#include "manager/program-state.h"
#include "shared/programs.h"
#include "util/cleanup.h"

#define PROGRAM_STATUS_MAX 200

struct program;

struct program_ops {
        /* Its state has changed. May not free it. */
        void (*changed)(struct program *program, void *user);
};

struct program_settings { /* all must outlive the program, except the folder */
        sd_event *event;
        const struct process_spec *spec;
        const char *brick;    /* its name: for the log */
        const int *log_level; /* of the brick; 0: that of the log */
        const bool *trial;    /* its end is reported by others */
        const char *folder;   /* for its sockets, which belongs to the user of the spec */
        unsigned index;
        const struct program_ops *ops;
        void *user;
};

struct program {
        struct program_settings settings;
        char socket[PROGRAM_SOCKET_MAX]; /* where it listens */
        char notify[PROGRAM_SOCKET_MAX]; /* where it tells how it is */
        int notify_fd;
        sd_event_source *notify_io;
        sd_event_source *deadline; /* of the state */
        sd_event_source *watchdog; /* off: the process has not fed it yet */
        sd_event_source *probe;    /* tries to connect */
        struct capture capture;

        enum program_state state;
        pid_t pid;         /* 0: there is no process */
        bool unspawned;    /* it could not be started, which its deadline is about to tell */
        uint64_t since;    /* clock_now() of its start */
        uint64_t ready;    /* clock_now() of when it became ready; 0: it has not */
        unsigned failures; /* in a row: the delay before it is started again grows with them */
        unsigned restarts;
        bool overdue;                        /* it was not ready in time */
        bool silent;                         /* it did not feed its watchdog */
        bool killed;                         /* it did not exit in time */
        char *epitaph;                       /* how the last one ended, in words; NULL: none has */
        char status[PROGRAM_STATUS_MAX + 1]; /* what it says of itself; "": nothing */
};

int program_new(struct program **ret, const struct program_settings *settings);

/* Kills and reaps what runs. No callback comes. */
struct program *program_free(struct program *program);
DEFINE_CLEANUP(struct program *, program_free);

/* PROGRAM_START, _STOP, _RESTART or _CUT. */
void program_handle(struct program *program, enum program_event event);

/* It lives. The first time, it begins to matter. */
void program_feed_watchdog(struct program *program);

/* The process is dead, but not reaped: its number cannot be that of another yet. code, status: as
 * waitid() gives them. */
void program_exited(struct program *program, int code, int status);
