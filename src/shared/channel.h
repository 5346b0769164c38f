/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the main process and a worker say to each other, over one SOCK_SEQPACKET socket pair per
 * worker. A message is one packet: a kind and up to CHANNEL_TEXT_MAX bytes of UTF-8 text, which
 * travels in a sealed memfd if it is longer than CHANNEL_PACKET_MAX. Each side ignores kinds it
 * does not know, because after an upgrade the worker may be newer than the main process.
 */

#include <stddef.h>
#include <stdint.h>

/*
 * A reload may start workers of another version of brickd. Whatever changes below, other than by
 * new kinds that may be ignored, takes another number here: such workers then refuse, and brickd
 * says that it wants to be restarted. CHANNEL_FD_CONTROL, CHANNEL_FAILED and the form of a short
 * message stay for ever.
 */
#define CHANNEL_VERSION 2

/* The descriptors a worker is born with; listening sockets follow, in the order of `ports:`. */
enum {
        CHANNEL_FD_CONTROL = 3, /* this socket */
        CHANNEL_FD_CONFIG,      /* a sealed memfd: the bytes of the configuration file */
        CHANNEL_FD_STATS,       /* a memfd to count in: shared/stats.h */
        CHANNEL_FD_IDENTITIES,  /* as CHANNEL_FD_CONFIG, of the file of identities; empty: none */
        CHANNEL_FD_QUOTA,       /* of shared/quota.h, shared by all workers */
        CHANNEL_FD_BALANCE,     /* of shared/balance.h, shared by those of one generation */
        CHANNEL_FD_LISTEN,      /* the first listening socket */
};

enum channel_kind {
        /* worker to main */
        CHANNEL_CREATING =
                1, /* text: name of the brick whose create() runs now ("": none any more) */
        CHANNEL_DIAGNOSTIC, /* text: one configuration error, as it shall be shown; may come many
                               times */
        CHANNEL_FAILED,     /* text: why the worker cannot serve, one line; it exits next */
        CHANNEL_READY,      /* text: "N bricks on M ports"; with --check the worker exits next */
        CHANNEL_STATUS,     /* text: JSON object, the answer to CHANNEL_QUERY */
        CHANNEL_STUCK,   /* text: name of the brick that has held the polling thread; health is in
                            doubt */
        CHANNEL_CRASHED, /* text: name of the brick the crashing thread was in; sent by a signal
                            handler */
        CHANNEL_DRAINED, /* text: "": every call has ended; the worker exits next */
        CHANNEL_HELD,    /* text: "brick 'x' still holds N calls": why it has not drained yet */

        /* main to worker */
        CHANNEL_QUERY = 128, /* asks for CHANNEL_STATUS; the worker answers only while its polling
                                thread does */
        CHANNEL_RETIRE, /* a newer generation serves: stop accepting, serve on until the connections
                           have gone */
        CHANNEL_STOP,   /* text: grace in milliseconds: stop as SIGTERM asks */
        CHANNEL_CANCEL, /* cancel what still runs, now */
        CHANNEL_LOG_LEVEL,  /* text: new level, or "LEVEL BRICK": that of one brick's lines */
        CHANNEL_IDENTITIES, /* text: the file of identities, which has changed */
};

#define CHANNEL_PACKET_MAX 65000
#define CHANNEL_TEXT_MAX ((size_t)16 << 20)

struct channel_message {
        uint32_t kind;
        char *text; /* NUL-terminated */
        size_t length;
};

/* Any thread; async-signal-safe. Never blocks. 0 or a negative errno (-EAGAIN: the other side does
 * not read). A text for which there is no memory, or that is too long, arrives cut; of the main
 * process it is not sent, and that is the error. */
int channel_send(int fd, enum channel_kind kind, const char *text, size_t length);

/* The same from a worker to its main process. Nobody waits for it: a main process that is gone
 * shows elsewhere. */
void channel_say(enum channel_kind kind, const char *text);

/* One thread. 1: a message; 0: the other side has closed; -EAGAIN: nothing there now; else a
 * negative errno. */
int channel_receive(int fd, struct channel_message *ret);
void channel_message_done(struct channel_message *message);
