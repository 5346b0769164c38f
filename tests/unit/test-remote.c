/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"
#include "llm.pb-c.h"
#include "remote/address.h"
#include "remote/affinity.h"
#include "remote/payload.h"
#include "remote/service-config.h"
#include "util/cleanup.h"

/* The parts of the client that are functions of their arguments. */

/* --- addresses -------------------------------------------------------------------------------- */

static void test_addresses(void)
{
        static const struct {
                const char *text, *address;
                bool local;
        } good[] = {
                { "chat:50051", "dns:///chat:50051", false },
                { "dns:///chat.prod:1", "dns:///chat.prod:1", false },
                { "localhost:1", "dns:///localhost:1", true },
                { "127.0.0.1:65535", "dns:///127.0.0.1:65535", true },
                { "127.evil.example:1", "dns:///127.evil.example:1", false },
                { "localhost.example:1", "dns:///localhost.example:1", false },
                { "[::1]:1", "dns:///[::1]:1", true },
                { "[2001:db8::1]:1", "dns:///[2001:db8::1]:1", false },
                { "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2", true },
                { "ipv4:127.0.0.1:1,10.0.0.2:2", "ipv4:127.0.0.1:1,10.0.0.2:2", false },
                { "ipv6:[::1]:1", "ipv6:[::1]:1", true },
                { "unix:/run/x", "unix:/run/x", true },
                { "unix:///run/x", "unix:/run/x", true },
                { "unix:@name", "unix-abstract:name", true },
        };
        static const char *const bad[] = {
                "",
                "chat",
                ":1",
                "chat:",
                "chat:0",
                "chat:65536",
                "chat:1x",
                "a b:1",
                "http://a:1",
                "https:a",
                "dns:a",
                "dns:///a",
                "ipv4:a:1",
                "ipv4:1.2.3.4",
                "ipv4:1.2.3.4:1,",
                "ipv4:[::1]:1",
                "ipv6:::1:1",
                "ipv6:[::g]:1",
                "[::1]",
                "[::1:1",
                "unix:",
                "unix:x",
                "unix:@",
                "::1:1",
                "xds:///a:1",
        };
        const char *why;

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                _cleanup_free_ char *address = address_parse(good[i].text, &why);

                printf("%s -> %s\n", good[i].text, address ? address : why);
                assert(address && strcmp(address, good[i].address) == 0);
                assert(address_is_local(address) == good[i].local);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *address = address_parse(bad[i], &why);

                printf("'%s' %s\n", bad[i], address ? address : why);
                assert(!address && why);
        }
}

/* --- replies ---------------------------------------------------------------------------------- */

#define REPLY &protocols__grpc__llm__llmresponse__descriptor
#define ERROR_FIELD 4

static char *apart; /* the copy of the last reply */

/* `copied`: whether it must have been. */
static bool split(struct payload *payload, const char *bytes, size_t length, bool copied)
{
        bool good;

        free(apart);
        good = payload_split(payload, REPLY, ERROR_FIELD, (struct brick_bytes){ bytes, length },
                             &apart) == 0;
        assert((apart != NULL) == copied);
        return good;
}

static bool is(const void *bytes, size_t length, const char *expected, size_t expected_length)
{
        return length == expected_length && memcmp(bytes, expected, length) == 0;
}

#define SPLIT(payload, text, copied) split(payload, text, sizeof(text) - 1, copied)
#define IS(part, text) is((part).ptr, (part).len, text, sizeof(text) - 1)

static void test_replies(void)
{
        struct payload p;

        assert(SPLIT(&p, "\x0a\x02hi\x22\x03\x08\xc8\x01", false)); /* as llmbrick writes it */
        assert(!p.failed && IS(p.bytes, "\x0a\x02hi"));
        assert(SPLIT(&p, "\x0a\x02hi", false)); /* without an error field */
        assert(!p.failed && IS(p.bytes, "\x0a\x02hi"));
        assert(SPLIT(&p, "", false) && !p.failed && p.bytes.len == 0);
        assert(SPLIT(&p, "\x0a\x02hi\x22\x00", false)); /* an error that has nothing */
        assert(!p.failed && IS(p.bytes, "\x0a\x02hi"));

        assert(SPLIT(&p,
                     "\x22\x0d\x08\xd3\x0f\x12\x03"
                     "bad"
                     "\x1a\x03"
                     "why",
                     false));
        assert(p.failed && p.code == 2003 && IS(p.message, "bad") && IS(p.detail, "why"));
        assert(SPLIT(&p, "\x22\x06\x12\x04zero", false));
        assert(p.failed && p.code == 0 && IS(p.message, "zero"));
        assert(SPLIT(&p, "\x22\x0b\x08\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01", false));
        assert(p.failed && p.code == -5);

        /* elsewhere, and more than once: parsers merge them */
        assert(SPLIT(&p, "\x22\x03\x08\xc8\x01\x0a\x02hi", true));
        assert(!p.failed && IS(p.bytes, "\x0a\x02hi"));
        assert(SPLIT(&p, "\x22\x02\x08\x07\x0a\x02hi\x22\x04\x12\x02no", true));
        assert(p.failed && p.code == 7 && IS(p.message, "no") && IS(p.bytes, "\x0a\x02hi"));

        assert(!SPLIT(&p, "\x0a\x05hi", false));
        assert(!SPLIT(&p, "\x0a\x02\xc3\x28", false));
        assert(!SPLIT(&p, "\x20\x01", false)); /* the error is a number */
        assert(!SPLIT(&p, "\x22\x02\x0a\x00", false));
        free(apart);
        apart = NULL;
}

