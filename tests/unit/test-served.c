/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "module/child-extra.h"
#include "module/instance.h"
#include "serve/admission.h"
#include "serve/auth.h"
#include "serve/budget.h"
#include "serve/dispatch.h"
#include "shared/stats.h"
#include "util/clock.h"

/*
 * Calls of a transport that knows nothing of gRPC: who makes them and which brick answers is
 * decided and counted for it.
 */

/* The token is "abc": its digest is in FIPS 180-4's examples. */
#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NO_DEADLINE UINT64_MAX

static const char config[] = "ports: [{ listen: \"127.0.0.1:0\" }]\n"
                             "bricks:\n"
                             "  - { name: chat, module: m, default: true }\n"
                             "  - { name: other, module: m, match: { model_id: o } }\n";
static const char identities[] = "identities:\n"
                                 "  - { name: some, token: " ABC
                                 ", allow: [chat], rate: 0.001, burst: 8, concurrency: 1"
                                 ", tokens: { month: 1M } }\n";

static struct conf *conf;
static struct stats *stats;
static struct quota *quota;
static struct auth *auth;
static struct instance instances[2];
static const struct brick_module none; /* a brick without a handler */
static struct serve serve;
static struct serve_port port;
static struct serve_method unary;

struct letter {
        struct served served;
        const char *brick; /* its x-brick; NULL: none */
        const char *why;   /* it has expired */
        unsigned freed;
};

static struct letter *letter_of(struct call *call)
{
        return (struct letter *)call;
}

static bool metadata(struct call *call, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        if (index > 0 || !letter_of(call)->brick)
                return false;
        *ret_key = brick_str("x-brick");
        *ret_value = brick_str(letter_of(call)->brick);
        return true;
}

static struct brick_str peer(struct call *call)
{
        letter_of(call)->served.peer = "ipv4:10.0.0.1:1";
        return brick_str(letter_of(call)->served.peer);
}

static void pump(struct call *call)
{
}

static struct brick_str find_trailer(struct call *call, const char *key)
{
        return (struct brick_str){};
}

static void release(struct call *call)
{
        admission_release(&letter_of(call)->served);
        letter_of(call)->freed++;
}

static const struct transport transport = {
        .metadata = metadata,
        .peer = peer,
        .pump = pump,
        .find_trailer = find_trailer,
        .free = release,
};

static void expire(struct served *call, const char *why)
{
        letter_of(&call->base)->why = why;
        call->expired = true;
}

static void begin(struct letter *letter, const char *brick)
{
        *letter = (struct letter){ .brick = brick };
        assert(call_init(&letter->served.base, &transport) == 0);
        letter->served.port = &port;
        letter->served.method = &unary;
        served_begin(&letter->served, NO_DEADLINE);
}

/* False: it has been refused. */
static bool identify(struct letter *letter, const char *authorization)
{
        const struct auth_proof proof = {
                .n_authorizations = authorization ? 1 : 0,
                .authorization = brick_str(authorization),
        };
        struct outcome outcome;

        if (admission_identify(&letter->served, AUTH_CALLS, &proof, &outcome))
                return true;
        call_refuse(&letter->served.base, &outcome);
        return false;
}

static uint64_t unrouted(unsigned status)
{
        return atomic_load(&port.stats->counters.unrouted[status]);
}

/* The call has been refused with this status, and is counted for its port. */
static void end(struct letter *letter, unsigned status)
{
        uint64_t before = unrouted(status);

        assert(letter->served.base.settled && letter->served.base.outcome.status == status);
        served_end(&letter->served, false);
        assert(letter->freed == 1 && unrouted(status) == before + 1);
        call_done(&letter->served.base);
}

static void test_identities(void)
{
        struct letter letter;

        begin(&letter, NULL);
        assert(!identify(&letter, NULL));
        end(&letter, STATUS_UNAUTHENTICATED);

        begin(&letter, NULL);
        assert(!identify(&letter, "Bearer abd") && letter.served.base.identity.len == 0);
        end(&letter, STATUS_UNAUTHENTICATED);
}

static void test_routing(void)
{
        struct letter letter;

        begin(&letter, "other");
        assert(identify(&letter, "Bearer abc"));
        assert(strncmp(letter.served.base.identity.ptr, "some", 4) == 0);
        served_dispatch(&letter.served);
        end(&letter, STATUS_PERMISSION_DENIED);

        /* Without an identity, nothing is forbidden. */
        begin(&letter, "nobody");
        served_dispatch(&letter.served);
        end(&letter, STATUS_NOT_FOUND);
}

/* The brick is found, and has no handler: that is an error of its own, and counts for the brick. */
static void test_brick(void)
{
        struct stats_method *counters = &instances[0].stats->counters.methods[BRICK_METHOD_UNARY];
        struct letter letter;

        begin(&letter, NULL);
        assert(identify(&letter, "Bearer abc"));
        served_dispatch(&letter.served);
        assert(letter.served.base.instance == &instances[0]);
        assert(letter.served.base.settled && letter.served.base.outcome.in_band);
        served_end(&letter.served, false);
        assert(letter.freed == 1 && atomic_load(&counters->begun) == 1);
        call_done(&letter.served.base);
}

static uint64_t used(uint64_t *ret_reserved)
{
        struct quota_used used[WINDOWS];

        quota_get_used(quota, quota_key("some"), time(NULL), used, ret_reserved);
        return used[WINDOW_MONTH].tokens;
}

/* The client's next call finds the place and the tokens free before it has the answer. What bricks
 * use that the call's brick has called counts, when they end later, too. */
