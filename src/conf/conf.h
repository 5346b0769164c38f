/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The configuration from brickd.yaml. Immutable once read; any thread may read it. It keeps its
 * nodes, so that a mistake that is found later has a line and a column as well.
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
struct network;
struct node;

enum listen_kind {
        LISTEN_INET,    /* host:port */
        LISTEN_UNIX,    /* unix:/path, unix:@name */
        LISTEN_SYSTEMD, /* systemd:NAME: a socket from systemd, named by its FileDescriptorName= */
};

struct conf_tls {
        const struct node *node; /* NULL: the port is plain text */
        const struct node *key;  /* for option_secret() */
        const char *certificate; /* an absolute path */
        const char *client_ca;   /* an absolute path; NULL: do not ask clients for a certificate */
        bool client_optional;    /* accept clients without a certificate */
};

struct conf_http {
        bool page;         /* serve the page for browsers */
        const char **cors; /* origins of other pages that may use the port; "*": all */
        size_t n_cors;
        const char **hosts; /* names under which clients may reach the port */
        size_t n_hosts;
        int64_t keepalive; /* ns of silence in a stream before brickd sends a comment */
};

/* Clients that are believed what they say of others. */
struct conf_proxies {
        const struct network *networks;
        size_t n_networks;
        bool local; /* clients of a unix socket, too */
};

struct conf_port {
        const struct node *node;
        enum { PROTOCOL_GRPC, PROTOCOL_HTTP } protocol;
        struct conf_http http; /* PROTOCOL_HTTP */
        const char *listen;    /* as written */
        enum listen_kind kind;
        const char *host; /* LISTEN_INET: an IPv4 or IPv6 address, as inet_ntop() writes it,
                             or "localhost" */
        uint16_t port;
        const char *path; /* LISTEN_UNIX: the path, or "@name"; LISTEN_SYSTEMD: the name */
        mode_t mode;      /* LISTEN_UNIX: the mode of the file */
        uid_t owner;      /* LISTEN_UNIX: the owner of the file; -1: brickd's own */
        gid_t group;      /* LISTEN_UNIX: the group of the file; -1: brickd's own */
        size_t *bricks;   /* indices in conf.bricks */
        size_t n_bricks;
        struct conf_tls tls;
        bool allow_insecure;
        struct conf_proxies proxy_protocol; /* their connections begin with a PROXY header */
        struct conf_proxies forwarded;      /* their calls name clients in x-forwarded-for */
        bool health;                        /* serve health checks */
        bool reflection;                    /* serve reflection */
        enum {
                AUTHENTICATE_OFF,
                AUTHENTICATE_CALLS,                    /* to bricks and to reflection */
                AUTHENTICATE_ALL,                      /* to health checks as well */
        } authenticate;                                /* the calls that need an identity */
        enum { ERRORS_IN_BAND, ERRORS_STATUS } errors; /* how clients receive a brick's error */
        bool gzip;                                     /* accept compressed requests */

        /* limits on the resources of clients */
        unsigned max_connections;
        unsigned max_connections_per_address;
        int64_t handshake;            /* ns from accepting a connection to its first SETTINGS */
        int64_t idle;                 /* ns without a call; 0: no limit */
        int64_t age;                  /* ns of a connection; 0: no limit */
        int64_t age_grace;            /* ns for its calls to end after that; 0: no limit */
        int64_t keepalive_time;       /* ns of silence before brickd sends a PING */
        int64_t keepalive_timeout;    /* ns for the client to answer it */
        int64_t client_ping_interval; /* ns between PINGs of a client without a call, at least */
        int64_t call_ping_interval;   /* of one with a call */
        int64_t max_request;          /* bytes of one request message */
        int64_t max_reply;            /* bytes of one reply message */
        int64_t max_metadata;
        int64_t max_streams;    /* per connection */
        unsigned max_resets;    /* calls cancelled on one connection within a second */
        int64_t max_calls;      /* begun on one connection within a second; 0: no limit */
        int64_t max_unfinished; /* bytes of unfinished messages on one connection */
        int64_t request_time;   /* ns from a call's first byte to the end of its first message;
                                   0: no limit */
        int64_t max_watches;    /* concurrent health watches */
        int64_t window;         /* bytes of replies that wait for one slow client */
        int64_t stall;          /* ns that a call waits for its client; 0: no limit */
};

struct conf_limits {
        unsigned concurrency; /* concurrent calls */
        unsigned queue;       /* calls that may wait for a place */
        unsigned threads;     /* of a blocking brick */
        int64_t timeout;      /* ns for one call; 0: only the caller's deadline counts */
        int64_t arena; /* bytes for one call: its unpacked request and the brick's call_alloc() */
        int64_t hold;  /* ns for which one call may hold the polling thread; 0: no limit */
};

struct conf_brick {
        const struct node *node;
        const char *name;
        const char *module;
        const struct node *options; /* NULL: none given */
        const struct node *checked; /* the result of conf_brick_options(); NULL: not called yet */
        struct conf_limits limits;
        bool merge;               /* join messages of a stream that wait for its client */
        bool is_default;          /* takes calls that match no brick of its type */
        const struct node *match; /* NULL: none */
        const char **match_brick; /* values of the request's metadata `x-brick` */
        size_t n_match_brick;
        const char **match_model; /* values of the request's model_id */
        size_t n_match_model;
        int log_level; /* enum log_level; 0: as log.level says */
};

