/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The socket between the main process and one worker: a SOCK_SEQPACKET pair. A packet wakes the
 * other side, which then reads what has changed from the shared memory (shared/state.h,
 * shared/identities.h). If the socket is full, the other side has unread packets and will read the
 * memory anyway, so a failed wake-up does no harm. The end of the stream tells each side that the
 * other has exited.
 *
 * A packet is a kind and a text. Only a worker that cannot start sends texts: the mistakes it
 * found.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * A reload may start workers of another version than the main process. Any change to this header,
 * to the order of the descriptors or to the layout of the shared memory needs a new number: a
 * worker that gets another number than its own refuses to start, and asks for a restart of brickd.
 * For that, CHANNEL_FD_CONTROL, CHANNEL_FAILED and the form of a packet must never change.
 */
#define CHANNEL_VERSION 5

/* The numbers of the descriptors that a worker is started with. */
enum {
        CHANNEL_FD_CONTROL = 3, /* this socket */
        CHANNEL_FD_CONFIG,      /* a sealed memfd: the bytes of the configuration file */
        CHANNEL_FD_STATE,       /* of shared/state.h */
        CHANNEL_FD_STATS,       /* of shared/stats.h */
        CHANNEL_FD_IDENTITIES,  /* of shared/identities.h, for the workers of one generation */
        CHANNEL_FD_QUOTA,       /* of shared/quota.h, for all workers */
        CHANNEL_FD_BALANCE,     /* of shared/balance.h, for the workers of one generation */
        CHANNEL_FD_PROGRAMS,    /* of shared/programs.h, for the workers of one generation */
        CHANNEL_FD_LISTEN,      /* the first listening socket; the others follow in the order of
                                   `ports:` */
};

enum channel_kind {
        CHANNEL_WAKE = 1,       /* no text */
        CHANNEL_DIAGNOSTIC = 2, /* one mistake of the configuration, ready to be shown */
        CHANNEL_FAILED = 3,     /* why the worker cannot serve; it exits next */
};

#define CHANNEL_TEXT_MAX 4096 /* bytes; a longer text arrives shortened, with "..." at its end */

struct channel_message {
        uint32_t kind;
        char text[CHANNEL_TEXT_MAX + 1];
};

/* [any thread] Never blocks. */
void channel_wake(int fd);

/* [worker] Sends a text to the main process. Never blocks: if the socket is full, drops the text.
 */
void channel_say(enum channel_kind kind, const char *text);

/*
 * Receives the next packet, without blocking. The text is valid UTF-8; its only control character
 * is
 * '\n', and only before a space. Descriptors sent along are closed. 1: a packet, perhaps of an
 * unknown kind; 0: the other side has closed; -EAGAIN: there is none; or another negative errno.
 */
int channel_receive(int fd, struct channel_message *ret);