static void test_error_of_status(void)
{
        static const char type[] = "type.googleapis.com/protocols.grpc.common.ErrorDetail";
        static const char error[] = "\x08\xf7\x03\x12\x05later";
        char bytes[256];
        int n;
        struct payload p;

        n = snprintf(bytes, sizeof bytes, "\x08\x0e\x1a%c\x0a%c%s\x12%c%s",
                     (int)(4 + sizeof type - 1 + sizeof error - 1), (int)sizeof type - 1, type,
                     (int)sizeof error - 1, error);
        assert(payload_find_error(&p, (struct brick_str){ bytes, (size_t)n }));
        assert(p.code == 503 && IS(p.message, "later"));
        for (int i = 0; i < n; i++)
                (void)payload_find_error(&p, (struct brick_str){ bytes, (size_t)i });
        assert(!payload_find_error(&p, (struct brick_str){}));
        bytes[8]++; /* another type */
        assert(!payload_find_error(&p, (struct brick_str){ bytes, (size_t)n }));
}

/* --- choice ----------------------------------------------------------------------------------- */

static void test_affinity(void)
{
        uint64_t addresses[4];
        unsigned counts[4] = { 0 }, moved = 0;

        for (int i = 0; i < 4; i++) {
                char name[16];

                addresses[i] = affinity_hash(name, (size_t)snprintf(name, sizeof name, "b%d:1", i));
        }
        for (int k = 0; k < 10000; k++) {
                char name[16];
                uint64_t key = affinity_hash(name, (size_t)snprintf(name, sizeof name, "s%d", k));
                int best = 0, of_three = 0;

                for (int i = 1; i < 4; i++) {
                        uint64_t weight = affinity_weight(key, addresses[i]);

                        if (weight > affinity_weight(key, addresses[best]))
                                best = i;
                        if (i < 3 && weight > affinity_weight(key, addresses[of_three]))
                                of_three = i;
                }
                counts[best]++;
                moved += best != 3 && best != of_three;
        }
        for (int i = 0; i < 4; i++)
                assert(counts[i] > 2300 && counts[i] < 2700);
        assert(moved == 0); /* without the last one, only its keys move */
}

/* --- what gRPC is told ------------------------------------------------------------------------ */

/* gRPC does not say what it thinks of a service config, but fails every call of a bad one. */
static bool accepts(const char *json)
{
        grpc_arg args[] = {
                { .type = GRPC_ARG_STRING,
                  .key = (char *)GRPC_ARG_SERVICE_CONFIG,
                  .value.string = (char *)json },
        };
        grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
        grpc_channel *channel = grpc_channel_create("ipv4:127.0.0.1:1", credentials,
                                                    &(grpc_channel_args){ 1, args });
        bool good = grpc_channel_check_connectivity_state(channel, 0) == GRPC_CHANNEL_IDLE;

        grpc_channel_credentials_release(credentials);
        grpc_channel_destroy(channel);
        return good;
}

static void test_service_config(void)
{
        static const char *const statuses[] = { "unavailable", "resource_exhausted", "aborted",
                                                "internal",    "deadline_exceeded",  "unknown" };
        const struct service_config configs[] = {
                { .balance = "round_robin" },
                { .balance = "pick_first", .attempts = 1 },
                { .balance = "round_robin",
                  .health_service = "",
                  .attempts = 3,
                  .statuses = statuses,
                  .n_statuses = 1 },
                { .balance = "round_robin",
                  .health_service = "chat",
                  .attempts = 5,
                  .statuses = statuses,
                  .n_statuses = 6,
                  .eject_percent = 99,
                  .eject_calls = 5,
                  .eject_interval = 1500000000,
                  .eject_time = 10000000000 },
        };

        grpc_init();
        assert(!accepts("{\"loadBalancingConfig\":[{\"none\":{}}]}")); /* the test can fail */
        for (size_t i = 0; i < ELEMENTSOF(configs); i++) {
                _cleanup_free_ char *json = service_config_json(&configs[i]);

                printf("%s\n", json);
                assert(accepts(json));
        }
        grpc_shutdown();
}

/* ThreadSanitizer does not see the locks of gRPC core, which is built without it. */
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define CORE_IS_OPAQUE 1
#endif
#endif

int main(void)
{
        test_addresses();
        test_replies();
        test_error_of_status();
        test_affinity();
#ifndef CORE_IS_OPAQUE
        test_service_config();
#else
        (void)test_service_config;
#endif
        return 0;
}
