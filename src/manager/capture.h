/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads what a process of a brick writes on stdout and stderr, and logs it as lines of the brick.
 * It always reads: a process must never wait for the log. Lines beyond a limit are counted instead.
 * A line that begins with "<N>" has the level N of syslog, as in sd-daemon(3).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define CAPTURE_LINE_MAX 4096 /* bytes; a longer line is logged in pieces */
#define CAPTURE_LINES_PER_SECOND 200
#define CAPTURE_LAST_MAX 400 /* bytes of the last line that are kept */

struct capture_pipe {
        struct capture *capture;
        sd_event_source *io;
        int fd; /* -EBADF: closed */
        size_t length;
        char line[CAPTURE_LINE_MAX];     /* the part of a line that has come */
        char last[CAPTURE_LAST_MAX + 1]; /* the last line that has come; "": none */
};

struct capture { /* embedded */
        sd_event *event;
        const char *brick;
        const int *level; /* of the brick's log; 0: that of the log */
        int pid;
        struct capture_pipe pipes[2]; /* stdout, stderr */
        sd_event_source *mention; /* tells how many lines were dropped; off: none since it did */
        uint64_t second;
        unsigned lines;   /* in that second */
        uint64_t dropped; /* lines that have not been logged, and not been mentioned yet */
        uint64_t total;   /* lines that have not been logged, ever */
};

/* All that is passed must outlive it. After an error, too, capture_done() is due. */
int capture_init(struct capture *capture, sd_event *event, const char *brick, const int *level);
void capture_done(struct capture *capture);

/* Makes the pipes of a process: *ret_out and *ret_error are their ends for it, for close(). */
int capture_open(struct capture *capture, int *ret_out, int *ret_error);

/* The process that has been started with them. */
void capture_begin(struct capture *capture, int pid);

/* Logs what is still in the pipes, and closes them. */
void capture_end(struct capture *capture);

/* After capture_end(): the last line on stderr, else on stdout, of those that do not say of
 * themselves that they are no more than a notice. "": none. */
const char *capture_last_words(const struct capture *capture);
