/* SPDX-License-Identifier: MIT */
#include "remote/metadata.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/* How many pairs metadata_collect() adds at most. */
#define OWN_MAX 6

#define HOPS_KEY "x-brick-hops"

static bool is(struct brick_str s, const char *text)
{
        return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool begins(struct brick_str s, const char *text)
{
        return s.len >= strlen(text) && memcmp(s.ptr, text, strlen(text)) == 0;
}

/* The core refuses a whole batch for one pair that is not legal. */
static bool is_legal(grpc_slice key, grpc_slice value)
{
        return grpc_header_key_is_legal(key) &&
               (grpc_is_binary_header(key) || grpc_header_nonbin_value_is_legal(value));
}

/* Keys that are this server's business, or the connection's. */
static bool stays(struct brick_str key)
{
        static const char *const keys[] = { "user-agent",     "host",       "authorization",
                                            "traceparent",    "tracestate", "x-brick",
                                            "x-brick-status", HOPS_KEY };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (is(key, keys[i]))
                        return true;
        return begins(key, "grpc-");
}

static grpc_slice copy(struct brick_str s)
{
        return grpc_slice_from_copied_buffer(s.ptr, s.len);
}

/* Takes both slices. */
static void add(struct metadata *metadata, grpc_slice key, grpc_slice value)
{
        if (!is_legal(key, value)) {
                grpc_slice_unref(key);
                grpc_slice_unref(value);
                return;
        }
        metadata->list[metadata->n++] = (grpc_metadata){ .key = key, .value = value };
}

/* key is a constant; the value must live as long as the upstream. */
static void add_own(struct metadata *metadata, const char *key, const char *value)
{
        if (value)
                add(metadata, grpc_slice_from_static_string(key),
                    grpc_slice_from_static_string(value));
}

static void add_text(struct metadata *metadata, const char *key, struct brick_str value)
{
        if (value.len > 0)
                add(metadata, grpc_slice_from_static_string(key), copy(value));
}

/* A count that is no number counts as the highest. */
static int next_hop(struct brick_str value, char *ret)
{
        unsigned hops = 0;

        if (value.len == 1 && value.ptr[0] >= '0' && value.ptr[0] <= '9')
                hops = (unsigned)(value.ptr[0] - '0');
        else if (value.len > 0)
                hops = HOPS_MAX;
        if (hops >= HOPS_MAX)
                return -ELOOP;
        *ret = (char)('0' + hops + 1);
        return 0;
}

int metadata_collect(struct metadata *ret, const struct upstream *upstream, struct brick_call *call)
{
        const struct brick_host *host = upstream->host;
        struct brick_str key, value;
        size_t n = 0;
        char hop;

        if (next_hop(host->call_metadata(call, HOPS_KEY), &hop) < 0)
                return -ELOOP;
        while (host->call_metadata_at(call, n, &key, &value))
                n++;
        ret->list = host->call_alloc(call, (n + OWN_MAX) * sizeof *ret->list,
                                     _Alignof(grpc_metadata));
        if (!ret->list)
                return -ENOMEM;
        ret->n = 0;
        for (size_t i = 0; i < n && host->call_metadata_at(call, i, &key, &value); i++)
                if (!stays(key))
                        add(ret, copy(key), copy(value));
        add_text(ret, HOPS_KEY, (struct brick_str){ &hop, 1 });
        add_text(ret, "traceparent", host->call_traceparent(call));
        add_text(ret, "tracestate", host->call_tracestate(call));
        add_own(ret, "x-brick", upstream->brick);
        add_own(ret, "x-brick-status", upstream->errors_as_status ? "grpc" : NULL);
        add_own(ret, "authorization", upstream->authorization);
        return 0;
}

void metadata_drop(struct metadata *metadata)
{
        for (size_t i = 0; i < metadata->n; i++) {
                grpc_slice_unref(metadata->list[i].key);
                grpc_slice_unref(metadata->list[i].value);
        }
        metadata->n = 0;
}

static struct brick_str text_of(const grpc_slice *slice)
{
        return (struct brick_str){ (const char *)GRPC_SLICE_START_PTR(*slice),
                                   GRPC_SLICE_LENGTH(*slice) };
}

void metadata_pass_on(const struct upstream *upstream, struct brick_call *call,
                      const grpc_metadata_array *from)
{
        for (size_t i = 0; i < from->count; i++) {
                struct brick_str key = text_of(&from->metadata[i].key);

                if (!begins(key, "grpc-") && !is(key, "x-brick-error-code"))
                        (void)upstream->host->call_trailer(call, key,
                                                           text_of(&from->metadata[i].value));
        }
}

struct brick_str metadata_find(const grpc_metadata_array *metadata, const char *key)
{
        for (size_t i = 0; i < metadata->count; i++)
                if (is(text_of(&metadata->metadata[i].key), key))
                        return text_of(&metadata->metadata[i].value);
        return (struct brick_str){};
}
