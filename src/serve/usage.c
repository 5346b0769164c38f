/* SPDX-License-Identifier: MIT */
#include "serve/usage.h"

#include <string.h>

#include "module/call.h"
#include "module/child-extra.h"

static bool parse_count(struct brick_str text, int64_t *ret)
{
        int64_t n = 0;

        if (!text.ptr || text.len == 0)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (text.ptr[i] < '0' || text.ptr[i] > '9')
                        return false;
                n = n * 10 + (text.ptr[i] - '0');
                if (n > USAGE_TOKENS_MAX)
                        return false;
        }
        *ret = n;
        return true;
}

void usage_read(struct usage *ret, usage_lookup *lookup, const void *metadata)
{
        int64_t prompt, completion, total;

        *ret = (struct usage){
                .model = lookup(metadata, "x-model"),
                .finish_reason = lookup(metadata, "x-finish-reason"),
        };
        if (!parse_count(lookup(metadata, "x-usage-prompt-tokens"), &prompt) ||
            !parse_count(lookup(metadata, "x-usage-completion-tokens"), &completion))
                return;
        if (!parse_count(lookup(metadata, "x-usage-total-tokens"), &total))
                total = prompt + completion;
        ret->known = true;
        ret->prompt = prompt;
        ret->completion = completion;
        ret->total = total;
}

static struct brick_str find_trailer(const void *metadata, const char *key)
{
        struct call *call = (struct call *)metadata;

        return call->transport->find_trailer(call, key);
}

void usage_of_call(struct usage *ret, struct call *call)
{
        usage_read(ret, find_trailer, call);
}

static struct brick_str find_in_trailers(const void *metadata, const char *key)
{
        const struct child_trailers *trailers = metadata;

        for (size_t i = 0; trailers && i < trailers->n; i++)
                if (call_is_key(trailers->pairs[i].key, key, strlen(key)))
                        return trailers->pairs[i].value;
        return (struct brick_str){};
}

void usage_of_trailers(struct usage *ret, const struct child_trailers *trailers)
{
        usage_read(ret, find_in_trailers, trailers);
}
