/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/call.h"
#include "module/child-extra.h"
#include "module/span.h"
#include "util/utf8.h"

/* The most metadata of a caller's own, and of a callee's trailers: as for the trailers of a call
 * from the wire. */
#define PAIRS_MAX 32
#define BYTES_MAX 8192

static bool is_legal_key(struct brick_str key)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";

        for (size_t i = 0; i < key.len; i++)
                if (!memchr(letters, key.ptr[i], sizeof letters - 1))
                        return false;
        return key.len > 0 && (key.len <= 5 || memcmp(key.ptr, "grpc-", 5) != 0);
}

static bool is_legal_value(struct brick_str key, struct brick_str value)
{
        if (key.len > 4 && memcmp(key.ptr + key.len - 4, "-bin", 4) == 0)
                return true;
        for (size_t i = 0; i < value.len; i++)
                if (value.ptr[i] < ' ' || value.ptr[i] > '~')
                        return false;
        return true;
}

bool child_metadata_is_legal(struct brick_str key, struct brick_str value)
{
        return is_legal_key(key) && is_legal_value(key, value);
}

static int measure(const struct brick_child_options *options, size_t *ret_bytes)
{
        size_t bytes = 0;

        if (options->n_metadata > PAIRS_MAX)
                return -E2BIG;
        for (size_t i = 0; i < options->n_metadata; i++) {
                const struct brick_pair *pair = &options->metadata[i];

                if (pair->key.len > BYTES_MAX || pair->value.len > BYTES_MAX)
                        return -E2BIG;
                bytes += pair->key.len + pair->value.len;
                if (!child_metadata_is_legal(pair->key, pair->value))
                        return -EINVAL;
        }
        *ret_bytes = bytes;
        return bytes > BYTES_MAX ? -E2BIG : 0;
}

/* The caller has metadata of its own with this key. */
static bool hides(const struct brick_child_options *options, struct brick_str key)
{
        for (size_t i = 0; i < options->n_metadata; i++)
                if (options->metadata[i].key.len == key.len &&
                    memcmp(options->metadata[i].key.ptr, key.ptr, key.len) == 0)
                        return true;
        return false;
}

static size_t count_pairs(struct call *call)
{
        struct brick_str key, value;
        size_t n = 0;

        while (call->transport->metadata(call, n, &key, &value))
                n++;
        return n;
}

static struct brick_str put(char **to, struct brick_str text)
{
        struct brick_str copy = { *to, text.len };

        if (text.len > 0)
                memcpy(*to, text.ptr, text.len);
        *to += text.len;
        return copy;
}

static void fill(struct child_extra *extra, struct call *parent,
                 const struct brick_child_options *options)
{
        struct brick_pair pair;

        for (size_t i = 0; parent->transport->metadata(parent, i, &pair.key, &pair.value); i++)
                if (!hides(options, pair.key))
                        extra->metadata[extra->n_metadata++] = pair;
}

int child_extra_new(struct child_extra **ret, struct call *parent,
                    const struct brick_child_options *options)
{
        struct brick_str name = options->name;
        struct child_extra *extra;
        size_t n, bytes = 0;
        char *text;
        int r;

        *ret = NULL;
        r = measure(options, &bytes);
        if (r < 0 || (options->n_metadata == 0 && name.len == 0))
                return r;
        name.len = utf8_prefix(name.ptr, name.len, SPAN_NAME_MAX);
        n = options->n_metadata + count_pairs(parent);
        extra = malloc(sizeof *extra + n * sizeof extra->metadata[0] + bytes + name.len);
        if (!extra)
                return -ENOMEM;
        *extra = (struct child_extra){ .metadata = (struct brick_pair *)(extra + 1) };
        text = (char *)(extra->metadata + n);
        extra->name = put(&text, name);
        for (; extra->n_metadata < options->n_metadata; extra->n_metadata++)
                extra->metadata[extra->n_metadata] = (struct brick_pair){
                        .key = put(&text, options->metadata[extra->n_metadata].key),
                        .value = put(&text, options->metadata[extra->n_metadata].value),
                };
        fill(extra, parent, options);
        *ret = extra;
        return 0;
}

/* Room for the most of them, as few callees have any. */
static struct child_trailers *trailers_new(void)
{
        struct child_trailers *trailers;

        trailers = malloc(sizeof *trailers + PAIRS_MAX * sizeof trailers->pairs[0] + BYTES_MAX);
        if (trailers)
                *trailers = (struct child_trailers){};
        return trailers;
}

int child_trailers_add(struct child_trailers **trailers, struct brick_str key,
                       struct brick_str value)
{
        struct child_trailers *all = *trailers;
        char *text;

        if (!child_metadata_is_legal(key, value))
                return -EINVAL;
        if (!all)
                all = *trailers = trailers_new();
        if (!all)
                return -ENOMEM;
        if (all->n == PAIRS_MAX || key.len > BYTES_MAX || value.len > BYTES_MAX ||
            all->bytes + key.len + value.len > BYTES_MAX)
                return -E2BIG;
        text = (char *)(all->pairs + PAIRS_MAX) + all->bytes;
        all->pairs[all->n].key = put(&text, key);
        all->pairs[all->n].value = put(&text, value);
        all->bytes += key.len + value.len;
        all->n++;
        return 0;
}