struct conf_header {
        const char *name;
        const struct node *value; /* a secret */
};

struct conf {
        const char *name; /* of the file, as the user gave it */
        const char *base; /* the directory of the file, absolute: relative paths start there */
        const struct node *root; /* defaults filled in */

        struct conf_port *ports;
        size_t n_ports;
        struct conf_brick *bricks;
        size_t n_bricks;

        struct document *document; /* owns all nodes and strings */

        bool gather_writes; /* writes: gather */
        unsigned workers;   /* "auto" has been resolved to the number of cores */
        int64_t memory;     /* bytes that one worker may use for connections and for unfinished
                               requests */
        const char *module_dir;
        const char *identities;    /* absolute path of their file; NULL: none */
        const char *state;         /* absolute path of a directory for what outlives brickd; NULL:
                                      nothing does */
        const char *control;       /* path of the control socket; NULL: none */
        struct conf_port *metrics; /* only its address and access are set; NULL: none */
        bool metrics_genai;        /* count calls to models as well */

        int64_t drain_grace;        /* ns that running calls get on a stop */
        int64_t drain_lame_duck;    /* ns of serving after health checks say NOT_SERVING */
        int64_t drain_retire;       /* ns that a retired worker keeps its connections */
        unsigned drain_generations; /* retired generations at a time */
        int64_t start_timeout;      /* ns until a worker must be ready */

        enum log_level log_level;
        enum log_target log_target;
        enum { ACCESS_OFF, ACCESS_ERRORS, ACCESS_ALL } log_access;
        int64_t log_slow; /* ns; 0: do not report slow calls */

        const char *traces_endpoint; /* URL; NULL: no traces */
        double traces_sample;        /* probability that a new trace is recorded, 0 to 1 */
        const char *traces_service;
        struct conf_header *traces_headers;
        size_t n_traces_headers;
};

/*
 * Parses the bytes of a configuration file. Messages show name, and relative paths start at its
 * directory. Adds every mistake to diag and returns -EINVAL if there is one; otherwise 0 or another
 * negative errno, such as -ENOMEM. Keeps neither name nor bytes.
 */
int conf_parse(struct conf **ret, const char *name, const char *bytes, size_t length,
               struct diag *diag);
struct conf *conf_free(struct conf *conf);

/*
 * Parses a configuration with mistakes as far as possible. Use the result only to find the mistakes
 * in the options of its bricks as well. A wrong brick or port may lack its name, its module and so
 * on. NULL: not YAML, or out of memory.
 */
struct conf *conf_salvage(const char *name, const char *bytes, size_t length);

DEFINE_CLEANUP(struct conf *, conf_free);

/*
 * Reads the file for conf_parse(). It may be a pipe, whose writer has five seconds. -EFBIG: it has
 * more than 16 MiB; -ETIMEDOUT: the writer took longer; or the negative errno of open() or read().
 */
int conf_read(const char *name, char **ret_bytes, size_t *ret_length);

/* The same for an open file, which stays open. */
int conf_read_fd(int fd, char **ret_bytes, size_t *ret_length);

/* The message for such an error. */
const char *conf_strerror(int r);

/* Writes the whole configuration with all defaults, as YAML that means the same. Options of a brick
 * have their defaults after conf_brick_options(). Secrets are not resolved. -ENOMEM, or -EIO: f
 * cannot be written to. */
int conf_print(const struct conf *conf, FILE *f);

/* Writes the JSON Schema of the configuration, made from the option tables. 0 or a negative errno.
 */
int conf_print_schema(FILE *f);

/* The table of all keys. Tests compare the documentation with it. */
extern const struct option_spec conf_options[];

/*
 * Checks the options of one brick against its module's table, which must outlive the conf. Returns
 * a map with the defaults filled in and paths made absolute, and stores it in brick->checked; every
 * child has its spec. An OPTION_BRICK must name another brick of the configuration. NULL: diag has
 * the mistakes. Not thread-safe.
 */
const struct node *conf_brick_options(struct conf *conf, const struct conf_brick *brick,
                                      const struct option_spec *table, struct diag *diag);

/* Gives each value of an OPTION_BRICK among the checked options of a brick, at any depth, to
 * each(), until that returns false. Whether it did not. */
bool conf_brick_targets(const struct conf_brick *brick,
                        bool (*each)(const struct node *name, void *user), void *user);

/* The name of the index-th server or process to which a brick with a built-in module passes its
 * calls on; NULL: it has no more. */
const char *conf_backend(const struct conf_brick *brick, size_t index);

/* The index of the brick with this name; -1: there is none. */
ssize_t conf_find_brick(const struct conf *conf, const char *name);

/* Reports that no brick has the name in node, and suggests the nearest name. */
void conf_blame_name(const struct conf *conf, const struct node *node, struct diag *diag);

/*
 * The order in which to create the bricks: each brick comes after those that its OPTION_BRICK
 * options name; otherwise the order of the file. Destroy them in the reverse order. Call
 * conf_brick_options() for every brick first. Writes conf->n_bricks indices to ret_order. 0;
 * -EINVAL: bricks call each other in a cycle, which diag names; -ENOMEM.
 */
int conf_brick_order(const struct conf *conf, size_t *ret_order, struct diag *diag);
