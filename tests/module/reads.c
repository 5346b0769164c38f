/* SPDX-License-Identifier: MIT */

/* A guard that blames texts with the word "bad", also in pieces. "odd" makes it say nonsense. */

#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

struct brick_filter {
        char *text;
        size_t length;
};

static int blames(const char *text)
{
        return strstr(text, "bad") != NULL;
}

static int reads_unary(struct brick_instance *self, struct brick_call *call,
                       const GuardRequest *request, GuardResponse *response)
{
        GuardResult *result = brick_add(call, response, results);

        if (!result)
                return -ENOMEM;
        result->is_attack = blames(request->text);
        return 0;
}

static int reads_open(struct brick_instance *self, struct brick_filter **ret)
{
        *ret = calloc(1, sizeof **ret);
        return *ret ? 0 : -ENOMEM;
}

static int reads_push(struct brick_filter *filter, struct brick_str text, uint32_t is_last,
                      struct brick_judgement *ret)
{
        char *longer = realloc(filter->text, filter->length + text.len + 1);

        if (!longer)
                return -ENOMEM;
        filter->text = longer;
        memcpy(longer + filter->length, text.ptr, text.len);
        filter->length += text.len;
        longer[filter->length] = '\0';
        ret->is_attack = (uint32_t)blames(longer);
        ret->settled = filter->length > 2 ? filter->length - 2 : 0;
        if (strstr(longer, "odd"))
                ret->settled = filter->length + 1;
        return 0;
}

static void reads_close(struct brick_filter *filter)
{
        free(filter->text);
        free(filter);
}

static const struct brick_guard handlers = { .unary = reads_unary };

BRICK_GUARD(handlers, .name = "reads", .version = "1.0", .summary = "blames a word",
            .filter_open = reads_open, .filter_push = reads_push, .filter_close = reads_close);
