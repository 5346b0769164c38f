/* SPDX-License-Identifier: MIT */

/* What module/call.h asks of a transport, for the calls of the door. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/call-own.h"
#include "module/child-extra.h"
#include "module/share.h"
#include "serve/admission.h"
#include "serve/budget.h"
#include "serve/fault.h"
#include "serve/genai.h"
#include "serve/validate.h"
#include "util/account.h"

/* Of trailing metadata. */
#define TRAILERS_MAX 32
#define TRAILER_BYTES_MAX 8192

static int reply_seal(struct call *base, struct reply *reply)
{
        struct served *served = &http_call_of(base)->served;
        const struct serve_method *method = served->method;

        if (!validate_message(method->reply, reply->data, reply->size, method->error_field))
                return fault_of_reply(method->reply, reply->data, reply->size);
        if (served->budget)
                budget_count_reply(served, reply->data, reply->size);
        return 0;
}

void http_call_post(struct http_call *call)
{
        if (call->posted)
                return;
        call->posted = true;
        call_ref(&call->served.base);
        runner_post(&runner_polling, &call->item);
}

static void pump(struct call *base)
{
        http_call_post(http_call_of(base));
}

static void receive(struct call *base)
{
        struct http_call *call = http_call_of(base);
        bool any = call->next_message < call->n_messages;

        call_deliver(base, any ? &call->messages[call->next_message++] : NULL);
}

static void release(struct call *base)
{
}

static bool metadata(struct call *base, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        const struct http_call *call = http_call_of(base);

        if (index >= call->n_metadata)
                return false;
        *ret_key = call->metadata[index].key;
        *ret_value = call->metadata[index].value;
        return true;
}

static struct brick_str peer(struct call *base)
{
        return brick_str(http_call_of(base)->peer);
}

static int trailer(struct call *base, struct brick_str key, struct brick_str value)
{
        struct http_call *call = http_call_of(base);
        size_t size = key.len + value.len;
        struct trailer *t;

        if (call->n_trailers == TRAILERS_MAX || call->trailer_bytes + size > TRAILER_BYTES_MAX)
                return -E2BIG;
        if (!child_metadata_is_legal(key, value))
                return -EINVAL;
        t = malloc(sizeof *t + size);
        if (!t)
                return -ENOMEM;
        memcpy(t->bytes, key.ptr, key.len);
        memcpy(t->bytes + key.len, value.ptr, value.len);
        t->key = (struct brick_str){ t->bytes, key.len };
        t->value = (struct brick_str){ t->bytes + key.len, value.len };
        t->next = call->trailers;
        call->trailers = t;
        call->n_trailers++;
        call->trailer_bytes += size;
        return 0;
}

struct brick_str http_call_trailer(struct call *base, const char *key)
{
        size_t length = strlen(key);
        struct brick_str found = {};

        for (const struct trailer *t = http_call_of(base)->trailers; t; t = t->next)
                if (call_is_key(t->key, key, length))
                        found = t->value; /* the newest comes first */
        return found;
}

static void party(struct call *base, struct share_party *ret)
{
        struct http_call *call = http_call_of(base);

        ret->connection = call->connection;
        admission_client(base->identity, brick_str(call->peer), ret);
}

static void busy(struct call *base)
{
        struct served *served = &http_call_of(base)->served;

        stats_reject(served->port->stats, STATS_REJECTED_QUEUE);
        served->retry_ms = SERVED_RETRY_MS;
}

/* transport->free(). [any] */
static void free_call(struct call *base)
{
        struct http_call *call = http_call_of(base);
        struct door *door = call->door;
        struct trailer *t;

        admission_release(&call->served);
        while ((t = call->trailers)) {
                call->trailers = t->next;
                free(t);
        }
        account_give(call->counted);
        free(call->memory);
        call_done(base);
        free(call);
        (void)atomic_fetch_sub(&door->in_flight, 1);
}

const struct transport http_transport = {
        .reply_new = call_heap_reply_new,
        .reply_free = call_heap_reply_free,
        .reply_seal = reply_seal,
        .pump = pump,
        .receive = receive,
        .release = release,
        .metadata = metadata,
        .peer = peer,
        .trailer = trailer,
        .find_trailer = http_call_trailer,
        .party = party,
        .child_ended = budget_child_ended,
        .describe_child = genai_of_child,
        .busy = busy,
        .free = free_call,
};
