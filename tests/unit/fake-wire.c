/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include "fake-wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "module/instance.h"

static struct reply *reply_new(struct call *call, size_t size)
{
        struct reply *reply = malloc(sizeof *reply + size);

        assert(reply);
        *reply = (struct reply){ .data = reply + 1, .size = size };
        return reply;
}

static void reply_free(struct call *call, struct reply *reply)
{
        free(reply);
}

static int reply_seal(struct call *call, struct reply *reply)
{
        return reply->size == 3 && memcmp(reply->data, "bad", 3) == 0 ? -EBADMSG : 0;
}

static void pump(struct call *call)
{
        struct wire *wire = wire_of(call);
        struct reply *reply;

        assert(!call_gathers(call));
        if (wire->hold || (call_is_single(call) && !call->settled))
                return;
        while ((reply = call_take_reply(call))) {
                wire->sent++;
                call_sent(call, reply->size);
                free(reply);
        }
        if (call->settled) {
                wire->ended = true;
                wire->in_flight = atomic_load(&call->instance->stats->in_flight);
        }
}

static void receive(struct call *call)
{
        static const struct brick_bytes message = { "m", 1 };
        struct wire *wire = wire_of(call);

        if (wire->silent)
                return;
        call_deliver(call, wire->incoming > 0 ? &message : NULL);
        if (wire->incoming > 0)
                wire->incoming--;
}

static void release(struct call *call)
{
}

static bool metadata(struct call *call, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        *ret_key = brick_str("key");
        *ret_value = brick_str("value");
        return index == 0;
}

static struct brick_str peer(struct call *call)
{
        return brick_str("test");
}

static void party(struct call *call, struct share_party *ret)
{
        *ret = wire_of(call)->party;
}

static void busy(struct call *call)
{
        wire_of(call)->busy = true;
}

static int trailer(struct call *call, struct brick_str key, struct brick_str value)
{
        wire_of(call)->trailers++;
        return 0;
}

static void count_free(struct call *call)
{
        (void)atomic_fetch_add(&wire_of(call)->freed, 1);
}

static const struct transport wire_transport = {
        .reply_new = reply_new,
        .reply_free = reply_free,
        .reply_seal = reply_seal,
        .pump = pump,
        .receive = receive,
        .release = release,
        .metadata = metadata,
        .peer = peer,
        .trailer = trailer,
        .party = party,
        .busy = busy,
        .free = count_free,
};

struct wire *wire_new(struct instance *instance, uint32_t method)
{
        struct wire *wire = calloc(1, sizeof *wire);

        assert(wire);
        assert(call_init(&wire->call, &wire_transport) == 0);
        call_reset(&wire->call, instance, method, 1 << 20);
        wire->call.window = 1000;
        wire->call.max_reply = 100000;
        wire->call.deadline = UINT64_MAX;
        return wire;
}

void wire_run(void)
{
        while (runner_has_work(&runner_polling))
                runner_run(&runner_polling);
}

void wire_hold(struct wire *wire)
{
        (void)pthread_mutex_lock(&wire->call.lock);
        wire->hold = true;
        (void)pthread_mutex_unlock(&wire->call.lock);
}

void wire_release(struct wire *wire)
{
        (void)pthread_mutex_lock(&wire->call.lock);
        wire->hold = false;
        if (!call_gathers(&wire->call))
                pump(&wire->call);
        (void)pthread_mutex_unlock(&wire->call.lock);
}

void wire_deliver(struct wire *wire, bool message)
{
        static const struct brick_bytes bytes = { "m", 1 };

        (void)pthread_mutex_lock(&wire->call.lock);
        call_deliver(&wire->call, message ? &bytes : NULL);
        (void)pthread_mutex_unlock(&wire->call.lock);
}

void wire_free(struct wire *wire)
{
        call_drop(&wire->call);
        for (unsigned ms = 0; atomic_load(&wire->freed) == 0; ms++) {
                assert(ms < 20000);
                if (runner_is_here(&runner_polling))
                        wire_run();
                (void)usleep(1000);
        }
        assert(atomic_load(&wire->freed) == 1);
        call_done(&wire->call);
        free(wire);
}
