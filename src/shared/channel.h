/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The socket between the main process and one worker: a SOCK_SEQPACKET pair. A packet wakes the
 * other side, which then looks at the shared memory (shared/state.h, shared/identities.h) for what
 * has changed. If the socket is full, the other side has packets to read and will look anyway, so
 * a wake-up may fail. Its end tells each side that the other is gone.
 *
 * Only a worker that cannot start sends text: its mistakes. A packet is a kind and the text.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * A reload may start workers of another version of brickd. Whatever changes here, in the order of
 * the descriptors or in the memory that they are, takes another number: such workers then refuse,
 * and brickd says that it wants to be restarted. CHANNEL_FD_CONTROL, CHANNEL_FAILED and the form of
 * a packet stay for ever.
 */
#define CHANNEL_VERSION 3

/* The descriptors a worker is born with; listening sockets follow, in the order of `ports:`. */
enum {
        CHANNEL_FD_CONTROL = 3, /* this socket */
        CHANNEL_FD_CONFIG,      /* a sealed memfd: the bytes of the configuration file */
        CHANNEL_FD_STATE,       /* of shared/state.h */
        CHANNEL_FD_STATS,       /* of shared/stats.h */
        CHANNEL_FD_IDENTITIES,  /* of shared/identities.h, for the workers of one generation */
        CHANNEL_FD_QUOTA,       /* of shared/quota.h, for all workers */
        CHANNEL_FD_BALANCE,     /* of shared/balance.h, for the workers of one generation */
        CHANNEL_FD_LISTEN,      /* the first listening socket */
};

enum channel_kind {
        CHANNEL_WAKE = 1,       /* no text */
        CHANNEL_DIAGNOSTIC = 2, /* one mistake of the configuration, as it shall be shown */
        CHANNEL_FAILED = 3,     /* why the worker cannot serve; it exits next */
};

#define CHANNEL_TEXT_MAX 4096 /* bytes of one text; what is longer arrives cut */

struct channel_message {
        uint32_t kind;
        char text[CHANNEL_TEXT_MAX + 1];
};

/* Any thread. Never blocks. */
void channel_wake(int fd);

/* [worker] Sends a text to the main process. */
void channel_say(enum channel_kind kind, const char *text);

/*
 * Takes the next packet. Its text is UTF-8 without control characters but '\n', which only a space
 * follows; descriptors sent along are closed. 1: a packet, which may be of an unknown kind; 0: the
 * other side has closed; -EAGAIN: nothing there now; else a negative errno.
 */
int channel_receive(int fd, struct channel_message *ret);