static void test_answer(void)
{
        struct child_trailers *trailers = NULL;
        struct letter letters[2];
        uint64_t reserved;

        assert(child_trailers_add(&trailers, brick_str("x-usage-prompt-tokens"), brick_str("3")) ==
               0);
        assert(child_trailers_add(&trailers, brick_str("x-usage-completion-tokens"),
                                  brick_str("4")) == 0);
        for (size_t i = 0; i < ELEMENTSOF(letters); i++) {
                begin(&letters[i], NULL);
                assert(identify(&letters[i], "Bearer abc"));
                served_dispatch(&letters[i].served);
                assert(letters[i].served.base.instance && letters[i].served.counted);
                assert(used(&reserved) == 7 * i && reserved > 0);
                budget_child_ended(&letters[i].served.base, trailers);
                call_lock(&letters[i].served.base);
                admission_answer(&letters[i].served);
                call_unlock(&letters[i].served.base);
                assert(used(&reserved) == 7 * (i + 1) && reserved == 0);
        }
        budget_child_ended(&letters[0].served.base, trailers);
        for (size_t i = 0; i < ELEMENTSOF(letters); i++) {
                served_end(&letters[i].served, false);
                assert(letters[i].freed == 1);
                call_done(&letters[i].served.base);
        }
        assert(used(&reserved) == 21 && reserved == 0);
        free(trailers);
}

static void test_rate(void)
{
        struct letter letter;
        bool allowed;
        int n = 0;

        do {
                begin(&letter, NULL);
                allowed = identify(&letter, "Bearer abc");
                if (allowed)
                        served_refuse(&letter.served, STATUS_UNAVAILABLE, "enough");
                else
                        assert(letter.served.retry_ms > 0);
                end(&letter, allowed ? STATUS_UNAVAILABLE : STATUS_RESOURCE_EXHAUSTED);
        } while (allowed && ++n < 100);
        assert(n < 8); /* the burst, less the calls before */
}

static void test_deadline(void)
{
        struct letter letter;

        begin(&letter, NULL);
        letter.served.base.deadline = clock_now() + 1;
        deadlines_add(&serve.deadlines, &letter.served);
        while (!letter.why)
                deadlines_expire(&serve.deadlines);
        served_refuse(&letter.served, STATUS_CANCELLED, "");
        served_end(&letter.served, true);
        assert(letter.freed == 1 && unrouted(STATUS_DEADLINE_EXCEEDED) == 1);
        call_done(&letter.served.base);
}

/* Of two calls, one goes on writing. */
static void test_stall(void)
{
        struct letter letters[2];

        for (size_t i = 0; i < ELEMENTSOF(letters); i++) {
                begin(&letters[i], NULL);
                letters[i].served.writing = true;
                stall_add(&serve.stalls, &letters[i].served);
        }
        while (!letters[1].why) {
                letters[0].served.moves++;
                stall_maintain(&serve.stalls);
                runner_run(&runner_polling);
        }
        assert(!letters[0].why);
        for (size_t i = 0; i < ELEMENTSOF(letters); i++) {
                served_refuse(&letters[i].served, STATUS_CANCELLED, "");
                served_end(&letters[i].served, true);
                call_done(&letters[i].served.base);
        }
        assert(!serve.stalls.calls);
}

static void set_up(void)
{
        struct instance *pointers[] = { &instances[0], &instances[1] };
        struct diag *diag = NULL;

        assert(diag_new(&diag, "f", config, strlen(config)) == 0);
        assert(conf_parse(&conf, "f", config, strlen(config), diag) == 0);
        assert(stats_attach(&stats, -EBADF, conf->n_bricks, conf->n_ports) == 0);
        assert(auth_new(&auth, conf, stats, quota) == 0);
        assert(auth_set(auth, identities, strlen(identities)) == 0);
        for (size_t i = 0; i < ELEMENTSOF(instances); i++) {
                instances[i].conf = &conf->bricks[i];
                instances[i].brick = &none;
                instances[i].type = BRICK_TYPE_LLM;
                instances[i].stats = &stats->bricks[i];
        }
        conf->ports[0].stall = NSEC_PER_MSEC;
        serve = (struct serve){ .conf = conf, .stats = stats, .auth = auth, .expire = expire };
        stall_init(&serve.stalls, SIZE_MAX);
        port = (struct serve_port){ &serve, &conf->ports[0], &stats->ports[0], {} };
        assert(route_init(&port.routes[0], service_of_type(BRICK_TYPE_LLM), port.conf, pointers,
                          diag) == 0);
        serve_method_init(&unary, &port.routes[0], BRICK_METHOD_UNARY);
        assert(strcmp(unary.path, "/protocols.grpc.llm.LLMService/Unary") == 0);
        diag = diag_free(diag);
        runner_enter(NULL, NULL);
}

int main(void)
{
        struct quota *owner = NULL;
        uint32_t row;

        assert(quota_new(&owner) == 0 && quota_take_row(owner, &row) == 0);
        assert(quota_open(&quota, quota_fd(owner), row) == 0);
        set_up();
        test_identities();
        test_routing();
        test_brick();
        test_answer();
        test_rate();
        test_deadline();
        test_stall();
        runner_leave();
        deadlines_done(&serve.deadlines);
        route_done(&port.routes[0]);
        auth = auth_free(auth);
        quota = quota_free(quota);
        owner = quota_free(owner);
        stats = stats_free(stats);
        conf = conf_free(conf);
        return 0;
}
