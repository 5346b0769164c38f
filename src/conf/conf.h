/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The configuration: what brickd.yaml means. Read once, then immutable; any thread may read it.
 * The nodes stay with it, so that whoever finds a mistake later can still name its place.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "conf/option.h"
#include "util/cleanup.h"
#include "util/log.h"

struct diag;
struct document;
struct node;

enum listen_kind {
        LISTEN_INET,    /* host:port */
        LISTEN_UNIX,    /* unix:/path, unix:@name */
        LISTEN_SYSTEMD, /* systemd:NAME: a socket that systemd passes, by FileDescriptorName= */
};

struct conf_tls {
        const struct node *node; /* NULL: the port is plain text */
        const struct node *key;  /* for option_secret() */
        const char *certificate; /* an absolute path */
        const char *client_ca;   /* the same; NULL: clients are asked for no certificate */
        bool client_optional;    /* a client may also have none */
};

struct conf_port {
        const struct node *node;
        const char *listen; /* as written */
        enum listen_kind kind;
        const char *host; /* LISTEN_INET: an IPv4 or IPv6 address, as inet_ntop() writes it,
                             or "localhost" */
        uint16_t port;
        const char *path; /* LISTEN_UNIX: the path, or "@name"; LISTEN_SYSTEMD: the name */
        mode_t mode;      /* LISTEN_UNIX: of the file, */
        uid_t owner;      /* its owner and group; -1: brickd's own */
        gid_t group;
        size_t *bricks; /* indices in conf.bricks */
        size_t n_bricks;
        struct conf_tls tls;
        bool allow_insecure;
        bool health;     /* answers health checks */
        bool reflection; /* tells what it serves */
        enum {
                AUTHENTICATE_OFF,
                AUTHENTICATE_CALLS,                    /* of bricks, and reflection */
                AUTHENTICATE_ALL,                      /* health checks, too */
        } authenticate;                                /* which calls must prove who makes them */
        enum { ERRORS_IN_BAND, ERRORS_STATUS } errors; /* how clients learn of a brick's error */
        bool gzip;                                     /* takes compressed requests */

        /* limits: of what a peer controls */
        unsigned max_connections;
        unsigned max_connections_per_address;
        int64_t handshake;            /* ns from accepting a connection to its first SETTINGS */
        int64_t idle;                 /* ns without a call; 0: no limit */
        int64_t age;                  /* ns of a connection; 0: no limit */
        int64_t age_grace;            /* ns for the calls it has then */
        int64_t keepalive_time;       /* ns of silence before a PING */
        int64_t keepalive_timeout;    /* ns for its answer */
        int64_t client_ping_interval; /* ns, at least */
        int64_t max_request;          /* bytes of one request message */
        int64_t max_reply;            /* bytes of one reply message */
        int64_t max_metadata;
        int64_t max_streams;    /* per connection */
        unsigned max_resets;    /* calls cancelled on one connection within a second */
        int64_t max_calls;      /* begun on one connection within a second; 0: no limit */
        int64_t max_unfinished; /* bytes of one connection's requests that have not ended */
        int64_t request_time;   /* ns from a call's first byte to the end of its first message;
                                   0: no limit */
        int64_t max_watches;    /* of health, open at a time */
        int64_t window;         /* bytes of replies that wait for one slow client */
};

struct conf_limits {
        unsigned concurrency; /* calls the brick works on at a time */
        unsigned queue;       /* calls that wait for it */
        unsigned threads;     /* of a blocking brick */
        int64_t timeout;      /* ns of one call; 0: only the client's deadline */
        int64_t arena;        /* bytes one call may use for its unpacked request and the brick's
                                 call_alloc() */
};

struct conf_brick {
        const struct node *node;
        const char *name;
        const char *module;
        const struct node *options; /* NULL: none given */
        const struct node *checked; /* what conf_brick_options() gave; NULL: not called yet */
        struct conf_limits limits;
        bool merge;               /* messages of a stream that wait for its client */
        bool is_default;          /* among the bricks of its type on a port */
        const struct node *match; /* NULL: none */
        const char **match_brick; /* values of the request's metadata `x-brick` */
        size_t n_match_brick;
        const char **match_model; /* values of the request's model_id */
        size_t n_match_model;
        int log_level; /* enum log_level; 0: that of the log */
};

