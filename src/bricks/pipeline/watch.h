/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A guard on a text that is made piece by piece. What goes in comes out as soon as the guard cannot
 * blame it any more. A guard that judges in pieces says so itself, at once; another one is asked
 * about a sentence at a time, and the watch is busy meanwhile.
 */

#include "ask.h"
#include "buffer.h"

struct watch;

struct watch_ops {
        /* More may have come out, or the watch is no longer busy. Not inside watch_push(). */
        void (*progress)(void *user);
        /* The guard itself has failed: the watch is over. Also inside watch_push(). */
        void (*failed)(void *user, const struct brick_outcome *outcome, int r);
};

/* 0 or a negative errno. What comes out is appended to *out. */
int watch_new(struct watch **ret, struct run *run, const struct step *step,
              const struct watch_ops *ops, void *user, struct buffer *out);

/* The next piece of the text, or with `last` its end. Not after a hit. */
void watch_push(struct watch *watch, const char *text, size_t length, bool last);

/* Whether the guard has been asked and has not answered. */
bool watch_busy(const struct watch *watch);

/* What the guard has blamed, for logs: the name of a rule. NULL: nothing so far. Nothing more comes
 * out then. */
const char *watch_hit(const struct watch *watch);

/* Frees what must not outlive the call. */
void watch_close(struct watch *watch);

/* When the call's data is destroyed. */
void watch_free(struct watch *watch);
