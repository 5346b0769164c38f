/* SPDX-License-Identifier: MIT */
#ifndef BRICK_TYPES_H
#define BRICK_TYPES_H

/*
 * The values that cross the ABI of brick.h, whose rules hold for the structs here, too. A brick
 * includes brick.h, which brings them.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct brick_call;     /* one call. Not an address: a name, void once the brick has finished it */
struct brick_child;    /* one call that this brick makes to another brick */
struct brick_ctx;      /* brickd's side of one instance; lives until destroy() returns */
struct brick_node;     /* one node of the configuration; knows its file, line and column */
struct brick_target;   /* another brick, named in the options; lives as long as the instance */
struct brick_instance; /* defined by the brick */
struct brick_timer;    /* one timer of a call */
struct brick_filter;   /* defined by the brick: a text that a guard judges piece by piece */

struct brick_str { /* UTF-8, not NUL-terminated */
        const char *ptr;
        size_t len;
};

struct brick_bytes {
        const void *ptr;
        size_t len;
};

struct brick_pair { /* of metadata; the value of a key that ends with "-bin" is bytes */
        struct brick_str key;
        struct brick_str value;
};

enum { /* which gRPC service the brick answers for: brick_module.type */
       BRICK_TYPE_COMMON = 1,
       BRICK_TYPE_RECTIFY,
       BRICK_TYPE_INTENTION,
       BRICK_TYPE_GUARD,
       BRICK_TYPE_LLM,
       BRICK_TYPE_COMPOSE,
       BRICK_TYPE_RETRIEVAL,
       BRICK_TYPE_TRANSLATE,
       BRICK_TYPE_ANY = 255, /* the option `type` says which: brick_module.options must have it */
};

enum { /* bit numbers of brick_module.methods */
       BRICK_METHOD_SERVICE_INFO,
       BRICK_METHOD_UNARY,
       BRICK_METHOD_OUTPUT_STREAMING,
       BRICK_METHOD_INPUT_STREAMING,
       BRICK_METHOD_BIDI_STREAMING,
};

enum { /* brick_module.flags */
       /* start() may block: it runs on the instance's own threads, never on a polling thread. */
       BRICK_FLAG_BLOCKING = 1 << 0,
};

enum { BRICK_LOG_ERROR = 3, BRICK_LOG_WARNING, BRICK_LOG_NOTICE, BRICK_LOG_INFO, BRICK_LOG_DEBUG };

enum { /* brick_option.type, and what node_type() answers */
       BRICK_STRING = 1,
       BRICK_INT,
       BRICK_BOOL,
       BRICK_FLOAT,
       BRICK_LIST,     /* any list: the brick checks its items */
       BRICK_MAP,      /* any map: the brick checks its keys. node_str() of a value that is a map of
                          the form of a secret gives the secret */
       BRICK_DURATION, /* "250ms", "3s": node_int() gives nanoseconds */
       BRICK_SIZE,     /* "64KiB": node_int() gives bytes */
       BRICK_ENUM,     /* one of brick_option.choices */
       BRICK_SECRET,   /* { file: PATH } or { credential: NAME } or { env: NAME }: node_str() gives
                          the value */
       BRICK_TARGET,   /* the name of another brick: target() resolves it */
       BRICK_PATH, /* a file or directory; a relative one is relative to the configuration file */
};

enum { /* brick_option.flags */
       BRICK_OPTION_REQUIRED = 1 << 0,
       /* BRICK_LIST with items, since 1.3: a value that is no list counts as a list with one item.
        */
       BRICK_OPTION_ONE_OR_MORE = 1 << 1,
};

/* How a call that this brick made has ended. */
struct brick_outcome {
        uint32_t struct_size;
        uint32_t status; /* gRPC status; 0: see code */
        int32_t code;    /* in-band error code; 200: success */
        uint32_t reserved;
        struct brick_str message; /* of the error, in-band or gRPC */
        struct brick_str detail;
};

/*
 * What a brick that calls another one is told. All [rpc]: they run on the thread that enters the
 * caller for the parent call, and never inside child_start(), child_recv(), child_send() or another
 * function of the host. For one child they never overlap. They do not overlap message(), writable()
 * and cancel() of the parent call either; but while start() of a blocking brick runs on a thread of
 * the instance, they run beside it.
 */
struct brick_child_ops {
        uint32_t struct_size;
        uint32_t reserved;

        /* The answer to child_recv(): one message (payload only, no error field), valid until it
         * returns. */
        void (*message)(void *user, struct brick_bytes message);

        /* The end, once. From here on the child's functions do nothing; child_free() is still
         * due. */
        void (*done)(void *user, const struct brick_outcome *outcome);

        /* child_send() may be tried again. Optional. */
        void (*writable)(void *user);
};

/* What child_start_with() takes besides. Zero means: as child_start(). Read before it returns. */
struct brick_child_options {
        uint32_t struct_size;
        uint32_t n_metadata;
        const struct brick_pair *metadata; /* for the callee; a key here hides the values that the
                                              parent's metadata has for it */
        uint64_t deadline;                 /* CLOCK_MONOTONIC nanoseconds; 0: the parent's. The
                                              earlier one counts */
        struct brick_str name; /* of the call's span in a trace; empty: brickd chooses it */
};

/* One thing that a guard has found in a text. Offsets count bytes from the text's beginning. It
 * stands in arrays, so its size never changes. */
struct brick_finding {
        uint64_t start;
        uint64_t end;          /* of the first byte behind it */
        struct brick_str rule; /* its name, for logs: never a part of the text */
        struct brick_str category;
        double score;       /* 0 to 1 */
        uint32_t is_attack; /* 1: the guard blames the text for it */
        uint32_t reserved;
};

/* What filter_push() says of the text so far. What it points to is valid until the next push, or
 * until the filter is closed. */
struct brick_judgement {
        uint32_t struct_size; /* set by the caller, as far as the brick may write */
        uint32_t is_attack;   /* 1: the guard blames the text as a whole */
        uint64_t settled; /* no finding to come can begin before this offset. It never goes back */
        const struct brick_finding *findings; /* those of this push, in order of their starts */
        size_t n_findings;
};

#ifdef __cplusplus
}
#endif

#endif