struct conf_header {
        const char *name;
        const struct node *value; /* a secret */
};

struct conf {
        const char *name; /* of the file, as the user gave it */
        const char *base; /* the directory of the file, absolute: relative paths start there */
        const struct node *root; /* completed by the tables */

        struct conf_port *ports;
        size_t n_ports;
        struct conf_brick *bricks;
        size_t n_bricks;

        struct document *document; /* holds all of it */

        bool gather_writes; /* writes: gather */
        unsigned workers;   /* "auto" is already one per core */
        int64_t memory;     /* bytes that one worker may use for requests that have not ended */
        const char *module_dir;
        const char *identities;    /* absolute path of their file; NULL: none */
        const char *control;       /* path of the control socket; NULL: none */
        struct conf_port *metrics; /* only where to listen, and for whom; NULL: nowhere */

        int64_t drain_grace;     /* ns that running calls get on a stop */
        int64_t drain_lame_duck; /* ns of serving on after health says NOT_SERVING */
        int64_t drain_retire;    /* ns that a replaced worker serves the connections it has */
        int64_t start_timeout;   /* ns until a worker must be ready */

        enum log_level log_level;
        enum log_target log_target;
        enum { ACCESS_OFF, ACCESS_ERRORS, ACCESS_ALL } log_access;
        int64_t log_slow; /* ns; 0: no call is slow */

        const char *traces_endpoint; /* URL; NULL: no traces */
        double traces_sample;        /* the share of traces recorded that begin here, 0 to 1 */
        const char *traces_service;
        struct conf_header *traces_headers;
        size_t n_traces_headers;
};

/*
 * Reads a configuration from the bytes of a file. name is for messages and for relative paths.
 * Mistakes go to diag, all of them; -EINVAL then. Another negative errno: out of memory or the
 * like. The conf keeps neither name nor bytes.
 */
int conf_parse(struct conf **ret, const char *name, const char *bytes, size_t length,
               struct diag *diag);
struct conf *conf_free(struct conf *conf);

/*
 * What can be read of a configuration with mistakes, so that more of them can be found in the
 * options of its bricks in the same run; nothing else may be done with it. A brick or a port that
 * is wrong may lack its name, module and so on. NULL: it is no YAML, or out of memory.
 */
struct conf *conf_salvage(const char *name, const char *bytes, size_t length);

DEFINE_CLEANUP(struct conf *, conf_free);

/* The file's bytes, for conf_parse(); at most 16 MiB. -EFBIG: larger; else what open() or read()
 * said. */
int conf_read(const char *name, char **ret_bytes, size_t *ret_length);

/* The same of a file that is open; it stays open. */
int conf_read_fd(int fd, char **ret_bytes, size_t *ret_length);

/* The whole configuration with every default filled in, as YAML that means the same. Options of a
 * brick are complete once conf_brick_options() has seen them. Secrets are not resolved. */
void conf_print(const struct conf *conf, FILE *f);

/* The JSON Schema of the file, from the option tables. */
void conf_print_schema(FILE *f);

/* The tables themselves, for the tests that hold the documentation against them. */
extern const struct option_spec conf_options[];

/*
 * Checks the options of a brick of this conf against its module's table: unknown keys, types,
 * fallbacks. Gives a map that also holds the fallbacks, with relative paths made absolute, and
 * keeps it in brick->checked; each child names its spec. An OPTION_BRICK names a brick of the file,
 * and not this one. `table` must outlive the conf. NULL: diag says why. Not for two threads at
 * once.
 */
const struct node *conf_brick_options(struct conf *conf, const struct conf_brick *brick,
                                      const struct option_spec *table, struct diag *diag);

/* The index of a brick of the file; -1: there is none of this name. */
ssize_t conf_find_brick(const struct conf *conf, const char *name);

/* Blames a node whose text is the name of no brick; says which name is nearest. */
void conf_blame_name(const struct conf *conf, const struct node *node, struct diag *diag);

/*
 * The order in which to make the bricks, once conf_brick_options() has seen all: each after those
 * it calls (its OPTION_BRICK options), else as in the file. Stop in the reverse order. Fills
 * ret_order with conf->n_bricks indices. -EINVAL: bricks call each other in a circle, diag says
 * which; -ENOMEM.
 */
int conf_brick_order(const struct conf *conf, size_t *ret_order, struct diag *diag);
